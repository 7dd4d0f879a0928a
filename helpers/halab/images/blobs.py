"""Files on disk that never appear half-written: blobs by digest, extracted layers, temporary directories that outlive nobody.

Everything is made under ``tmp/`` and renamed into place. A temporary directory carries the id and start time of the process that made it,
so that whoever opens the store next can sweep what a killed process left.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from halab.aio.processes import start_time
from halab.errors import ImageError
from halab.images import layers, oci


class Blobs:
    """Content addressed storage under ``root``: ``blobs/sha256``, ``layers``, ``tmp`` and lock files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.directory = root / "blobs" / "sha256"
        self.extracted = root / "layers"
        self.temporary = root / "tmp"
        for path in (self.directory, self.extracted, self.temporary, root / "locks"):
            path.mkdir(parents=True, exist_ok=True)

    def path(self, digest: str) -> Path:
        return self.directory / oci.hex_of(digest)

    def has(self, digest: str) -> bool:
        return self.path(digest).exists()

    def read(self, digest: str) -> bytes:
        """Raises ImageError when the blob is gone."""
        try:
            return self.path(digest).read_bytes()
        except FileNotFoundError:
            raise ImageError(f"blob {digest}", "is not in the image store", "build or pull the image again") from None

    def write(self, data: bytes) -> str:
        digest = oci.digest_of(data)
        if not self.has(digest):
            with self.workspace() as work:
                (work / "blob").write_bytes(data)
                (work / "blob").replace(self.path(digest))
        return digest

    def adopt(self, file: Path, digest: str) -> None:
        """Move a finished file (on the same file system, under ``tmp``) into place."""
        file.replace(self.path(digest))

    def receive(self, stream: IO[bytes], digest: str) -> int:
        """Copy a stream in, checking that its content has the digest that was promised. Returns the size."""
        with self.workspace() as work:
            hasher, size = hashlib.sha256(), 0
            with (work / "blob").open("wb") as out:
                while block := stream.read(1 << 18):
                    hasher.update(block)
                    size += len(block)
                    out.write(block)
            found = "sha256:" + hasher.hexdigest()
            if found != digest:
                raise ImageError(
                    f"blob {digest}", f"its content has the digest {found}", "the copy is damaged: transfer it again"
                )
            self.adopt(work / "blob", digest)
        return size

    def add_layer(self, entries: list[layers.Entry], *, extract: bool = True) -> layers.Packed:
        """Pack entries into a blob and, unless told otherwise, lay them out as a directory as well."""
        with self.workspace() as work:
            with (work / "layer").open("wb") as out:
                packed = layers.pack(entries, out)
            self.adopt(work / "layer", packed.digest)
        if extract:
            self.extract(packed.digest, packed.diff_id)
        return packed

    def extract(self, digest: str, diff_id: str) -> Path:
        """The directory of a layer, made from its blob if need be; the content is checked against ``diff_id``."""
        place = self.extracted / oci.hex_of(diff_id)
        if place.exists():
            return place
        with self.workspace() as work:
            target = work / "tree"
            target.mkdir(mode=0o755)
            with layers.open_blob(self.path(digest)) as raw:
                hashing = _Reading(raw)
                layers.unpack(layers.read(hashing), target)  # type: ignore[arg-type]
                hashing.drain()
            found = "sha256:" + hashing.hash.hexdigest()
            if found != diff_id:
                raise ImageError(
                    f"layer {digest}",
                    f"its content is {found}, the image says {diff_id}",
                    "the image is damaged: pull or load it again",
                )
            try:
                target.rename(place)
            except OSError:
                if not place.exists():  # another process was faster: its copy is the same
                    raise
        return place

    @contextlib.contextmanager
    def workspace(self) -> Iterator[Path]:
        """A directory on the store's file system that is removed afterwards, also after a kill -9 (by ``sweep``)."""
        pid = os.getpid()
        path = Path(tempfile.mkdtemp(prefix=f"{pid}-{start_time(pid)}-", dir=self.temporary))
        try:
            yield path
        finally:
            layers.remove_tree(path)

    def sweep(self) -> list[str]:
        """Remove temporary directories whose process is gone. Returns their names."""
        gone = []
        for path in self.temporary.iterdir():
            pid, _, rest = path.name.partition("-")
            if pid.isdigit() and start_time(int(pid)) != rest.partition("-")[0]:
                layers.remove_tree(path)
                gone.append(path.name)
        return gone

    @contextlib.contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Held by one process at a time; released by the kernel when the process ends."""
        with (self.root / "locks" / name).open("a") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def replace_file(self, path: Path, data: bytes) -> None:
        with self.workspace() as work:
            (work / "file").write_bytes(data)
            (work / "file").replace(path)

    def copy_out(self, digest: str, out: IO[bytes]) -> None:
        with self.path(digest).open("rb") as source:
            shutil.copyfileobj(source, out, 1 << 18)


class _Reading:
    """A source that hashes what is read from it, for tarfile's stream mode."""

    def __init__(self, source: IO[bytes]) -> None:
        self.source, self.hash = source, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self.source.read(size)
        self.hash.update(data)
        return data

    def drain(self) -> None:
        while self.read(1 << 18):
            pass
