"""The store: current objects in memory, every change in the log, every watcher told in order.

The memory is fed by the log alone: what a transaction wrote, and what another API server over the same file wrote, comes in by the
same way (``_apply``), so two servers see the same sequence. A transaction is a function that reads and puts; it runs against the
memory and is committed only if the log still ends where the memory does, else the memory catches up and the function runs again.

Everything here is synchronous and belongs to one thread. Neighbours: ``sql`` (the log), ``journal`` (the second record), ``cache``
(the memory), ``peers`` (waking other servers).
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import orjson

from halab.cluster.store import journal, sql
from halab.cluster.store.cache import Collection, Describe, Entry, Event, namespace_name

T = TypeVar("T")
Obj = dict[str, Any]

log = logging.getLogger("halab.store")

HISTORY_SECONDS = 300.0  # how far back watches, continue tokens and exact lists reach (etcd's compaction in Kubernetes)
MARK_SECONDS = 5.0  # history is cut in steps of this length, so that one cut is short
CHECKPOINT_ROWS = 500  # revisions between two checkpoints of the write-ahead log
CHECKPOINT_BYTES = 4 << 20  # or so much of objects: the log and the journal beside it stay small on a small disk
RETRIES = 20  # how often a transaction is run again because another server was faster


class Compacted(Exception):
    """The asked revision is older than the history."""


class Contended(Exception):
    """Another server kept writing; the client may try again."""


class Transaction:
    """What a transaction's function reads and writes. Objects are whole (with ``metadata``); ``put`` sets their resourceVersion."""

    def __init__(self, store: Store, dry_run: bool = False) -> None:
        self._store = store
        self._dry_run = dry_run
        self.rows: list[sql.Row] = []
        self._staged: dict[tuple[str, str, str], Entry | None] = {}

    @property
    def next_revision(self) -> int:
        return self._store.revision + 1 + len(self.rows)

    def get(self, resource: str, namespace: str, name: str) -> Entry | None:
        key = (resource, namespace, name)
        if key in self._staged:
            return self._staged[key]
        return self._store.get(*key)

    def list(self, resource: str, namespace: str = "") -> Iterator[Entry]:
        """Current entries (what this transaction itself wrote excepted)."""
        return iter(self._store.collection(resource).select(namespace))

    def put(self, resource: str, namespace: str, name: str, obj: Obj) -> Entry:
        """Create or replace. The value is kept without ``kind`` and ``apiVersion`` (the resource tells)."""
        return self._write(resource, namespace, name, obj, deleted=False)

    def delete(self, resource: str, namespace: str, name: str, obj: Obj) -> Entry:
        """Remove; ``obj`` is the last state that watchers are shown."""
        return self._write(resource, namespace, name, obj, deleted=True)

    def _write(self, resource: str, namespace: str, name: str, obj: Obj, deleted: bool) -> Entry:
        previous = self.get(resource, namespace, name)
        revision = self.next_revision
        if not self._dry_run:
            obj["metadata"]["resourceVersion"] = str(revision)
        elif previous is None:
            obj["metadata"].pop("resourceVersion", None)
        value = orjson.dumps({key: part for key, part in obj.items() if key not in ("kind", "apiVersion")})
        labels, fields = self._store.describe(resource, obj)
        entry = Entry(namespace, name, revision, value, labels, fields)
        self.rows.append((revision, resource, namespace, name, int(deleted), previous.revision if previous else 0, value))
        self._staged[(resource, namespace, name)] = None if deleted else entry
        return entry


