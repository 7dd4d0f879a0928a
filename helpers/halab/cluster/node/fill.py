"""A full disk where a container has a volume: a small file system of its own is laid over the volume's directory and filled.

The machine's disk is never filled. It is done inside the container's mount namespace by a short-lived process (``python -m
halab.cluster.node.fill``), because a process with threads cannot enter one. What the container wrote meanwhile is carried over when the
disk is "emptied" again.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path

from halab.sandbox import capabilities

FILLER = "halab-fills-this-disk"
SPARE = 1 << 20  # bytes beyond what the volume holds now: they become the filler
LARGEST = 256 << 20
CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000
MNT_DETACH = 2


async def fill(pid: int, path: str) -> str:
    """Fill the volume at ``path`` of the container whose first process is ``pid``. Why not, or an empty string."""
    return await _inside("fill", pid, path)


async def unfill(pid: int, path: str) -> str:
    return await _inside("unfill", pid, path)


async def _inside(action: str, pid: int, path: str) -> str:
    if capabilities().mode == "none":
        return "this machine gives containers no mounts of their own, so their disks cannot be filled apart"
    if not path.startswith("/") or path == "/":
        return f"{path!r} is not the path of a volume in the container"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "halab.cluster.node.fill",
        action,
        str(pid),
        path,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    lines = said.decode(errors="replace").strip().splitlines()
    return "" if process.returncode == 0 else (lines[-1] if lines else f"exit status {process.returncode}")


def _call(name: str, *arguments: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _enter(pid: int) -> None:
    """Into the container's namespaces and below its root. There is no /proc of ours afterwards: directories are held by descriptors."""
    mine = Path("/proc/self/ns/user").stat().st_ino
    user, mounts = (os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY) for kind in ("user", "mnt"))
    root = os.open(f"/proc/{pid}/root", os.O_RDONLY | os.O_DIRECTORY)
    if os.fstat(user).st_ino != mine:
        _call("setns", user, CLONE_NEWUSER)
    _call("setns", mounts, CLONE_NEWNS)
    os.fchdir(root)
    os.chroot(".")


def _copy_here(target: Path) -> None:
    """What the current directory holds."""
    shutil.copytree(".", target, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns(FILLER))


def _mounts(pid: int, path: str) -> int:
    """How many file systems lie on ``path`` for process ``pid``."""
    return sum(line.split()[4] == path for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines())


def _fill(path: Path, mounts: int) -> None:
    if not mounts:
        raise SystemExit(f"{path} is not a volume of the container")
    if mounts > 1 and (path / FILLER).exists():
        return
    os.chdir(path)
    used = sum(file.lstat().st_size + 4096 for file in Path().rglob("*"))
    if used > LARGEST:
        raise SystemExit(f"{path} holds {used >> 20} MB: more than can be set aside")
    mode = Path().stat().st_mode & 0o7777
    _call("mount", b"halab", str(path).encode(), b"tmpfs", 0, f"size={used + SPARE},mode={mode:o}".encode())
    try:
        _copy_here(path)
    except (OSError, shutil.Error) as error:
        _call("umount2", str(path).encode(), MNT_DETACH)
        raise SystemExit(f"{path}: {error}") from error
    with open(path / FILLER, "wb", buffering=0) as filler:
        for size in (65536, 4096):  # the last page, too
            try:
                while True:
                    filler.write(b"\0" * size)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise


def _unfill(path: Path, mounts: int) -> None:
    if mounts < 2:
        return
    os.chdir(path)
    _call("umount2", str(path).encode(), MNT_DETACH)
    for entry in list(path.iterdir()):
        if not os.path.lexists(entry.name):  # deleted meanwhile
            with suppress(OSError):
                shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    _copy_here(path)


def main(action: str, pid: str, path: str) -> None:
    mounts = _mounts(int(pid), path)
    try:
        _enter(int(pid))
        (_fill if action == "fill" else _unfill)(Path(path), mounts)
    except OSError as error:
        raise SystemExit(f"{path}: {error.strerror}") from error


if __name__ == "__main__":
    main(*sys.argv[1:])
