"""The store without a server: transactions, history, recovery. Every database lives in a temporary directory."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from halab.cluster.store import journal, sql
from halab.cluster.store.cache import Event
from halab.cluster.store.store import Compacted, Store, Transaction

Obj = dict[str, Any]


def describe(resource: str, obj: Obj) -> tuple[dict[str, str] | None, dict[str, str] | None]:
    return obj["metadata"].get("labels"), None


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    made = Store(path, describe)
    yield made
    made.close()


def put(store: Store, name: str, n: int = 0, namespace: str = "default") -> int:
    def work(tx: Transaction) -> int:
        return tx.put(
            "configmaps", namespace, name, {"metadata": {"name": name, "namespace": namespace}, "data": {"n": str(n)}}
        ).revision

    return store.transact(work)


def remove(store: Store, name: str) -> None:
    def work(tx: Transaction) -> None:
        entry = tx.get("configmaps", "default", name)
        assert entry is not None
        tx.delete("configmaps", "default", name, entry.obj())

    store.transact(work)


def names(store: Store) -> list[str]:
    return [entry.name for entry in store.collection("configmaps").select()]


def test_each_write_gets_the_next_revision_as_its_version(store: Store) -> None:
    assert [put(store, "a"), put(store, "b"), put(store, "a", 1)] == [1, 2, 3]
    entry = store.get("configmaps", "default", "a")
    assert entry is not None and entry.obj()["metadata"]["resourceVersion"] == "3"


def test_a_transaction_that_raises_writes_nothing(store: Store) -> None:
    def work(tx: Transaction) -> None:
        tx.put("configmaps", "default", "a", {"metadata": {"name": "a"}})
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        store.transact(work)
    assert names(store) == [] and store.revision == 0


def test_a_dry_run_shows_the_outcome_and_writes_nothing(store: Store) -> None:
    def work(tx: Transaction) -> Obj:
        return tx.put("configmaps", "default", "a", {"metadata": {"name": "a"}}).obj()

    assert store.transact(work, dry_run=True) == {"metadata": {"name": "a"}}
    assert store.revision == 0


def test_lists_are_in_the_order_of_keys_within_a_namespace(store: Store) -> None:
    for name in ("b", "a", "a-b", "a.b", "c"):
        put(store, name)
    put(store, "z", namespace="a")
    assert [entry.name for entry in store.collection("configmaps").select("default")] == ["a", "a-b", "a.b", "b", "c"]
    assert names(store)[0] == "z"


def test_a_namespace_does_not_see_one_whose_name_begins_like_its_own(store: Store) -> None:
    put(store, "x", namespace="team")
    put(store, "y", namespace="team-a")
    put(store, "z", namespace="team0")
    assert [entry.name for entry in store.collection("configmaps").select("team")] == ["x"]


def test_watchers_see_every_change_once_and_in_order(store: Store) -> None:
    seen: list[tuple[int, str, bool, bool]] = []

    def note(event: Event) -> None:
        seen.append((event.revision, event.new.name, event.deleted, event.old is None))

    stop = store.collection("configmaps").watch("default", note)
    put(store, "a")
    put(store, "a", 1)
    put(store, "other", namespace="elsewhere")
    remove(store, "a")
    stop()
    put(store, "b")
    assert seen == [(1, "a", False, True), (2, "a", False, False), (4, "a", True, False)]


def test_the_past_can_be_told_from_any_revision(store: Store) -> None:
    put(store, "a")
    put(store, "b")
    put(store, "a", 1)
    remove(store, "b")
    events = [(e.revision, e.new.name, e.deleted, e.old.obj()["data"] if e.old else None) for e in store.events("configmaps", 1)]
    assert events == [(2, "b", False, None), (3, "a", False, {"n": "0"}), (4, "b", True, {"n": "0"})]
    assert [entry.name for entry in store.at("configmaps", "", 2)] == ["a", "b"]
    assert [entry.name for entry in store.at("configmaps", "", 4)] == ["a"]


def test_compaction_forgets_the_past_but_nothing_that_is_current(store: Store, path: Path) -> None:
    for n in range(5):
        put(store, "a", n)
    put(store, "gone")
    remove(store, "gone")
    put(store, "b")
    store.compact(store.revision)
    with pytest.raises(Compacted):
        list(store.events("configmaps", 3))
    assert len(list(store.log.connection.execute("SELECT 1 FROM revisions"))) == 2
    store.close()
    again = Store(path, describe)
    assert names(again) == ["a", "b"] and again.revision == 8 and again.compacted == 8
    again.close()


def test_the_counter_survives_the_compaction_of_a_last_deletion(store: Store, path: Path) -> None:
    put(store, "a")
    remove(store, "a")
    store.compact(store.revision)
    store.close()
    again = Store(path, describe)
    assert put(again, "b") == 3
    again.close()


def test_a_new_process_finds_what_was_written(store: Store, path: Path) -> None:
    put(store, "a")
    put(store, "b", 7)
    other = Store(path, describe)  # the first one is still open, as after a kill
    entry = other.get("configmaps", "default", "b")
    assert entry is not None and entry.obj()["data"] == {"n": "7"}
    other.close()


def test_two_servers_over_one_database_take_turns(store: Store, path: Path) -> None:
    other = Store(path, describe)
    assert put(store, "a") == 1
    assert put(other, "b") == 2
    assert put(store, "c") == 3
    other.sync()
    assert names(other) == ["a", "b", "c"]
    other.close()


def test_a_transaction_runs_again_when_another_server_was_faster(store: Store, path: Path) -> None:
    other = Store(path, describe)
    runs = []

    def count(tx: Transaction) -> None:
        runs.append(len(list(tx.list("configmaps"))))
        if len(runs) == 1:
            put(other, "faster")
        tx.put("configmaps", "default", "count", {"metadata": {"name": "count"}, "data": {"n": str(runs[-1])}})

    store.transact(count)
    assert runs == [0, 1]
    entry = store.get("configmaps", "default", "count")
    assert entry is not None and entry.obj()["data"] == {"n": "1"}
    other.close()


def damage_last_page_of_log(path: Path) -> None:
    wal = path.with_name(path.name + "-wal")
    data = bytearray(wal.read_bytes())
    data[-2000:-1000] = b"\xff" * 1000
    wal.write_bytes(data)


def test_a_damaged_last_page_of_the_write_ahead_log_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = Store(path, describe)
    for n in range(50):
        put(store, f"m{n}", n)
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in tmp_path.glob("state.db*"):  # as the files are when the process is killed
        (copy / file.name).write_bytes(file.read_bytes())
    store.close()
    damage_last_page_of_log(copy / "state.db")
    assert sql.Log(copy / "state.db").last() < 50
    for leftover in copy.glob("state.db-shm"):
        leftover.unlink()
    again = Store(copy / "state.db", describe)
    assert again.revision == 50 and len(names(again)) == 50
    assert put(again, "next") == 51
    again.close()


def test_a_damaged_journal_record_does_not_hide_the_ones_behind_it() -> None:
    rows: list[sql.Row] = [(n, "configmaps", "default", f"m{n}", 0, 0, b'{"metadata":{}}' * n) for n in (1, 2, 3)]
    records = [journal.encode(row) for row in rows]
    broken = records[0] + records[1][:-3] + b"?" + records[1][-2:] + records[2] + records[0][:9]
    assert [row[0] for row in journal.decode(broken)] == [1, 3]
    assert list(journal.decode(b"".join(records))) == rows


async def test_a_checkpoint_empties_the_journal(store: Store, path: Path) -> None:
    put(store, "a")
    before = journal.found(path)
    store.checkpoint()
    assert store._checkpointing is not None
    await store._checkpointing
    await asyncio.sleep(0)
    assert before[0] not in journal.found(path)
    assert journal.lost(journal.found(path), 0) == []


def test_what_cannot_be_written_is_refused_and_not_half_done(store: Store, path: Path) -> None:
    put(store, "a")
    pages = store.log.connection.execute("PRAGMA page_count").fetchone()[0]
    store.log.connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        store.transact(
            lambda tx: tx.put("configmaps", "default", "big", {"metadata": {"name": "big"}, "data": {"x": "y" * 100_000}})
        )
    assert names(store) == ["a"] and store.revision == 1
    store.log.connection.execute("PRAGMA max_page_count = 1000000")
    assert put(store, "b") == 2


def test_a_refusal_from_stale_memory_is_reconsidered(store: Store, path: Path) -> None:
    other = Store(path, describe)
    put(other, "a")
    runs = []

    def work(tx: Transaction) -> str:
        runs.append(tx.get("configmaps", "default", "a"))
        if runs[-1] is None:
            raise LookupError("a")
        return runs[-1].name

    assert store.transact(work) == "a"
    assert len(runs) == 2, "the first run did not know what the other server had written"
    other.close()


def test_an_outcome_without_a_write_is_that_of_the_newest_state(store: Store, path: Path) -> None:
    other = Store(path, describe)
    put(other, "a", 7)

    def work(tx: Transaction) -> Obj | None:
        entry = tx.get("configmaps", "default", "a")
        return entry.obj()["data"] if entry else None

    assert store.transact(work) == {"n": "7"}
    other.close()


async def test_a_few_large_objects_are_checkpointed_as_many_small_ones_are(store: Store, path: Path) -> None:
    def work(tx: Transaction) -> None:
        tx.put("configmaps", "default", "big", {"metadata": {"name": "big"}, "data": {"v": "x" * 1_000_000}})

    for _ in range(6):
        store.transact(work)
    assert store._checkpointing is not None
    await store._checkpointing
    assert path.stat().st_size > 1_000_000, "the database has them, so the journal need not grow"


def test_a_checkpoint_that_fails_at_the_start_costs_nothing(store: Store, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, "a", 1)

    def full(_path: Path) -> bool:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(sql, "checkpoint", full)
    again = Store(path, describe)
    assert names(again) == ["a"]
    assert journal.found(path), "what the database file has not is still in a journal"
    again.close()
