"""COPY and ADD: which files, to which paths, with which owner; and the hash by which the cache knows them.

Rules: https://docs.docker.com/reference/dockerfile/#copy and #add.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tarfile
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from halab.errors import ImageError
from halab.images import layers
from halab.images.dockerfile.ignore import Ignore, glob
from halab.images.layers import Entry
from halab.images.rootfs import RootView

_ADD_LIMIT = 512 * 1024 * 1024  # bytes that ADD fetches from a URL at most


class Context:
    """The files that COPY and ADD may take: a directory without what .dockerignore leaves out."""

    def __init__(self, root: Path, ignore: Ignore) -> None:
        self.root, self.ignore = root, ignore
        self.files: dict[str, os.stat_result] = dict(self._scan(root, ""))

    def _scan(self, at: Path, prefix: str) -> Iterator[tuple[str, os.stat_result]]:
        try:
            items = sorted(os.scandir(at), key=lambda item: item.name)
        except PermissionError as error:
            raise ImageError(
                f"build context {self.root}",
                f"cannot read {prefix or '.'}: {error.strerror}",
                "fix its mode or name it in .dockerignore",
            ) from None
        for item in items:
            path = prefix + item.name
            status = item.stat(follow_symlinks=False)
            excluded = self.ignore.excludes(path)
            if stat.S_ISDIR(status.st_mode):
                below = list(self._scan(Path(item.path), path + "/"))
                if not excluded or below:
                    yield path, status
                yield from below
            elif not excluded:
                yield path, status

    @property
    def size(self) -> int:
        return sum(status.st_size for status in self.files.values() if stat.S_ISREG(status.st_mode))

    def select(self, pattern: str) -> list[str]:
        """Paths (relative; '' is the whole context) that a source names; wildcards do not cross slashes."""
        clean = os.path.normpath("/" + pattern).lstrip("/")
        if not clean:
            return [""]
        if clean in self.files:
            return [clean]
        if not any(letter in clean for letter in "*?["):
            return []
        matches = glob(clean)
        return [path for path in self.files if matches.match(path)]

    def tree(self, path: str) -> Iterator[Entry]:
        """The item and all below it, with paths relative to the context. Owners become root, as Docker's do."""
        inside = path + "/" if path else ""
        for name, status in self.files.items():
            if name != path and not name.startswith(inside):
                continue
            mode, mtime = stat.S_IMODE(status.st_mode), int(status.st_mtime)
            if stat.S_ISDIR(status.st_mode):
                yield Entry(name, "directory", mode, mtime=mtime)
            elif stat.S_ISLNK(status.st_mode):
                yield Entry(name, "link", 0o777, mtime=mtime, target=str((self.root / name).readlink()))
            elif stat.S_ISREG(status.st_mode):
                yield Entry(name, "file", mode, mtime=mtime, source=self.root / name)


class ViewSource:
    """The files of another stage or image, for ``COPY --from``."""

    def __init__(self, view: RootView) -> None:
        self.view = view

    def select(self, pattern: str) -> list[str]:
        clean = os.path.normpath("/" + pattern).lstrip("/")
        if not any(letter in clean for letter in "*?["):
            found = self.view.resolve(clean)
            return [found] if not found or self.view.locate(found) is not None else []
        parent, _, last = clean.rpartition("/")
        parents = self.select(parent) if parent else [""]
        matches = glob(last)
        return [f"{folder}/{name}".lstrip("/") for folder in parents for name in self.view.names(folder) if matches.match(name)]

    def tree(self, path: str) -> Iterator[Entry]:
        # A layer written by a plain user belongs to that user on disk, and to root in the image.
        mine = os.geteuid()
        for entry in self.view.walk(path):
            yield entry.owned(0, 0) if entry.uid == mine else entry


@dataclass(frozen=True, slots=True)
class Copy:
    """A COPY or ADD with its arguments expanded. ``chown`` and ``chmod`` are as written, or empty."""

    sources: tuple[str, ...]
    destination: str  # absolute; ends with a slash if it was written so
    chown: str = ""
    chmod: str = ""
    add: bool = False
    parents: bool = False
    exclude: tuple[str, ...] = ()
    inline: tuple[tuple[str, str], ...] = ()  # heredocs: name, content


