"""The log of revisions as a whole: copied while it is written to, and fitted to another place.

Neighbours: ``sql`` (the schema and its statements), ``journal`` (what a damaged write-ahead log may have lost). Who keeps the copy, and
what must change in it, is ``cluster.supervisor.snapshot``'s to know.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from halab.cluster.store import journal, sql

PAGES = 4096  # copied between two looks at whether somebody writes
UPDATE = "UPDATE revisions SET value = ? WHERE revision = ?"
SELECT_VALUES = "SELECT revision, value FROM revisions"
CHECK = "PRAGMA quick_check"


def copy(database: Path, target: Path, *, alone: bool) -> int:
    """Copy the log as it is at one moment into the new file ``target``; the last revision in it.

    Writers go on meanwhile. ``alone``: no server has it open, so what only the journals still have is put back, as a server's start would.
    Raises sqlite3.Error.
    """
    with closing(sql.connect(database)) as source, closing(sql.connect(target)) as made:
        source.backup(made, pages=PAGES)
        made.execute("PRAGMA journal_mode = DELETE")  # one file, nothing beside it
    with closing(sql.Log(target)) as log:
        if alone and (rows := journal.lost(journal.found(database), log.last())):
            log.append(log.last(), rows)
        last = log.last()
        log.connection.execute("PRAGMA journal_mode = DELETE")
    target.chmod(0o600)
    return last


def values(database: Path) -> Iterator[tuple[str, bytes]]:
    """Every current object: its resource and its JSON."""
    with closing(sql.Log(database)) as log:
        for row in log.current():
            yield row[1], row[6]


def fit(database: Path, change: Callable[[bytes], bytes], after: int) -> int:
    """Make a copied log that of a server at another place: every value goes through ``change``, and history begins anew.

    Revisions go on behind ``after`` and whatever the copy holds, so that no watcher of the former server takes an old revision for a
    new one; all watches begin with a list (as ``etcdutl snapshot restore --bump-revision --mark-compacted`` has it). Returns the new
    last revision. Raises sqlite3.DatabaseError for a damaged file.
    """
    with closing(sql.Log(database)) as log:
        connection = log.connection
        if connection.execute(CHECK).fetchone()[0] != "ok":
            raise sqlite3.DatabaseError("its pages do not fit together")
        connection.execute("BEGIN IMMEDIATE")
        for revision, value in connection.execute(SELECT_VALUES).fetchall():
            if (changed := change(value)) != value:
                connection.execute(UPDATE, (changed, revision))
        last = max(after, log.last()) + 1
        connection.execute(sql.INSERT, (last, "", "", "restored", 1, 0, b'{"metadata":{}}'))
        connection.execute(sql.SET_META, ("compacted", last))
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = DELETE")
    descriptor = os.open(database, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return last


def last_revision(database: Path) -> int:
    """Where a log ends; 0 if there is none, or none that can be read."""
    if not database.exists():
        return 0
    try:
        with closing(sql.connect(database)) as connection:
            value: int = connection.execute(sql.SELECT_LAST).fetchone()[0]
    except sqlite3.Error:
        return 0
    return value
