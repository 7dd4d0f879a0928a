"""The files of an image as a program in it would see them, without mounting anything: layers top first, then perhaps the machine's own.

COPY needs it to follow links such as /bin -> usr/bin and to find /etc/passwd; ``COPY --from`` reads from it. Whiteouts and opaque
directories are honoured; of the machine only what a sandbox shows (/usr, /etc, /bin ...) is visible.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from halab.images.borrow import HOST_NAMES
from halab.images.layers import Entry, is_opaque, is_whiteout

_MAX_LINKS = 40


class RootView:
    """``layers`` are directories, top first; with ``host`` the machine's files lie below them."""

    def __init__(self, layers: Sequence[Path], *, host: bool, host_paths: Sequence[Path] = ()) -> None:
        self.layers = tuple(layers)
        self.host = host
        self.host_paths = tuple(host_paths)

    def _on_host(self, path: str) -> Path | None:
        if not self.host or not path:
            return None
        shown = path.split("/", 1)[0] in HOST_NAMES or any(Path("/" + path).is_relative_to(prefix) for prefix in self.host_paths)
        return Path("/" + path) if shown else None

    def _places(self, path: str) -> Iterator[tuple[Path, os.stat_result]]:
        """Every layer's item at ``path`` (canonical, relative), top first, down to the first that hides what is below."""
        parts = path.split("/") if path else []
        for layer in self.layers:
            current, hidden = layer, False
            for number, part in enumerate(parts):
                current = current / part
                try:
                    status = current.lstat()
                except (FileNotFoundError, NotADirectoryError):
                    break
                last = number == len(parts) - 1
                if is_whiteout(status) or (not last and not stat.S_ISDIR(status.st_mode)):
                    return
                if last:
                    yield current, status
                    hidden = not stat.S_ISDIR(status.st_mode)
                if stat.S_ISDIR(status.st_mode) and is_opaque(current):
                    hidden = True
            else:
                if not parts:
                    yield layer, layer.lstat()
            if hidden:
                return
        place = self._on_host(path)
        if place is not None:
            try:
                yield place, place.lstat()
            except (FileNotFoundError, NotADirectoryError, PermissionError):
                return

    def locate(self, path: str) -> tuple[Path, os.stat_result] | None:
        """The item at a canonical path, links not followed; None if there is none."""
        return next(self._places(path.strip("/")), None)

    def resolve(self, path: str, *, last: bool = True) -> str:
        """The canonical relative path: links followed within the image (the last part only if ``last``). Need not exist."""
        pending = [part for part in os.path.normpath("/" + path).split("/") if part]
        done: list[str] = []
        links = 0
        while pending:
            part = pending.pop(0)
            if part == "..":
                done = done[:-1]
                continue
            here = "/".join([*done, part])
            item = self.locate(here)
            follow = item is not None and stat.S_ISLNK(item[1].st_mode) and (pending or last)
            if not follow or links >= _MAX_LINKS or item is None:
                done.append(part)
                continue
            links += 1
            target = str(item[0].readlink())
            if target.startswith("/"):
                done = []
            pending = [word for word in target.split("/") if word not in ("", ".")] + pending
        return "/".join(done)

    def find(self, path: str) -> tuple[Path, os.stat_result] | None:
        """The item that ``path`` leads to, links followed."""
        return self.locate(self.resolve(path))

    def is_directory(self, path: str) -> bool:
        item = self.find(path)
        return item is not None and stat.S_ISDIR(item[1].st_mode)

    def read_text(self, path: str) -> str:
        item = self.find(path)
        return item[0].read_text(errors="replace") if item is not None and stat.S_ISREG(item[1].st_mode) else ""

    def names(self, path: str) -> list[str]:
        """Names in the directory at a canonical path, all layers together."""
        found: dict[str, bool] = {}
        for place, status in self._places(path.strip("/")):
            if not stat.S_ISDIR(status.st_mode):
                break
            try:
                items = list(os.scandir(place))
            except PermissionError:
                continue
            for item in items:
                found.setdefault(item.name, not is_whiteout(item.stat(follow_symlinks=False)))
        return sorted(name for name, there in found.items() if there)

    def walk(self, path: str) -> Iterator[Entry]:
        """The item at a canonical path and all below it, as entries with paths relative to the image's root."""
        item = self.locate(path)
        if item is None:
            return
        place, status = item
        mode = (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, int(status.st_mtime))
        if stat.S_ISDIR(status.st_mode):
            if path:
                yield Entry(path, "directory", *mode)
            for name in self.names(path):
                yield from self.walk(f"{path}/{name}" if path else name)
        elif stat.S_ISLNK(status.st_mode):
            yield Entry(path, "link", *mode, str(place.readlink()))
        elif stat.S_ISREG(status.st_mode):
            yield Entry(path, "file", *mode, source=place)

    def parents(self, entries: Sequence[Entry]) -> list[Entry]:
        """The entries with the directories above them, which keep mode and owner where the image has them already."""
        found = {entry.path: entry for entry in entries if entry.path}
        for path in list(found):
            parent = path
            while parent := parent.rpartition("/")[0]:
                if parent in found:
                    continue
                item = self.locate(parent)
                if item is not None and stat.S_ISDIR(item[1].st_mode):
                    mode, uid, gid = stat.S_IMODE(item[1].st_mode), item[1].st_uid, item[1].st_gid
                    own = uid == os.geteuid() and uid != 0
                    found[parent] = Entry(parent, "directory", mode, 0 if own else uid, 0 if own else gid)
                else:
                    found[parent] = Entry(parent, "directory", 0o755)
        return [found[path] for path in sorted(found)]

    def user_id(self, name: str) -> tuple[int, int] | None:
        """uid and primary gid of a name or number in the image's /etc/passwd; a number without an entry has gid 0."""
        for line in self.read_text("/etc/passwd").splitlines():
            fields = line.split(":")
            if len(fields) > 3 and (fields[0] == name or fields[2] == name):
                return int(fields[2]), int(fields[3])
        return (int(name), 0) if name.isdigit() else None

    def group_id(self, name: str) -> int | None:
        for line in self.read_text("/etc/group").splitlines():
            fields = line.split(":")
            if len(fields) > 2 and fields[0] == name:
                return int(fields[2])
        return int(name) if name.isdigit() else None

    def owner(self, text: str) -> tuple[int, int] | None:
        """``user[:group]`` as in USER and ``--chown``; None when a name is unknown. A user alone stands for its own group (USER)."""
        user, colon, group = text.partition(":")
        ids = self.user_id(user) if user else (0, 0)
        if ids is None:
            return None
        gid = self.group_id(group) if colon and group else ids[1]
        return None if gid is None else (ids[0], gid)
