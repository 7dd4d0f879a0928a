"""``python``, ``redis``, ``curlimages/curl`` and ``registry.k8s.io/pause``: images of one program that the machine may have."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

from halab.errors import MachineError
from halab.images import elf
from halab.images.bases.accounts import accounts, places
from halab.images.bases.base import PATH_VARIABLE, Base, Content, newest
from halab.images.bases.distro import essential
from halab.images.borrow import canonical, chain, files, find, tree
from halab.images.layers import directory, link, text, with_parents

_SKIPPED = (
    "site-packages",
    "dist-packages",
    "test",
    "tests",
    "idlelib",
    "tkinter",
    "turtledemo",
    "lib2to3",
    "ensurepip",
    "__pycache__",
)


@lru_cache(maxsize=1)
def interpreter() -> tuple[Path, str, Path]:
    """Program, version and standard library: the system's Python, else the one beneath halab's own environment.

    A virtual environment itself is never taken: it would drag its packages along.
    """
    for candidate in (Path("/usr/bin/python3"), Path(sys.base_prefix) / "bin" / "python3", Path(sys.executable)):
        if not candidate.exists():
            continue
        ask = "import sys, sysconfig; print(sys.version.split()[0], sysconfig.get_path('stdlib'))"
        done = subprocess.run([str(candidate), "-I", "-S", "-c", ask], capture_output=True, text=True, timeout=10)
        if done.returncode == 0:
            version, _, stdlib = done.stdout.strip().partition(" ")
            return canonical(candidate), version, Path(stdlib)
    raise MachineError("python", "no interpreter of this machine could be run", "install python3")


def _python(tag: str) -> Content:
    path, real, stdlib = interpreter()
    numbers = re.match(r"3(?:\.\d+)*", tag)
    named = numbers.group(0) if numbers and "." in numbers.group(0) else real
    folder = canonical(Path("/usr/local/bin/python3")).parent
    names = ("python", "python3", path.resolve().name)
    library = [item for item in tree(stdlib, skip=_SKIPPED) if not item.path.endswith(".a")]
    modules = [item.source for item in library if item.source and item.path.endswith(".so")]
    linked = [entry for found in elf.libraries(modules) for entry in chain(found)]
    return Content(
        config={"Env": [PATH_VARIABLE, "LANG=C.UTF-8", f"PYTHON_VERSION={named}"], "Cmd": ["python3"]},
        own=with_parents([*accounts(), *places(), *(link(str(folder / name), str(path)) for name in dict.fromkeys(names))]),
        borrowed=with_parents([*files([*essential(), path]), *linked, *library]),
        borrows=f"python {real}",
        created=newest([path]),
    )


def _program(name: str, command: list[str], ports: tuple[str, ...], user: dict[str, int], extra: tuple[str, ...] = ()) -> Content:
    path = find(name)
    assert path is not None
    path = canonical(path)
    done = subprocess.run([str(path), "--version"], capture_output=True, text=True, timeout=10)
    number = re.search(r"\d+\.\d+(?:\.\d+)*", done.stdout + done.stderr)
    own = [*accounts(user), *places()]
    if path.parent not in (Path("/usr/bin"), Path("/bin"), Path("/usr/sbin")):
        own.append(link(f"usr/local/bin/{name}", str(path)))
    if name == "redis-server":
        own.append(directory("data", 0o777))
    config: dict[str, object] = {"Env": [PATH_VARIABLE], "Cmd": command}
    if ports:
        config["ExposedPorts"] = {port: {} for port in ports}
    if name == "redis-server":
        config |= {"WorkingDir": "/data", "Volumes": {"/data": {}}}
    if name == "curl":
        config |= {"Entrypoint": ["curl"], "Cmd": ["--help"]}
    also = [found for found in map(find, extra) if found]
    return Content(
        config=config,
        own=with_parents(own),
        borrowed=files([path, *also, *essential()]),
        borrows=f"{name} {number.group(0) if number else '?'}",
        created=newest([path]),
    )


def _lacks(name: str, package: str) -> str:
    return "" if find(name) else f"it has no {name} (apt-get install {package})"


def _pause(_: str) -> Content:
    sleep = find("sleep")
    assert sleep is not None
    return Content(
        config={"Env": [PATH_VARIABLE], "Entrypoint": [str(canonical(sleep)), "infinity"]},
        own=with_parents([*places(), text("etc/os-release", 'NAME="pause"\n')]),
        borrowed=files([sleep]),
        borrows="sleep",
        created=newest([sleep]),
    )


_DEBIAN_WORDS = r"(?:-(?:slim|alpine[\d.]*|bookworm|bullseye|trixie|slim-bookworm|slim-bullseye|slim-trixie))?"

BASES = (
    Base(
        name="python",
        tags=rf"(?:latest|slim|alpine|3(?:\.\d+){{0,2}}){_DEBIAN_WORDS}",
        offers="3.x, 3.x-slim",
        note="The interpreter is this machine's Python, whatever version the tag names.",
        missing=lambda: "",
        sources=lambda: [interpreter()[0]],
        make=_python,
    ),
    Base(
        name="redis",
        tags=rf"(?:latest|alpine|[4-8](?:\.\d+){{0,2}}){_DEBIAN_WORDS}",
        offers="6, 7, 8",
        note="The program is this machine's redis-server, whatever version the tag names.",
        missing=lambda: _lacks("redis-server", "redis-server"),
        sources=lambda: [find("redis-server")],
        make=lambda _: _program(
            "redis-server", ["redis-server", "--protected-mode", "no"], ("6379/tcp",), {"redis": 999}, ("redis-cli",)
        ),
    ),
    Base(
        name="curlimages/curl",
        tags=r"latest|[78](?:\.\d+){0,2}",
        offers="8.x",
        note="The program is this machine's curl, whatever version the tag names.",
        missing=lambda: _lacks("curl", "curl"),
        sources=lambda: [find("curl")],
        make=lambda _: _program("curl", ["--help"], (), {"curl_user": 100}),
    ),
    Base(
        name="registry.k8s.io/pause",
        tags=r"latest|3(?:\.\d+){0,2}",
        offers="3.x",
        note="Sleeps for ever, as the real one does.",
        missing=lambda: "",
        sources=lambda: [find("sleep")],
        make=_pause,
    ),
)
