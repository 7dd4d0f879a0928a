"""The packages that a RUN step may install: each a directory tree plus what apt would say of it, made before the step runs.

Inside the sandbox ``apt-get`` is a small shell program of ours (``manager.sh``) that copies such trees into place. So the layer that comes
out is a genuine one, and the same program works at every level of isolation.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from halab.images import layers
from halab.images.bases import nginx as nginx_base
from halab.images.borrow import canonical, chain, files, find, merged_usr
from halab.images.layers import Entry, with_parents
from halab.images.packages import dpkg
from halab.images.packages.nginx import debian_nginx

# Names that mean a program, where the machine may have it without dpkg (conda, an extracted archive).
_PROGRAMS = {
    "nginx": "nginx",
    "nginx-light": "nginx",
    "curl": "curl",
    "wget": "wget",
    "redis-server": "redis-server",
    "redis": "redis-server",
    "python3": "python3",
    "git": "git",
    "jq": "jq",
    "procps": "ps",
    "busybox": "busybox",
    "netcat-openbsd": "nc",
    "iproute2": "ip",
    "ca-certificates": "",
    "tini": "tini",
    "vim": "vim",
    "nano": "nano",
}
MANAGERS = ("apt-get", "apt", "apk")
PLACE = "usr/lib/halab"  # where the pool is seen inside the sandbox


@dataclass(frozen=True, slots=True)
class Package:
    """``entries`` are what it installs; ``parts`` the machine's packages it consists of, as ``name version``."""

    name: str
    version: str
    parts: tuple[str, ...]
    entries: tuple[Entry, ...]
    size_kb: int


def candidates(command: str) -> list[str]:
    """The words of a shell command that could be package names, each once, versions (``=1.2*``) cut off."""
    if not re.search(r"\b(apt-get|apt|apk)\b", command):
        return []
    words = re.findall(r"(?<![\w./$-])[a-z0-9][a-z0-9+.-]+(?=[\s=;&|)\\]|$)", command)
    return [word for word in dict.fromkeys(words) if word not in MANAGERS]


def package(name: str) -> Package | None:
    """The package of that name as this machine can lend it, or None."""
    known = dpkg.installed()
    if name in ("nginx", "nginx-light", "nginx-full", "nginx-core"):
        return _nginx(name)
    if name in known:
        needed = dpkg.closure(name, known)
        entries: list[Entry] = []
        for item in needed:
            for path in dpkg.files(item):
                if os.access(path, os.R_OK, follow_symlinks=False):
                    entries += chain(path)
        clean = [entry for entry in entries if not entry.path.startswith(("proc/", "sys/", "dev/"))]
        parts = tuple(f"{item.name} {item.version}" for item in needed)
        return Package(name, known[name].version, parts, tuple(with_parents(clean)), sum(item.size_kb for item in needed))
    if name in _PROGRAMS:
        if not _PROGRAMS[name]:
            certificates = Path("/etc/ssl/certs/ca-certificates.crt")
            entries = [*chain(certificates)] if certificates.exists() else []
            return Package(name, "1", (f"{name} 1",), tuple(with_parents(entries)), 200)
        program = find(_PROGRAMS[name])
        if program is not None:
            return _program(name, program)
    return None


def _program(name: str, program: Path) -> Package:
    entries = [entry for entry in files([program]) if entry not in merged_usr()]
    place = Path("/usr/bin") / program.name
    if canonical(program) != place:
        entries.append(layers.link(str(place), str(canonical(program))))
    return Package(name, "0", (f"{name} (this machine's {program})",), tuple(with_parents(entries)), 1024)


def _nginx(name: str) -> Package | None:
    program = nginx_base.program()
    if program is None:
        return None
    known = dpkg.installed()
    entry = known.get("nginx")
    version = entry.version if entry is not None else nginx_base.version(program)
    borrowed = [item for item in files([program]) if item not in merged_usr()]
    entries = [*borrowed, *debian_nginx(), *nginx_base.executable(program)]
    return Package(name, version, (f"nginx {version}",), tuple(with_parents(entries)), 2048)


def write(names: Iterable[str], target: Path, provided: frozenset[str] = frozenset()) -> dict[str, Package]:
    """Make the tools layer at ``target``: the package managers in /usr/bin, and under PLACE what can be installed.

    A package ``P`` is ``packages/P/files`` (its tree) and ``packages/P/{version,parts,size}``.
    Files at ``provided`` paths (libraries that the base image has) are left out.
    """
    found = {name: item for name in names if (item := package(name)) is not None}
    script = Path(__file__).with_name("manager.sh").read_bytes()
    entries = [Entry(f"{PLACE}/manager", "file", 0o755, data=script)]
    binaries = str(canonical(Path("/usr/bin/apt-get")).parent).strip("/")
    entries += [Entry(f"{binaries}/{name}", "file", 0o755, data=script) for name in MANAGERS]
    if Path("/sbin/apk").exists():
        entries.append(Entry("usr/sbin/apk", "file", 0o755, data=script))
    for name, item in found.items():
        base = f"{PLACE}/packages/{name}"
        entries.append(layers.text(f"{base}/version", item.version + "\n"))
        entries.append(layers.text(f"{base}/parts", "".join(part + "\n" for part in item.parts)))
        entries.append(layers.text(f"{base}/size", f"{item.size_kb}\n"))
        entries.append(layers.directory(f"{base}/files"))
    layers.unpack(layers.contents(with_parents(entries)), target)
    for name, item in found.items():
        kept = [entry for entry in item.entries if entry.kind == "directory" or entry.path not in provided]
        used = {parent for entry in kept if entry.kind != "directory" for parent in _above(entry.path)}
        kept = [entry for entry in kept if entry.kind != "directory" or entry.path in used or entry.path not in provided]
        layers.unpack(layers.contents(kept), target / PLACE / "packages" / name / "files")
    return found


def _above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]
