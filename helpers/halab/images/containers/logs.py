"""A container's log: lines of JSON (time, stream, text) in Docker's json-file form, bounded in size, followed without polling."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from halab.aio.lines import lines

MAX_BYTES = 10 * 1024 * 1024  # then the log is turned over; one older file is kept
MAX_LINE = 16 * 1024  # longer lines are split, as Docker does
NAME = "log.json"


@dataclass(frozen=True, slots=True)
class Line:
    time: str
    stream: str  # stdout or stderr
    text: str


class Writer:
    """On a full disk lines are lost, never the program that writes them: it must find a reader at its pipe's other end."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / NAME
        self.out = self.path.open("ab", 0)

    def write(self, stream: str, text: str) -> None:
        moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        data = json.dumps({"log": text, "stream": stream, "time": moment}, ensure_ascii=False).encode(errors="replace") + b"\n"
        with suppress(OSError):
            if self.out.tell() + len(data) > MAX_BYTES:
                self.path.replace(self.path.with_name(NAME + ".1"))
                former, self.out = self.out, self.path.open("ab", 0)
                former.close()
            written = self.out.write(data)
            if written < len(data):
                self.out.truncate(self.out.tell() - written)

    async def copy(self, descriptor: int, stream: str) -> None:
        """Write what comes from a pipe until its last writer has closed it."""
        async for line in lines(descriptor, MAX_LINE):
            self.write(stream, line.decode(errors="replace"))


def read(directory: Path, tail: int | None = None) -> list[Line]:
    """All lines kept, oldest first; the last ``tail`` of them."""
    found = [line for name in (NAME + ".1", NAME) for line in _parse(directory / name)]
    return found if tail is None else found[len(found) - tail :] if tail else []


def _parse(path: Path) -> Iterator[Line]:
    try:
        with path.open(encoding="utf-8", errors="replace") as source:
            for text in source:
                if text.endswith("\n"):
                    raw = json.loads(text)
                    yield Line(raw["time"], raw["stream"], raw["log"])
    except FileNotFoundError:
        return


def follow(directory: Path, tail: int | None, alive: Callable[[], bool]) -> Iterator[Line]:
    """Lines as they come, until ``alive`` says no. ``alive`` paces the reading: it waits a moment for the container's end.

    The log is an ordinary file that another process appends to; nobody but a person who watches reads it.
    """
    yield from read(directory, tail)
    path = directory / NAME
    if not path.exists():
        return
    source = path.open("rb")
    try:
        source.seek(0, os.SEEK_END)
        rest = b""
        running = True
        while running:
            running = alive()
            rest += source.read()
            *complete, rest = rest.split(b"\n")
            yield from (_line(text) for text in complete)
            if path.exists() and path.stat().st_ino != os.fstat(source.fileno()).st_ino:  # turned over
                source.close()
                source = path.open("rb")
    finally:
        source.close()


def _line(text: bytes) -> Line:
    raw = json.loads(text)
    return Line(raw["time"], raw["stream"], raw["log"])
