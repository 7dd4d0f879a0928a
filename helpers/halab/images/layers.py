"""Layers: a list of entries -> a tar, a tar -> a directory that overlayfs can use, a directory that overlayfs wrote -> entries.

In a tar a deletion is an empty file ``.wh.NAME`` and a replaced directory holds ``.wh..wh..opq`` (OCI image-spec, layer.md). On disk they
are what overlayfs understands: a character device 0/0 (which Linux lets anybody make since 5.8) and the extended attribute
``user.overlay.opaque`` (and ``trusted.overlay.opaque`` for root).
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import stat
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Literal

from halab.errors import ImageError

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"
_OPAQUE_ATTRIBUTES = ("trusted.overlay.opaque", "user.overlay.opaque")

Kind = Literal["file", "directory", "link", "hardlink", "whiteout", "opaque", "fifo"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One member of a layer. ``path`` is relative, without a leading slash. File content is ``data`` or the file at ``source``."""

    path: str
    kind: Kind
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    target: str = ""  # of a link or hardlink
    data: bytes | None = None
    source: Path | None = None

    def owned(self, uid: int, gid: int) -> Entry:
        return replace(self, uid=uid, gid=gid)


def directory(path: str, mode: int = 0o755, uid: int = 0, gid: int = 0) -> Entry:
    return Entry(path.strip("/"), "directory", mode, uid, gid)


def text(path: str, content: str, mode: int = 0o644) -> Entry:
    return Entry(path.strip("/"), "file", mode, data=content.encode())


def link(path: str, target: str) -> Entry:
    return Entry(path.strip("/"), "link", 0o777, target=target)


def from_file(path: str, source: Path) -> Entry:
    """A regular file or link copied from ``source``; owned by root, as files of an image are."""
    status = source.lstat()
    if stat.S_ISLNK(status.st_mode):
        return Entry(path.strip("/"), "link", 0o777, mtime=int(status.st_mtime), target=str(source.readlink()))
    return Entry(path.strip("/"), "file", stat.S_IMODE(status.st_mode), mtime=int(status.st_mtime), source=source)


def with_parents(entries: Iterable[Entry]) -> list[Entry]:
    """The entries sorted, each once (the last wins), with the directories above them added where they are missing."""
    found = {entry.path: entry for entry in entries if entry.path}
    for path in list(found):
        parent = path
        while parent := parent.rpartition("/")[0]:
            found.setdefault(parent, directory(parent))
    return [found[path] for path in sorted(found)]


class _Hashing(io.RawIOBase):
    """A sink that hashes and counts what passes through it."""

    def __init__(self, sink: IO[bytes] | gzip.GzipFile | io.RawIOBase) -> None:
        self.sink, self.hash, self.size = sink, hashlib.sha256(), 0

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.hash.update(data)
        self.size += len(data)
        self.sink.write(data)
        return len(data)


@dataclass(frozen=True, slots=True)
class Packed:
    """A layer as written: its diff id (digest of the uncompressed tar) and the digest and size of the bytes in the file."""

    diff_id: str
    digest: str
    size: int
    compressed: bool


def pack(entries: Iterable[Entry], out: IO[bytes], *, compress: bool = False) -> Packed:
    """Write ``entries`` (in the order given) as a tar to ``out``; the same entries always give the same bytes."""
    outer = _Hashing(out)
    zipped = gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=outer, mtime=0) if compress else None
    inner = _Hashing(zipped if zipped is not None else outer)
    with tarfile.open(fileobj=inner, mode="w|", format=tarfile.PAX_FORMAT, bufsize=1 << 18) as tar:
        for entry in entries:
            _add(tar, entry)
    if zipped is not None:
        zipped.close()
    return Packed("sha256:" + inner.hash.hexdigest(), "sha256:" + outer.hash.hexdigest(), outer.size, compress)


