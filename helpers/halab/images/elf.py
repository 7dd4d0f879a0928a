"""Which shared libraries a program needs: a reader of ELF's dynamic section, as much of it as that takes.

Asking the dynamic loader (``ldd``) costs a process for each program and runs it on some systems; a base image borrows a hundred programs.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NEEDED, _DT_STRTAB, _DT_RPATH, _DT_RUNPATH = 1, 5, 15, 29


@dataclass(frozen=True, slots=True)
class Dynamic:
    """``interpreter`` is the loader's path or empty; ``needed`` are sonames; ``search`` the rpath with ``$ORIGIN`` as written."""

    interpreter: str = ""
    needed: tuple[str, ...] = ()
    search: tuple[str, ...] = field(default=())


def read_dynamic(path: Path) -> Dynamic | None:
    """None for what is not a 64-bit little-endian ELF file (a script, say)."""
    data = path.read_bytes()
    if data[:4] != b"\x7fELF" or data[4] != 2 or data[5] != 1:
        return None
    offset, size, count = struct.unpack_from("<Q", data, 32)[0], *struct.unpack_from("<HH", data, 54)
    loads: list[tuple[int, int, int]] = []
    interpreter, dynamic = "", (0, 0)
    for index in range(count):
        kind, _, at, address, _, length = struct.unpack_from("<IIQQQQ", data, offset + index * size)
        if kind == _PT_LOAD:
            loads.append((address, at, length))
        elif kind == _PT_INTERP:
            interpreter = data[at : at + length].rstrip(b"\0").decode()
        elif kind == _PT_DYNAMIC:
            dynamic = (at, length)
    entries = [struct.unpack_from("<qQ", data, dynamic[0] + n) for n in range(0, dynamic[1], 16)]
    tables = [value for tag, value in entries if tag == _DT_STRTAB]
    if not tables:
        return Dynamic(interpreter)
    strings = next(
        (tables[0] - address + at for address, at, length in loads if address <= tables[0] < address + length), tables[0]
    )

    def text(value: int) -> str:
        end = data.index(b"\0", strings + value)
        return data[strings + value : end].decode()

    needed = tuple(text(value) for tag, value in entries if tag == _DT_NEEDED)
    search = tuple(part for tag, value in entries if tag in (_DT_RPATH, _DT_RUNPATH) for part in text(value).split(":") if part)
    return Dynamic(interpreter, needed, search)


@lru_cache(maxsize=1)
def library_directories() -> tuple[Path, ...]:
    """Where the loader looks, in order: /etc/ld.so.conf and what it includes, then its built-in places."""
    found: list[Path] = []

    def read(path: Path, depth: int) -> None:
        if depth > 4 or not path.is_file():
            return
        for line in path.read_text(errors="replace").splitlines():
            line = line.split("#")[0].strip()
            if line.startswith("include "):
                pattern = line.split(None, 1)[1]
                for part in sorted(Path("/etc").glob(pattern.removeprefix("/etc/"))):
                    read(part, depth + 1)
            elif line.startswith("/"):
                found.append(Path(line))

    read(Path("/etc/ld.so.conf"), 0)
    multiarch = [path for base in ("/lib", "/usr/lib") for path in sorted(Path(base).glob("*-linux-gnu*")) if path.is_dir()]
    found += [*multiarch, *(Path(p) for p in ("/lib64", "/usr/lib64", "/lib", "/usr/lib"))]
    return tuple(dict.fromkeys(path for path in found if path.is_dir()))


def libraries(programs: Iterable[Path]) -> set[Path]:
    """All libraries and loaders (as the paths by which they are found, links not followed) that ``programs`` need, transitively.

    A library that cannot be found is left out: the program would not run here either.
    """
    found: set[Path] = set()
    pending, seen = [path.resolve() for path in programs], set[Path]()
    while pending:
        program = pending.pop()
        if program in seen:
            continue
        seen.add(program)
        dynamic = read_dynamic(program)
        if dynamic is None:
            continue
        if dynamic.interpreter and Path(dynamic.interpreter).exists():
            found.add(Path(dynamic.interpreter))
        own = [
            Path(part.replace("$ORIGIN", str(program.parent)).replace("${ORIGIN}", str(program.parent)))
            for part in dynamic.search
        ]
        for name in dynamic.needed:
            for directory in (*own, *library_directories()):
                candidate = directory / name
                if candidate.exists():
                    found.add(candidate)
                    pending.append(candidate.resolve())
                    break
    return found
