"""Borrowing: the files of this machine that a program needs, as the entries of an image layer.

A base image such as ``busybox`` is made from the machine's own program, its libraries and its loader, each at the path where the machine
has it. A sandbox lays an image over the machine's files, so there the layer is not needed; a saved image needs it to run elsewhere.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from halab.images import elf
from halab.images.layers import Entry, directory, from_file, link, with_parents

HOST_NAMES = ("bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr", "etc")  # what a sandbox shows of this machine
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def find(program: str, *others: str) -> Path | None:
    """Where the machine has the program: the system's own directories first, then the environment's (conda, venv) and $PATH."""
    search = f"{SYSTEM_PATH}:{Path(sys.prefix) / 'bin'}:{Path(sys.base_prefix) / 'bin'}:{os.environ.get('PATH', '')}"
    for name in (program, *others):
        if found := shutil.which(name, path=search):
            return Path(found)
    return None


def canonical(path: Path) -> Path:
    """``/bin/sh`` -> ``/usr/bin/sh`` where /bin is a link; the last part is not followed."""
    return Path(os.path.realpath(path.parent)) / path.name


def chain(path: Path) -> list[Entry]:
    """The file and every link on the way to it (``/usr/bin/awk`` -> ``/etc/alternatives/awk`` -> ``/usr/bin/mawk``)."""
    found: list[Entry] = []
    current = canonical(path)
    for _ in range(10):
        found.append(from_file(str(current), current))
        if not current.is_symlink():
            return found
        current = canonical(current.parent / current.readlink())
    return found


def merged_usr() -> list[Entry]:
    """``bin -> usr/bin`` and its like, where this machine has them."""
    return [
        link(name, str(Path("/" + name).readlink()))
        for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
        if Path("/" + name).is_symlink()
    ]


def files(programs: Iterable[Path], extra: Iterable[Path] = ()) -> list[Entry]:
    """Entries for the programs with links, loaders and libraries, and for the files (or whole trees) in ``extra``; parents included."""
    found: list[Entry] = []
    wanted = list(programs)
    for program in wanted:
        found += chain(program)
    for library in elf.libraries(wanted):
        found += chain(library)
    for path in extra:
        found += tree(path)
    return with_parents([*merged_usr(), *found])


def tree(path: Path, at: str | None = None, skip: Iterable[str] = ()) -> list[Entry]:
    """A file, or a directory with all below it except names in ``skip``; placed at ``at`` (default: where it is)."""
    place = (at or str(canonical(path))).strip("/")
    if not path.exists():
        return []
    if not path.is_dir():
        return [from_file(place, path)]
    skipped = set(skip)
    found = [directory(place)]
    for base, folders, names in os.walk(path):
        inside = Path(base).relative_to(path)
        here = place if str(inside) == "." else f"{place}/{inside}"
        folders[:] = sorted(name for name in folders if name not in skipped)
        for name in [*folders, *sorted(names)]:
            if name in skipped:
                continue
            item = Path(base) / name
            if item.is_dir() and not item.is_symlink():
                found.append(directory(f"{here}/{name}"))
            elif (item.is_file() or item.is_symlink()) and os.access(item, os.R_OK, follow_symlinks=False):
                found.append(from_file(f"{here}/{name}", item))
    return found


def skeleton() -> list[Entry]:
    """The directories of this machine's /etc and /usr (four levels), empty.

    In a user namespace the machine's directories belong to nobody and cannot be written; laid over them, these belong to the user.
    """
    found: list[Entry] = []
    for top, depth in (("etc", 8), ("usr", 4)):
        for base, folders, _ in os.walk("/" + top):
            if Path(base).relative_to("/" + top).parts[depth - 1 :]:
                folders[:] = []
            found.append(directory(base))
    return with_parents(found)


def fingerprint(paths: Iterable[Path | None]) -> str:
    """Changes when any of the files is replaced; by size and time, so that asking costs microseconds."""
    parts = []
    for path in paths:
        if path is None or not path.exists():
            parts.append("-")
            continue
        status = path.stat()
        parts.append(f"{path}:{status.st_size}:{status.st_mtime_ns}")
    return "|".join(parts)


def host_prefixes(entries: Iterable[Entry]) -> list[str]:
    """The environments (a conda prefix, an unpacked Python) outside /usr and its like from which entries were borrowed, shortest first."""
    found: set[str] = set()
    for entry in entries:
        if entry.kind not in ("file", "link") or entry.path.split("/", 1)[0] in HOST_NAMES or "/" not in entry.path:
            continue
        path = Path("/" + entry.path)
        marker = next((index for index, part in enumerate(path.parts) if part in ("bin", "lib", "sbin", "libexec")), 0)
        found.add(str(Path(*path.parts[:marker])) if marker > 1 else str(path.parent))
    return [path for path in sorted(found) if not any(path.startswith(other + "/") for other in found)]