def _add(tar: tarfile.TarFile, entry: Entry) -> None:
    parent, _, name = entry.path.rpartition("/")
    path = entry.path
    if entry.kind == "whiteout":
        path = f"{parent}/{WHITEOUT}{name}".lstrip("/")
    elif entry.kind == "opaque":
        path = f"{entry.path}/{OPAQUE}"
    member = tarfile.TarInfo(path)
    member.mode, member.uid, member.gid, member.mtime = entry.mode, entry.uid, entry.gid, entry.mtime
    if entry.kind == "directory":
        member.type = tarfile.DIRTYPE
    elif entry.kind in ("link", "hardlink"):
        member.type = tarfile.SYMTYPE if entry.kind == "link" else tarfile.LNKTYPE
        member.linkname = entry.target
    elif entry.kind == "fifo":
        member.type = tarfile.FIFOTYPE
    if entry.kind != "file":
        tar.addfile(member)
    elif entry.source is not None:
        with entry.source.open("rb") as source:
            member.size = os.fstat(source.fileno()).st_size
            tar.addfile(member, source)
    else:
        data = entry.data or b""
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))


def open_blob(path: Path) -> IO[bytes]:
    """The uncompressed tar inside a layer blob (plain or gzip, told by its first bytes)."""
    raw = path.open("rb")
    magic = raw.read(4)
    raw.seek(0)
    if magic[:2] == b"\x1f\x8b":
        return gzip.GzipFile(fileobj=raw)  # type: ignore[return-value]
    if magic == b"\x28\xb5\x2f\xfd":
        raw.close()
        raise ImageError(
            f"layer {path.name[:12]}", "is compressed with zstd, which is not supported", "save the image with gzip layers"
        )
    return raw


def read(stream: IO[bytes]) -> Iterator[tuple[Entry, IO[bytes] | None]]:
    """The entries of a tar in order; a regular file comes with a stream that must be read before the next entry is asked for."""
    with tarfile.open(fileobj=stream, mode="r|", bufsize=1 << 18) as tar:
        for member in tar:
            path = os.path.normpath("/" + member.name).lstrip("/")
            parent, _, name = path.rpartition("/")
            place = (member.mode & 0o7777, member.uid, member.gid, int(member.mtime))
            if name == OPAQUE:
                yield Entry(parent, "opaque"), None
            elif name.startswith(WHITEOUT):
                yield Entry(f"{parent}/{name[len(WHITEOUT) :]}".lstrip("/"), "whiteout"), None
            elif member.isdir():
                if path:
                    yield Entry(path, "directory", *place), None
            elif member.issym():
                yield Entry(path, "link", *place, member.linkname), None
            elif member.islnk():
                yield Entry(path, "hardlink", *place, os.path.normpath("/" + member.linkname).lstrip("/")), None
            elif member.isfifo():
                yield Entry(path, "fifo", *place), None
            elif member.isreg():
                yield Entry(path, "file", *place), tar.extractfile(member)
            # Device nodes are left out: a container's /dev is not the image's.


def contents(entries: Iterable[Entry]) -> Iterator[tuple[Entry, IO[bytes] | None]]:
    """Entries that were never packed, in the form ``unpack`` takes."""
    for entry in entries:
        if entry.kind != "file":
            yield entry, None
        elif entry.source is not None:
            with entry.source.open("rb") as source:
                yield entry, source
        else:
            yield entry, io.BytesIO(entry.data or b"")


