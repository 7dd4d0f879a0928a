"""The two native programs, compiled on first use and cached by the hash of their sources and compiler.

No binary is committed or shipped: the sources are small, a compile takes half a second, and it always fits the machine's C library.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from halab.errors import MachineError
from halab.settings import halab_home

SOURCES = Path(__file__).parent / "src"
LAUNCHER = ("launch.c", "files.c", "process.c")
PLAIN = ("settings.c", "network.c", "policy.c", "names.c", "clock.c", "identity.c")
FULL = (*PLAIN, "paths.c", "owners.c", "rewrite.c", "listing.c", "programs.c")
FLAGS = ("-std=gnu17", "-O1", "-w")
BUILT = "_built"


@dataclass(frozen=True, slots=True)
class Programs:
    """``launcher`` starts containers; ``shim`` is preloaded into those with real users, ``full_shim`` (which also rewrites paths and
    mends owners) into all others; ``base`` is an empty directory to mount on."""

    launcher: Path
    shim: Path
    full_shim: Path
    base: Path


def compiler() -> tuple[str, ...]:
    """The command of a C compiler: ``$CC``, cc, gcc, clang, zig, or the ``ziglang`` wheel. Raises MachineError."""
    if chosen := os.environ.get("CC"):
        return tuple(chosen.split())
    for name in ("cc", "gcc", "clang"):
        if found := shutil.which(name):
            return (found,)
    if found := shutil.which("zig"):
        return (found, "cc")
    if importlib.util.find_spec("ziglang"):
        return (sys.executable, "-m", "ziglang", "cc")
    raise MachineError("sandbox", "no C compiler (cc, gcc, clang or zig)", "run: pip install ziglang")


def _digest() -> str:
    made_of = f"{platform.machine()} {platform.libc_ver()} {FLAGS} {LAUNCHER} {PLAIN} {FULL}"  # a newly named source is another program, too
    digest = hashlib.sha256(made_of.encode())
    for path in sorted(SOURCES.iterdir()):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _compile(command: tuple[str, ...], arguments: list[str]) -> None:
    run = subprocess.run([*command, *FLAGS, *arguments], cwd=SOURCES, capture_output=True, text=True, check=False)
    if run.returncode:
        raise MachineError("sandbox", f"{command[0]} failed: {run.stderr.strip()[-2000:]}", "run: halab doctor")


def _build(directory: Path) -> None:
    """Compile into ``directory``; a rename at the end, so that it exists whole or not at all."""
    command = compiler()
    with tempfile.TemporaryDirectory(dir=directory.parent) as scratch:
        made = Path(scratch) / "made"
        made.mkdir()
        made.chmod(0o755)
        _compile(command, ["-o", str(made / "launch"), *LAUNCHER])
        shared = ["-shared", "-fPIC", "-ldl", "-lresolv", "-o"]
        _compile(command, [*shared, str(made / "libhalab.so"), "-DHALAB_PLAIN", *PLAIN])
        _compile(command, [*shared, str(made / "libhalab-full.so"), *FULL])
        for file in made.iterdir():
            file.chmod(0o755)
        made.rename(directory)


def _place(own: Path) -> Path:
    """Where the programs are or should be: beside the sources if that may be written (then all homes share them), else in ``own``."""
    digest = _digest()
    shared = SOURCES.parent / BUILT / digest
    if shared.is_dir():
        return shared
    try:
        shared.parent.mkdir(exist_ok=True)
        with suppress(PermissionError):
            shared.parent.chmod(0o755)  # others may use what is there
        if os.access(shared.parent, os.W_OK) and shared.parent.stat().st_uid == os.geteuid():
            return shared
    except OSError:
        pass
    return own / digest


@functools.cache
def programs() -> Programs:
    """The compiled programs. Of several processes that need them at the same time one compiles, the others wait for it."""
    cache = halab_home() / "cache" / "sandbox"
    base = cache / "root"
    base.mkdir(parents=True, exist_ok=True)
    directory = _place(cache)
    if not directory.is_dir():
        with open(directory.parent / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not directory.is_dir():
                _build(directory)
    return Programs(directory / "launch", directory / "libhalab.so", directory / "libhalab-full.so", base)