class Store:
    """The objects of one cluster. ``describe(resource, obj)`` gives the labels and the selectable fields kept beside each object."""

    def __init__(self, path: Path, describe: Describe) -> None:
        self.path = path
        self.describe = describe
        self.wake_peers: Callable[[], None] = lambda: None
        self._collections: dict[str, Collection] = {}
        self._marks: deque[tuple[float, int]] = deque()  # (monotonic time, revision): what to compact when
        self._since_checkpoint = 0
        self._bytes_since_checkpoint = 0
        self._checkpointing: asyncio.Future[bool] | None = None
        self._recover()
        self._log_version = self.log.version()

    # -- reading

    def collection(self, resource: str) -> Collection:
        collection = self._collections.get(resource)
        if collection is None:
            collection = self._collections[resource] = Collection()
        return collection

    def get(self, resource: str, namespace: str, name: str) -> Entry | None:
        return self.collection(resource).get(namespace, name)

    def sizes(self) -> dict[str, int]:
        """How many objects each resource has."""
        return {resource: len(collection) for resource, collection in self._collections.items() if len(collection)}

    def sync(self) -> bool:
        """Take in what another server wrote; True if it did. Called before every read that must not be stale."""
        version = self.log.version()
        if version == self._log_version:
            return False
        self._log_version = version
        return self.catch_up()

    def catch_up(self) -> bool:
        """Apply the log's new rows; True if there were any."""
        rows = self.log.since(self.revision)
        for row in rows:
            self._apply(row)
        return bool(rows)

    def at(self, resource: str, namespace: str, revision: int) -> list[Entry]:
        """The entries of a resource as they were at ``revision``, in order. Raises Compacted."""
        self.check_history(revision)
        collection = self.collection(resource)
        if collection.changed <= revision:
            return collection.select(namespace)
        found = []
        for number, space, name, value in self.log.at(resource, revision):
            if not namespace or space == namespace:
                labels, fields = self.describe(resource, orjson.loads(value))
                found.append(Entry(space, name, number, value, labels, fields))
        return sorted(found, key=lambda entry: namespace_name(entry.namespace, entry.name))

    def check_history(self, revision: int) -> None:
        if revision < self.compacted:
            raise Compacted(revision)

    def events(self, resource: str, after: int) -> Iterator[Event]:
        """What happened to a resource after revision ``after`` until now, oldest first. Raises Compacted."""
        self.check_history(after)
        if self.collection(resource).changed <= after:
            return
        for revision, namespace, name, deleted, before, value, previous in self.log.events(resource, after, self.revision):
            old = None
            if previous is not None:
                old = Entry(namespace, name, before, previous, *self.describe(resource, orjson.loads(previous)))
            new = Entry(namespace, name, revision, value, *self.describe(resource, orjson.loads(value)))
            yield Event(resource, revision, bool(deleted), new, old)

    # -- writing

    def transact(self, work: Callable[[Transaction], T], dry_run: bool = False) -> T:
        """Run ``work`` and commit what it put, all or nothing. It may run more than once; what it raises undoes it.
        ``dry_run``: run it and forget what it put (new objects then have no resourceVersion, changed ones keep theirs).

        The memory is trusted until the end: a commit fails if another server wrote meanwhile, and a refusal or an outcome without a
        write counts only if none did.

        Raises sqlite3.Error if nothing can be written (a full disk)."""
        for _ in range(RETRIES):
            transaction = Transaction(self, dry_run)
            try:
                result = work(transaction)
            except Exception:
                if self.sync():
                    continue
                raise
            if not transaction.rows or dry_run:
                if self.sync():
                    continue
                return result
            if self.log.append(self.revision, transaction.rows):
                self.journal.append(transaction.rows)
                for row in transaction.rows:
                    self._apply(row, transaction)
                self.wake_peers()
                self._maintain(transaction.rows)
                return result
            self.catch_up()
        raise Contended

    def _apply(self, row: sql.Row, transaction: Transaction | None = None) -> None:
        revision, resource, namespace, name, deleted, _, value = row
        collection = self.collection(resource)
        old = collection.get(namespace, name)
        entry = transaction._staged.get((resource, namespace, name)) if transaction else None
        if entry is None or entry.revision != revision:
            entry = Entry(namespace, name, revision, value, *self.describe(resource, orjson.loads(value)))
        self.revision = revision
        collection.changed = revision
        if deleted:
            collection.remove(namespace, name)
        else:
            collection.put(entry)
        collection.publish(Event(resource, revision, bool(deleted), entry, old))

    # -- opening, compaction, closing

    def _recover(self) -> None:
        """Open the database, put back what only the journals have, and load the current objects."""
        self.log = sql.Log(self.path)
        journals = journal.found(self.path)
        rows = journal.lost(journals, self.log.last())
        if rows:
            log.warning("%s: %d revisions were lost from the database and are restored from the journal", self.path, len(rows))
            self.log.append(self.log.last(), rows)
        self.journal = journal.Journal(self.path)
        try:
            whole = sql.checkpoint(self.path)
        except sqlite3.Error as error:  # a disk that is still full: what is acknowledged can be read, the rest waits for room
            log.warning("%s: the write-ahead log stays as it is: %s", self.path, error)
            whole = False
        for path in journals if whole else ():
            if path != self.journal.path and journal.is_orphan(path):
                path.unlink(missing_ok=True)
        for row in self.log.current():
            _, resource, namespace, name, _, _, value = row
            entry = Entry(namespace, name, row[0], value, *self.describe(resource, orjson.loads(value)))
            collection = self.collection(resource)
            collection.put(entry)
            collection.changed = max(collection.changed, entry.revision)
        self.revision = self.log.last()
        for collection in self._collections.values():
            collection.changed = self.revision  # deletions may have come after the last object that is left
        self.compacted = self.log.compacted()

    def _maintain(self, rows: list[sql.Row]) -> None:
        now = time.monotonic()
        self._since_checkpoint += len(rows)
        for row in rows:
            self._bytes_since_checkpoint += len(row[6])
        try:
            if not self._marks or now - self._marks[-1][0] > MARK_SECONDS:
                self._marks.append((now, self.revision))
                mark = 0
                while now - self._marks[0][0] > HISTORY_SECONDS:
                    mark = self._marks.popleft()[1]
                if mark:
                    self.compact(mark)
            if self._since_checkpoint >= CHECKPOINT_ROWS or self._bytes_since_checkpoint >= CHECKPOINT_BYTES:
                self.checkpoint()
        except (sqlite3.Error, OSError) as error:  # a full disk: what was acknowledged is written, the rest can wait
            log.warning("%s: upkeep is put off: %s", self.path, error)

    def compact(self, revision: int) -> None:
        self.log.compact(revision)
        self.compacted = max(self.compacted, revision)

    def checkpoint(self) -> None:
        """Move the write-ahead log into the database file, in a thread; then the old journals are not needed any more."""
        if self._checkpointing is not None and not self._checkpointing.done():
            return
        self._since_checkpoint = self._bytes_since_checkpoint = 0
        old = self.journal.rotate()

        def done(future: asyncio.Future[bool]) -> None:
            if not future.cancelled() and future.exception() is None and future.result():
                for path in old:
                    path.unlink(missing_ok=True)

        self._checkpointing = asyncio.get_running_loop().run_in_executor(None, sql.checkpoint, self.path)
        self._checkpointing.add_done_callback(done)

    def close(self) -> None:
        self.journal.close()
        self.log.close()
