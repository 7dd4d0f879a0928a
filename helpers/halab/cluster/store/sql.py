"""All SQL of the store, and the only place that holds a database connection.

One append-only table: a row is one revision of one object, and its number is the object's ``resourceVersion``. A deletion is a row
too (``deleted`` = 1, with the object's last state). ``previous`` is the revision that a row replaced (0: the object is new), so
that a watch which starts in the past can tell what an object looked like before.

WAL mode with ``synchronous = NORMAL``: a commit is a ``write()`` to the page cache, which survives the death of the process; only
checkpoints sync, and those run in a thread with a connection of their own.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

# revision, resource, namespace, name, deleted, previous, value
Row = tuple[int, str, str, str, int, int, bytes]

SCHEMA = """
CREATE TABLE IF NOT EXISTS revisions (
    revision INTEGER PRIMARY KEY,
    resource TEXT NOT NULL,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    deleted INTEGER NOT NULL,
    previous INTEGER NOT NULL,
    value BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS by_object ON revisions (resource, namespace, name, revision);
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""

COLUMNS = "revision, resource, namespace, name, deleted, previous, value"
SELECT_SINCE = f"SELECT {COLUMNS} FROM revisions WHERE revision > ? ORDER BY revision"
SELECT_EVENTS = """
SELECT r.revision, r.namespace, r.name, r.deleted, r.previous, r.value, p.value
FROM revisions r LEFT JOIN revisions p ON p.revision = r.previous
WHERE r.revision > ? AND r.revision <= ? AND r.resource = ? ORDER BY r.revision
"""
SELECT_AT = """
SELECT r.revision, r.namespace, r.name, r.value FROM revisions r
JOIN (SELECT max(revision) AS revision FROM revisions WHERE resource = ? AND revision <= ? GROUP BY namespace, name) last
ON r.revision = last.revision WHERE r.deleted = 0
"""
SELECT_CURRENT = f"""
SELECT {COLUMNS} FROM revisions WHERE revision IN (SELECT max(revision) FROM revisions GROUP BY resource, namespace, name)
AND deleted = 0
"""
SELECT_LAST = "SELECT coalesce(max(revision), 0) FROM revisions"
INSERT = f"INSERT INTO revisions ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)"
# One row, only if the log still ends where the writer believes: a transaction of a single statement.
INSERT_AFTER = f"""
INSERT INTO revisions ({COLUMNS}) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7
WHERE (SELECT coalesce(max(revision), 0) FROM revisions) = ?8
"""
# What a compaction at ? removes: rows replaced at or before it, and tombstones, but never the newest row (it holds the counter).
DELETE_REPLACED = """
DELETE FROM revisions WHERE revision IN (
    SELECT previous FROM revisions WHERE revision <= ?1 AND previous > 0
    UNION SELECT revision FROM revisions WHERE deleted = 1 AND revision <= ?1
) AND revision < (SELECT max(revision) FROM revisions)
"""
SET_META = "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = max(value, excluded.value)"
GET_META = "SELECT value FROM meta WHERE key = ?"

BUSY_MILLISECONDS = 5000  # another API server over the same file holds the lock for about a millisecond


def connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=64)
    connection.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("PRAGMA cache_size = -1024")  # KiB; the objects are in memory already
    return connection


class Log:
    """The table of revisions. Every method is synchronous and takes microseconds to milliseconds.

    Raises sqlite3.Error (``sqlite3.OperationalError: database or disk is full`` among others)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connection = connect(path)
        self.connection.executescript(SCHEMA)

    def version(self) -> int:
        """A number that changes when another connection (another API server) has written."""
        value: int = self.connection.execute("PRAGMA data_version").fetchone()[0]
        return value

    def last(self) -> int:
        value: int = self.connection.execute(SELECT_LAST).fetchone()[0]
        return value

    def compacted(self) -> int:
        row = self.connection.execute(GET_META, ("compacted",)).fetchone()
        return int(row[0]) if row else 0

    def since(self, revision: int) -> list[Row]:
        return self.connection.execute(SELECT_SINCE, (revision,)).fetchall()

    def current(self) -> Iterator[Row]:
        return iter(self.connection.execute(SELECT_CURRENT))

    def events(self, resource: str, after: int, until: int) -> Iterator[tuple[int, str, str, int, int, bytes, bytes | None]]:
        """(revision, namespace, name, deleted, previous, value, previous value) of a resource, oldest first."""
        return iter(self.connection.execute(SELECT_EVENTS, (after, until, resource)))

    def at(self, resource: str, revision: int) -> list[tuple[int, str, str, bytes]]:
        """(revision, namespace, name, value) of what existed at a revision."""
        return self.connection.execute(SELECT_AT, (resource, revision)).fetchall()

    def append(self, expected: int, rows: Sequence[Row]) -> bool:
        """Write rows in one transaction; False (and nothing written) if the log no longer ends at ``expected``."""
        if len(rows) == 1:
            return self.connection.execute(INSERT_AFTER, (*rows[0], expected)).rowcount == 1
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            if self.last() != expected:
                self.connection.execute("ROLLBACK")
                return False
            self.connection.executemany(INSERT, rows)
            self.connection.execute("COMMIT")
        except BaseException:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise
        return True

    def compact(self, revision: int) -> None:
        """Forget what was replaced or deleted at or before a revision."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            self.connection.execute(SET_META, ("compacted", revision))
            self.connection.execute(DELETE_REPLACED, (revision,))
            self.connection.execute("COMMIT")
        except BaseException:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise

    def close(self) -> None:
        self.connection.close()


def checkpoint(path: Path) -> bool:
    """Copy the write-ahead log into the database file and sync it; True if nothing was left over. Meant for a thread."""
    connection = connect(path)
    try:
        busy, total, done = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        return not busy and total == done
    finally:
        connection.close()
