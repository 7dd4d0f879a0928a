"""What a container wrote: one tree, or several where /usr, /etc ... were laid over the host's one by one."""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path

_PARTS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr", "etc")


def upper_trees(upper: Path) -> list[tuple[str, Path]]:
    """``(prefix, directory)`` pairs: what lies in ``directory`` was written at ``/prefix`` of the container.

    The launcher's own entries (/.halab, the mount points of volumes) are not told apart here.
    """
    if not (upper / "root").is_dir() or not (upper / ".work-root").exists():
        return [("", upper)]
    return [("", upper / "root"), *((name, upper / name) for name in _PARTS if (upper / name).is_dir())]


def is_whiteout(path: Path) -> bool:
    """Did the container remove what a lower layer has at this path? (A character device 0/0, as overlayfs writes it.)"""
    state = path.lstat()
    return stat.S_ISCHR(state.st_mode) and state.st_rdev == 0


def is_opaque(path: Path) -> bool:
    """Does this directory hide the lower layers' directory of the same name?"""
    for name in ("trusted.overlay.opaque", "user.overlay.opaque"):
        try:
            if os.getxattr(path, name) == b"y":
                return True
        except OSError:
            continue
    return False


def give(path: Path, group: int) -> None:
    """Give a file to a group. Where that takes a privilege that is not there, the shim of unprivileged containers is told to pretend."""
    try:
        os.chown(path, -1, group)
    except PermissionError:
        with suppress(OSError):
            os.setxattr(path, "user.halab.owner", f"0:{group}".encode())


def remove_tree(path: Path) -> None:
    """Removes a tree that a container wrote, whatever modes it left (overlayfs' own work directory has none at all)."""
    if not path.is_dir() or path.is_symlink():
        path.unlink(missing_ok=True)
        return
    for folder, names, _ in os.walk(path, onerror=None):
        for name in names:
            below = Path(folder, name)
            if not below.is_symlink():
                with suppress(OSError):
                    below.chmod(0o700)
    shutil.rmtree(path, ignore_errors=True)