def unpack(items: Iterable[tuple[Entry, IO[bytes] | None]], target: Path) -> list[str]:
    """Lay the entries out under ``target`` (an existing directory). Owners are kept only when running as root.

    Returns the whiteouts that could not be made (kernels before 5.8, or where mknod is forbidden). A path cannot leave ``target``:
    links among its parents are replaced by directories, never followed.
    """
    failed: list[str] = []
    late_modes: list[tuple[Path, int]] = []
    root = os.geteuid() == 0
    for entry, stream in items:
        path = target / entry.path
        _plain_parents(target, entry.path)
        if entry.kind == "opaque":
            path.mkdir(parents=True, exist_ok=True)
            _make_opaque(path)
            continue
        if entry.kind == "directory":
            if path.is_symlink() or not path.is_dir():
                _remove(path)
                path.mkdir()
            late_modes.append((path, entry.mode))
        else:
            _remove(path)
            if entry.kind == "whiteout":
                try:
                    os.mknod(path, stat.S_IFCHR, os.makedev(0, 0))
                except OSError:
                    failed.append(entry.path)
                continue
            if entry.kind == "link":
                path.symlink_to(entry.target)
            elif entry.kind == "hardlink":
                _plain_parents(target, entry.target)
                os.link(target / entry.target, path, follow_symlinks=False)
                continue
            elif entry.kind == "fifo":
                os.mkfifo(path)
            else:
                with path.open("wb") as out:
                    if stream is not None:
                        shutil.copyfileobj(stream, out, 1 << 18)
        if root and (entry.uid or entry.gid):
            os.chown(path, entry.uid, entry.gid, follow_symlinks=False)
        if entry.kind in ("file", "fifo"):
            path.chmod(entry.mode)
            os.utime(path, (entry.mtime, entry.mtime))
    for path, mode in reversed(late_modes):
        # Without root a directory must stay writable and searchable for its owner, or the store could never delete it.
        path.chmod(mode if root else mode | 0o700)
    return failed


def _plain_parents(target: Path, path: str) -> None:
    current = target
    for part in path.split("/")[:-1]:
        current = current / part
        if current.is_symlink() or (current.exists() and not current.is_dir()):
            current.unlink()
        if not current.exists():
            current.mkdir(mode=0o755)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        remove_tree(path)
    else:
        path.unlink(missing_ok=True)


def _make_opaque(path: Path) -> None:
    for attribute in _OPAQUE_ATTRIBUTES:
        try:
            os.setxattr(path, attribute, b"y")
        except OSError:
            continue


def is_opaque(path: Path) -> bool:
    for attribute in _OPAQUE_ATTRIBUTES:
        try:
            if os.getxattr(path, attribute) == b"y":
                return True
        except OSError:
            continue
    return False


def is_whiteout(status: os.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def scan(root: Path) -> list[Entry]:
    """What overlayfs wrote into the upper directory ``root``, as entries in order. Sockets and devices are left out."""
    found: list[Entry] = []
    inodes: dict[tuple[int, int], str] = {}

    def walk(at: Path, prefix: str) -> None:
        for item in sorted(os.scandir(at), key=lambda item: item.name):
            path = f"{prefix}{item.name}"
            status = item.stat(follow_symlinks=False)
            place = (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, int(status.st_mtime))
            if stat.S_ISDIR(status.st_mode):
                found.append(Entry(path, "directory", *place))
                if is_opaque(Path(item.path)):
                    found.append(Entry(path, "opaque"))
                walk(Path(item.path), path + "/")
            elif stat.S_ISLNK(status.st_mode):
                found.append(Entry(path, "link", *place, str(Path(item.path).readlink())))
            elif stat.S_ISREG(status.st_mode):
                key = (status.st_dev, status.st_ino)
                if status.st_nlink > 1 and key in inodes:
                    found.append(Entry(path, "hardlink", *place, inodes[key]))
                else:
                    inodes[key] = path
                    found.append(Entry(path, "file", *place, source=Path(item.path)))
            elif is_whiteout(status):
                found.append(Entry(path, "whiteout"))
            elif stat.S_ISFIFO(status.st_mode):
                found.append(Entry(path, "fifo", *place))

    walk(root, "")
    return found


def remove_tree(path: Path) -> None:
    """Delete a tree even where its directories may not be entered (overlayfs' own have mode 0); no error if it is absent."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    try:
        shutil.rmtree(path)
    except PermissionError:
        _unlock(path)
        shutil.rmtree(path)


def _unlock(path: Path) -> None:
    path.chmod(0o700)
    for item in path.iterdir():
        if item.is_dir() and not item.is_symlink():
            _unlock(item)
