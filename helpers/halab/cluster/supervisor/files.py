"""Files of a cluster's directory: private from the first byte, and never half-written."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from pathlib import Path

from halab.errors import MachineError

LOG_BYTES = 8 << 20
_libc = ctypes.CDLL(None, use_errno=True)
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


def write_private(path: Path, content: str | bytes) -> None:
    """Replace ``path`` (0600) in one step, so that a reader sees the old content or the new one."""
    data = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise disk_error(path, error) from error


def private_directory(path: Path) -> Path:
    """``path``, made with its parents and readable by its owner alone."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        if path.stat().st_mode & 0o077:
            path.chmod(0o700)
    except OSError as error:
        raise disk_error(path, error) from error
    return path


def disk_error(path: Path, error: OSError) -> MachineError:
    """The ``MachineError`` that says what to do about a failed write."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return MachineError(
            str(path), "the disk is full", "free some space (halab needs about 100 MB), then run the command again"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return MachineError(
            str(path), f"cannot be written ({os.strerror(error.errno)})", "set HALAB_HOME to a directory that you own"
        )
    return MachineError(str(path), os.strerror(error.errno or 0) or str(error), "set HALAB_HOME to a directory on a local disk")


def bound(path: Path, limit: int = LOG_BYTES) -> bool:
    """Keep the end of a log that is longer than ``limit``, from a line's beginning on. For its only writer, who appends. Whether it was."""
    try:
        if path.stat().st_size <= limit:
            return False
        with path.open("r+b") as file:
            file.seek(-limit // 2, os.SEEK_END)
            file.readline()
            end = file.read()
            file.seek(0)
            file.write(end)
            file.truncate()
    except OSError:
        return False
    return True


def exchange(one: Path, other: Path) -> None:
    """Let two paths of one file system change places in one step (Linux' renameat2), so that at no moment either is missing."""
    code = _libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    if code != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(other))


def try_lock(path: Path) -> int | None:
    """An exclusive lock on ``path`` as an open descriptor (the lock lasts as long as it), or None if another process holds it."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise disk_error(path, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
