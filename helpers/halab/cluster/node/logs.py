"""Container logs on disk, in the runtime interface's format: ``TIME stream F|P text``; and reading them back as kubectl asks.

P marks a piece of a line that goes on in the next entry. A file that grows beyond 10 MiB is rotated once (kubelet's containerLogMaxSize).
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

MAX_BYTES = 10 << 20
PIECE = 16 * 1024  # longer lines are cut into pieces, as containerd does


def _now() -> bytes:
    nanoseconds = time.time_ns()
    whole, rest = divmod(nanoseconds, 1_000_000_000)
    return (datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{rest:09d}Z").encode()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _slice(path: Path, begin: int, end: int) -> bytes:
    with path.open("rb") as file:
        file.seek(begin)
        return file.read(end - begin)


class LogWriter:
    """Appends what a container writes. ``listeners`` are called when something was added (followers of the log)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._open()
        self._size = _size(path)
        self._rest: dict[bytes, bytes] = {b"stdout": b"", b"stderr": b""}
        self.listeners: set[Callable[[], None]] = set()
        self.closed = False

    def _open(self) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def write(self, stream: bytes, data: bytes) -> None:
        data = self._rest[stream] + data
        lines = data.split(b"\n")
        rest = lines.pop()
        prefix = _now() + b" " + stream + b" "
        out = bytearray()
        for line in lines:
            while len(line) > PIECE:
                out += prefix + b"P " + line[:PIECE] + b"\n"
                line = line[PIECE:]
            out += prefix + b"F " + line + b"\n"
        while len(rest) >= PIECE:
            out += prefix + b"P " + rest[:PIECE] + b"\n"
            rest = rest[PIECE:]
        self._rest[stream] = rest
        if out:
            self._append(bytes(out))

    def _append(self, data: bytes) -> None:
        """On a full disk lines are lost, and no more than that: the container lives on, and its end is noted."""
        with suppress(OSError):
            if self._size > MAX_BYTES:
                self._rotate()
            written = os.write(self._file, data)
            if written < len(data):
                os.ftruncate(self._file, self._size)
            else:
                self._size += written
        for listener in list(self.listeners):
            listener()

    def _rotate(self) -> None:
        """The new file is opened before the old one is let go: a closed descriptor's number may soon be somebody else's."""
        with suppress(FileNotFoundError):
            self.path.replace(self.path.with_suffix(self.path.suffix + ".1"))
        former, self._file = self._file, self._open()
        os.close(former)
        self._size = 0

    def close(self) -> None:
        """Write what did not end in a newline, and tell the followers that nothing more will come."""
        if self.closed:
            return
        for stream, rest in self._rest.items():
            if rest:
                self._append(_now() + b" " + stream + b" P " + rest + b"\n")
        self.closed = True
        os.close(self._file)
        for listener in list(self.listeners):
            listener()


@dataclass(frozen=True, slots=True)
class LogOptions:
    """PodLogOptions. ``since`` is a Unix time, 0 for the beginning; ``tail`` and ``limit`` are None without a bound."""

    follow: bool = False
    timestamps: bool = False
    since: float = 0.0
    tail: int | None = None
    limit: int | None = None
    stream: str = "All"


def _seconds(stamp: bytes) -> float:
    return datetime.fromisoformat(stamp[:26].decode().rstrip("Z") + "+00:00").timestamp()


def _text(entry: bytes, options: LogOptions, continued: bool = False) -> bytes | None:
    """The text of one entry as it is shown, None if the options leave it out."""
    parts = entry.split(b" ", 3)
    if len(parts) < 4:
        return None
    stamp, stream, tag, text = parts
    if options.stream != "All" and options.stream.lower().encode() != stream:
        return None
    if options.since and _seconds(stamp) < options.since:
        return None
    if tag == b"F":
        text += b"\n"
    return stamp + b" " + text if options.timestamps and not continued else text


def _entries(path: Path) -> list[bytes]:
    data = b""
    for candidate in (path.with_suffix(path.suffix + ".1"), path):
        try:
            data += candidate.read_bytes()
        except FileNotFoundError:
            continue
    return data.split(b"\n")[:-1]


def _last(entries: list[bytes], count: int) -> list[bytes]:
    """The entries of the last ``count`` lines (a line may be several entries)."""
    if count == 0:
        return []
    lines, at = 0, len(entries)
    while at > 0:
        full = entries[at - 1].split(b" ", 3)[2:3] == [b"F"]
        if full or at == len(entries):
            lines += 1
            if lines > count:
                break
        at -= 1
    return entries[at:]


def read(path: Path, options: LogOptions) -> bytes:
    """The log as it stands."""
    entries = _entries(path)
    if options.stream != "All":
        wanted = options.stream.lower().encode()
        entries = [entry for entry in entries if entry.split(b" ", 2)[1:2] == [wanted]]
    if options.tail is not None:
        entries = _last(entries, options.tail)
    out, continued = bytearray(), False
    for entry in entries:
        if (text := _text(entry, options, continued)) is not None:
            out += text
            continued = not text.endswith(b"\n")
    return bytes(out if options.limit is None else out[: options.limit])


async def follow(path: Path, options: LogOptions, writer: LogWriter | None) -> AsyncIterator[bytes]:
    """The log so far, then what is added until the container ends (``writer`` closes). Without a writer: just the log so far."""
    changed = asyncio.Event()
    if writer is not None:
        writer.listeners.add(changed.set)
    left = options.limit
    try:
        size = _size(path)
        first = read(path, options)
        if first:
            yield first
        if left is not None:
            left -= len(first)
        at, continued = size, bool(first) and not first.endswith(b"\n")
        while writer is not None and (left is None or left > 0):
            closed = writer.closed
            changed.clear()
            current = _size(path)
            if current < at:
                at = 0  # rotated
            if current > at:
                data = _slice(path, at, current)
                at = current
                out = bytearray()
                for entry in data.split(b"\n")[:-1]:
                    if (text := _text(entry, options, continued)) is not None:
                        out += text
                        continued = not text.endswith(b"\n")
                piece = bytes(out if left is None else out[:left])
                if left is not None:
                    left -= len(piece)
                if piece:
                    yield piece
                continue
            if closed:
                return
            await changed.wait()
    finally:
        if writer is not None:
            writer.listeners.discard(changed.set)


def tail_message(path: Path, lines: int = 80, size: int = 2048) -> str:
    """The end of a log as a termination message (terminationMessagePolicy: FallbackToLogsOnError)."""
    return read(path, LogOptions(tail=lines))[-size:].decode(errors="replace")
