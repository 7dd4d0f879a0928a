"""``halab snapshot save``: the state of a cluster, running or stopped, as one file that appears only when it is whole."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sqlite3
import stat
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import IO

from halab.cluster.apiserver import backup
from halab.cluster.supervisor import control, layout
from halab.cluster.supervisor.files import disk_error, try_lock
from halab.cluster.supervisor.layout import NODE_PREFIX
from halab.cluster.supervisor.manage import start_it
from halab.cluster.supervisor.snapshot.freeze import frozen
from halab.cluster.supervisor.snapshot.header import DIGESTS, FAULTS, HEADER, IMAGES, KEY, STATE, VOLUMES, Header
from halab.errors import ClusterError, MachineError, UsageError
from halab.images import archive
from halab.images.store import ImageStore
from halab.settings import ClusterConfig

Report = Callable[[str], None]
MEGABYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class Saved:
    header: Header
    file: Path
    size: int


def save(name: str, file: Path, *, replace: bool = False, report: Report = lambda _text: None) -> Saved:
    """Save cluster ``name`` to ``file`` (0600). While the volumes are copied its pods stand still (containers of a Docker engine
    go on: their files are copied as they come); the API goes on.

    Raises HalabError: no such cluster, ``file`` is there already (unless ``replace``), a full disk. Then nothing new is left behind.
    """
    directory = layout.directory_of(name)
    config = layout.read_config(directory)
    if config is None:
        raise ClusterError(f"cluster {name}", "does not exist", start_it(name))
    if file.is_dir():
        raise UsageError(str(file), "is a directory", f"name a file in it: {file / (name + '.snapshot')}")
    if file.exists() and not replace:
        raise UsageError(str(file), "is there already", "give another name, or --force to replace it")
    with _hold(name, directory) as agents:
        try:
            with tempfile.TemporaryDirectory(prefix=f".{file.name}.", dir=file.parent) as work:
                header = _write(config, agents, Path(work), report)
                whole = Path(work) / "whole"
                size = whole.stat().st_size
                whole.replace(file)
                _sync(file.parent)
        except FileNotFoundError as error:
            if file.parent.is_dir():
                raise
            raise UsageError(str(file.parent), "is no directory", "make it first, or save elsewhere") from error
        except sqlite3.Error as error:
            raise ClusterError(f"cluster {name}", f"its state cannot be read ({error})", "see its apiserver.log") from error
        except OSError as error:
            raise disk_error(file, error) from error
    return Saved(header, file, size)


@contextmanager
def _hold(name: str, directory: Path) -> Iterator[list[int] | None]:
    """The process ids of a running cluster's node agents; None for a stopped one, which stays stopped meanwhile."""
    try:
        running = control.request(directory, "wait")
    except ConnectionError:
        lock = try_lock(directory / layout.LOCK)
        if lock is None:
            raise ClusterError(f"cluster {name}", "is being started or stopped by another command", "try again") from None
        try:
            yield None
        finally:
            os.close(lock)
        return
    yield [one["pid"] for one in running["components"] if one["name"].startswith(NODE_PREFIX) and one["pid"]]


def _write(config: ClusterConfig, agents: list[int] | None, work: Path, report: Report) -> Header:
    state = work / STATE
    with (
        os.fdopen(os.open(work / "whole", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out,
        tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        packer = _Packer(tar, report)
        report("copying the state")
        volumes = config.directory / VOLUMES
        with frozen(agents if agents and volumes.exists() else []):
            contents = backup.save(config.database, state, alone=agents is None)
            store = ImageStore(config.images)
            images = tuple(name for name in contents.images if store.has_own(name))
            header = _header(config, contents, images)
            packer.text(HEADER, header.dump())
            packer.file(STATE, state)
            packer.file(KEY, config.service_account_key)
            for folder in (VOLUMES, FAULTS):
                if (config.directory / folder).exists():
                    packer.tree(folder, config.directory / folder)
        if images:
            report(f"copying {len(images)} image{'s' * (len(images) > 1)}")
            with (work / IMAGES).open("wb") as packed:
                archive.save(store, images, packed)
            packer.file(IMAGES, work / IMAGES)
        packer.text(DIGESTS, json.dumps(packer.digests).encode())
        tar.close()
        out.flush()
        os.fsync(out.fileno())
    return header


def _header(config: ClusterConfig, contents: backup.Contents, images: tuple[str, ...]) -> Header:
    return Header(
        name=config.name,
        number=config.number,
        runtime=config.runtime,
        directory=str(config.directory),
        nodes=config.nodes,
        absent=tuple(sorted(layout.absent_nodes(config.directory))),
        revision=contents.revision,
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        halab=version("halab"),
        objects=contents.objects,
        images=images,
    )


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _Packer:
    """Adds members to the tar and notes their digests."""

    def __init__(self, tar: tarfile.TarFile, report: Report) -> None:
        self.tar, self.report = tar, report
        self.digests: dict[str, str] = {}
        self._copied = 0

    def text(self, name: str, data: bytes) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mode, member.mtime = len(data), 0o600, int(time.time())
        self._add(member, io.BytesIO(data))

    def file(self, name: str, path: Path) -> None:
        with path.open("rb") as source:
            self._add(self.tar.gettarinfo(arcname=name, fileobj=source), source)

    def tree(self, name: str, path: Path) -> None:
        """A directory and all below it, as it is: owners, modes, links. Sockets and devices are no data."""
        member = self.tar.gettarinfo(str(path), name)
        try:
            if member is None or member.ischr() or member.isblk():
                return
            if member.isreg():
                with path.open("rb") as source:
                    self._add(member, source)
                return
            self.tar.addfile(member)
            if stat.S_ISDIR(path.lstat().st_mode):
                for below in sorted(path.iterdir()):
                    self.tree(f"{name}/{below.name}", below)
        except PermissionError as error:
            fact = "cannot be read (a pod gave it to another user)"
            raise MachineError(str(path), fact, "let the pod change its mode, or delete the file") from error

    def _add(self, member: tarfile.TarInfo, source: IO[bytes]) -> None:
        hashing = _Hashing(source)
        self.tar.addfile(member, hashing)
        self.digests[member.name] = hashing.hash.hexdigest()
        before, self._copied = self._copied, self._copied + member.size
        if self._copied // (16 * MEGABYTE) > before // (16 * MEGABYTE):
            self.report(f"copied {self._copied // MEGABYTE} MB")


class _Hashing:
    def __init__(self, source: IO[bytes]) -> None:
        self.source, self.hash = source, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self.source.read(size)
        self.hash.update(data)
        return data
