"""A second, independent record of what was acknowledged since the last checkpoint.

SQLite stops reading its write-ahead log at the first frame whose checksum is wrong: one damaged page at the end and acknowledged
writes are gone. So every committed revision is also appended to a plain file before it is acknowledged, and at the next start the
revisions that the database lost are read back from there. When a checkpoint has moved everything into the database file, the
journal starts anew. Each API server process has files of its own (``state.db.journal-*``); a starting one reads them all.

A record: magic ``HJ``, CRC-32 of what follows the CRC, then lengths and fields. A damaged record is skipped: what it held is still in
the database unless both were damaged in the same place.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from halab.cluster.store.sql import Row

MAGIC = b"HJ"
HEAD = struct.Struct("<2sII")  # magic, CRC-32 of the rest, length of the rest
FIELDS = struct.Struct("<QQBHHH")  # revision, previous, deleted, lengths of resource, namespace and name


def encode(row: Row) -> bytes:
    revision, resource, namespace, name, deleted, previous, value = row
    texts = [text.encode() for text in (resource, namespace, name)]
    body = FIELDS.pack(revision, previous, deleted, *(len(text) for text in texts)) + b"".join(texts) + value
    return HEAD.pack(MAGIC, zlib.crc32(body), len(body)) + body


def decode(data: bytes) -> Iterator[Row]:
    """The intact records of a journal; looks for the next magic after a damaged one."""
    start = data.find(MAGIC)
    while 0 <= start <= len(data) - HEAD.size:
        _, crc, length = HEAD.unpack_from(data, start)
        body = data[start + HEAD.size : start + HEAD.size + length]
        if len(body) == length >= FIELDS.size and zlib.crc32(body) == crc:
            revision, previous, deleted, *lengths = FIELDS.unpack_from(body)
            texts, at = [], FIELDS.size
            for size in lengths:
                texts.append(body[at : at + size].decode())
                at += size
            yield revision, texts[0], texts[1], texts[2], deleted, previous, body[at:]
            start = data.find(MAGIC, start + HEAD.size + length)
        else:
            start = data.find(MAGIC, start + 1)


class Journal:
    """The journal of one process beside ``database``."""

    def __init__(self, database: Path) -> None:
        self.database = database
        self._generation = 0
        self._file = self._open()
        self.broken = False  # an append failed (disk full): only the database has what came since

    @property
    def path(self) -> Path:
        """The file that is written now."""
        return self.database.with_name(f"{self.database.name}.journal-{os.getpid()}-{self._generation}")

    def _open(self) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def append(self, rows: Iterable[Row]) -> None:
        try:
            os.write(self._file, b"".join([encode(row) for row in rows]))
        except OSError:
            self.broken = True

    def rotate(self) -> list[Path]:
        """Go on in a new file; returns the old files, to be removed once a checkpoint holds what is in them."""
        self._generation += 1
        try:
            file = self._open()
        except OSError:
            self._generation -= 1
            raise
        os.close(self._file)
        self._file = file
        self.broken = False
        own = self.database.parent.glob(f"{self.database.name}.journal-{os.getpid()}-*")
        return [path for path in own if path != self.path]

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def found(database: Path) -> list[Path]:
    """All journals beside a database, of every process."""
    return sorted(database.parent.glob(f"{database.name}.journal-*"))


def is_orphan(path: Path) -> bool:
    """Whether the process that wrote a journal is gone."""
    pid = path.name.rpartition(".journal-")[2].partition("-")[0]
    return not (pid.isdigit() and Path(f"/proc/{pid}").exists())


def lost(paths: Iterable[Path], last: int) -> list[Row]:
    """The records after revision ``last``, in order: what the database should have, but has not."""
    rows: dict[int, Row] = {}
    for path in paths:
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            continue
        for row in decode(data):
            if row[0] > last:
                rows[row[0]] = row
    return [rows[revision] for revision in sorted(rows)]