def collect(copy: Copy, source: Context | ViewSource, target: RootView, work: Path) -> list[Entry]:
    """The entries that the instruction adds to the image seen as ``target``. Raises ImageError in Docker's words."""
    found: list[Entry] = []
    selected: list[tuple[str, str]] = []
    many = len(copy.sources) + len(copy.inline) > 1
    for pattern in copy.sources:
        if copy.add and pattern.startswith(("http://", "https://")):
            continue
        paths = source.select(pattern)
        if not paths:
            raise ImageError(
                f"{'ADD' if copy.add else 'COPY'} {pattern}",
                "file not found in build context or excluded by .dockerignore"
                if isinstance(source, Context)
                else "no such file in that stage or image",
                "paths are relative to the build context" if isinstance(source, Context) else "",
            )
        many = many or len(paths) > 1
        selected += [(pattern, path) for path in paths]
    if many and not copy.destination.endswith("/"):
        raise ImageError(
            f"{'ADD' if copy.add else 'COPY'} {copy.destination}", "is the destination of more than one source", "end it with a /"
        )
    exclude = Ignore.parse("\n".join(copy.exclude))
    for _, path in selected:
        found += _one(copy, path, source, target, exclude, work)
    for name, content in copy.inline:
        found.append(layers.text(_place(copy.destination, name, target), content))
    for url in copy.sources:
        if copy.add and url.startswith(("http://", "https://")):
            found.append(_fetched(url, copy, target, work))
    owner = (0, 0)
    if copy.chown:
        ids = target.owner(copy.chown)
        if ids is None:
            raise ImageError(
                f"--chown={copy.chown}", "unknown user or group in the image", "create it with RUN useradd, or use numbers"
            )
        user, colon, _ = copy.chown.partition(":")
        owner = ids if colon or not user.isdigit() else (ids[0], ids[0])
    keep = isinstance(source, ViewSource) and not copy.chown
    if copy.chmod and not (copy.chmod.isdigit() and set(copy.chmod) <= set("01234567")):
        raise ImageError(f"--chmod={copy.chmod}", "is not an octal mode", "e.g. --chmod=755")
    result = []
    for entry in found:
        entry = entry if keep else entry.owned(*owner)
        if copy.chmod and entry.kind != "link":
            entry = replace(entry, mode=int(copy.chmod, 8))
        result.append(entry)
    return target.parents(result)


def _place(destination: str, name: str, target: RootView) -> str:
    """Where a single file goes: into a directory (told by a slash, or because it is one), else exactly there."""
    if destination.endswith("/") or target.is_directory(destination):
        return f"{target.resolve(destination)}/{name}".lstrip("/")
    return target.resolve(destination)


def _one(copy: Copy, path: str, source: Context | ViewSource, target: RootView, exclude: Ignore, work: Path) -> list[Entry]:
    items = list(source.tree(path))
    top = next((item for item in items if item.path == path), None)
    if top is not None and top.kind != "directory":
        name = path.rpartition("/")[2]
        if copy.add and top.source is not None and tarfile.is_tarfile(top.source):
            return _extracted(top.source, target.resolve(copy.destination), work)
        place = (
            f"{target.resolve(copy.destination)}/{path}".lstrip("/") if copy.parents else _place(copy.destination, name, target)
        )
        return [replace(top, path=place)]
    base = target.resolve(copy.destination)
    inside = path + "/" if path and not copy.parents else ""
    found = [] if not base else [Entry(base, "directory", 0o755)] if target.locate(base) is None else []
    for item in items:
        relative = item.path.removeprefix(inside) if item.path != path or copy.parents else ""
        if relative and not exclude.excludes(relative):
            found.append(replace(item, path=f"{base}/{relative}".lstrip("/")))
    return found


def _extracted(archive: Path, base: str, work: Path) -> list[Entry]:
    """The archive's members; the content of its files goes to ``work``, since it may be larger than the memory."""
    found = []
    folder = Path(tempfile.mkdtemp(prefix="added-", dir=work))
    with tarfile.open(archive) as tar:
        for member in tar:
            name = os.path.normpath("/" + member.name).lstrip("/")
            place = f"{base}/{name}".strip("/")
            common = (member.mode & 0o7777, member.uid, member.gid, int(member.mtime))
            if member.isdir() and name:
                found.append(Entry(place, "directory", *common))
            elif member.issym():
                found.append(Entry(place, "link", *common, member.linkname))
            elif member.isreg() or member.islnk():
                content = folder / str(len(found))
                with content.open("wb") as out:
                    if (stream := tar.extractfile(member)) is not None:
                        shutil.copyfileobj(stream, out, 1 << 18)
                found.append(Entry(place, "file", *common, source=content))
    return found


def _fetched(url: str, copy: Copy, target: RootView, work: Path) -> Entry:
    name = url.rpartition("/")[2].partition("?")[0]
    if not name and copy.destination.endswith("/"):
        raise ImageError(f"ADD {url}", "the URL has no file name", "name the destination file")
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            data = answer.read(_ADD_LIMIT + 1)
    except OSError as error:
        raise ImageError(
            f"ADD {url}", f"cannot be fetched: {error}", "without a network, put the file into the build context"
        ) from None
    if len(data) > _ADD_LIMIT:
        raise ImageError(f"ADD {url}", "is larger than 512 MB")
    file = work / f"fetched-{hashlib.sha256(url.encode()).hexdigest()[:12]}"
    file.write_bytes(data)
    return Entry(_place(copy.destination, name, target), "file", 0o600, source=file)


def checksum(entries: Sequence[Entry]) -> str:
    """A hash of paths, kinds, modes, owners, link targets and contents; times do not count, as in Docker's cache."""
    total = hashlib.sha256()
    for entry in entries:
        content = ""
        if entry.kind == "file":
            if entry.source is not None:
                with entry.source.open("rb") as stream:
                    content = hashlib.file_digest(stream, "sha256").hexdigest()
            else:
                content = hashlib.sha256(entry.data or b"").hexdigest()
        total.update(repr((entry.path, entry.kind, entry.mode, entry.uid, entry.gid, entry.target, content)).encode())
    return total.hexdigest()
