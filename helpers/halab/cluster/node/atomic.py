"""Writes the files of a configMap, secret, downwardAPI or projected volume so that a reader sees all of one version or all of the next.

The layout is kubelet's: the files lie in a directory named after the time, ``..data`` links to it, and each top-level name links into
``..data``; a new version is one rename of that link.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from halab.sandbox import give


@dataclass(frozen=True, slots=True)
class File:
    content: bytes
    mode: int


def write(directory: Path, files: Mapping[str, File], group: int | None = None) -> bool:
    """Bring ``directory`` to these files (relative paths). False if they were all there already, unchanged."""
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o777)  # whatever the umask: the container's user must get in
    current = directory / "..data"
    if current.exists() and _same(current, files):
        return False
    stamp = datetime.now().strftime("..%Y_%m_%d_%H_%M_%S.%f")
    version = directory / stamp
    version.mkdir(mode=0o755)
    version.chmod(0o755)
    for name, file in files.items():
        path = version / name
        for folder in reversed(path.relative_to(version).parents[:-1]):
            (version / folder).mkdir(exist_ok=True)
            (version / folder).chmod(0o755)
        path.write_bytes(file.content)
        mode = file.mode
        if group is not None:
            mode |= 0o040 if mode & 0o400 else 0
            give(path, group)
        path.chmod(mode)
    old = current.readlink() if current.is_symlink() else None
    fresh = directory / "..data_tmp"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(stamp)
    fresh.rename(current)
    wanted = {name.partition("/")[0] for name in files}
    for name in wanted:
        link = directory / name
        if not link.is_symlink():
            link.symlink_to(f"..data/{name}")
    for link in directory.iterdir():
        if not link.name.startswith("..") and link.name not in wanted:
            link.unlink()
    if old:
        shutil.rmtree(directory / old, ignore_errors=True)
    return True


def _same(current: Path, files: Mapping[str, File]) -> bool:
    if _names(current) != set(files):
        return False
    return all((current / name).read_bytes() == file.content for name, file in files.items())


def _names(current: Path) -> set[str]:
    root = current.resolve()
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
