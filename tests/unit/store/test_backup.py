"""A log copied while it is written, and put into another one's place."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from halab.cluster.store import backup
from halab.cluster.store.store import Compacted, Store, Transaction

Obj = dict[str, Any]


def describe(resource: str, obj: Obj) -> tuple[dict[str, str] | None, dict[str, str] | None]:
    return None, None


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    made = Store(path, describe)
    yield made
    made.close()


def put(store: Store, name: str, text: str = "") -> int:
    def work(tx: Transaction) -> int:
        return tx.put("configmaps", "default", name, {"metadata": {"name": name}, "data": {"t": text}}).revision

    return store.transact(work)


def test_a_copy_is_what_was_there_at_its_moment_in_one_private_file(store: Store, path: Path) -> None:
    put(store, "a"), put(store, "b")
    target = path.with_name("copy")
    assert backup.copy(path, target, alone=False) == store.revision
    put(store, "late")
    assert [resource for resource, _ in backup.values(target)] == ["configmaps", "configmaps"]
    assert [one.name for one in path.parent.glob("copy*")] == ["copy"]
    assert target.stat().st_mode & 0o077 == 0


def test_a_copy_of_a_stopped_log_has_what_only_the_journal_still_knew(path: Path) -> None:
    stopped = Store(path, describe)
    put(stopped, "kept"), put(stopped, "acknowledged")
    stopped.close()
    with sqlite3.connect(path) as damaged:
        damaged.execute("DELETE FROM revisions WHERE name = 'acknowledged'")
    damaged.close()
    backup.copy(path, path.with_name("copy"), alone=True)
    assert [b"acknowledged" in value for _, value in backup.values(path.with_name("copy"))] == [False, True]


def test_a_restored_log_goes_on_behind_both_pasts_and_every_watch_begins_anew(store: Store, path: Path) -> None:
    put(store, "a", "here")
    target = path.with_name("copy")
    saved = backup.copy(path, target, alone=False)
    for number in range(10):
        put(store, f"later-{number}")
    last = backup.fit(target, lambda value: value.replace(b"here", b"there"), backup.last_revision(path))
    assert last > store.revision > saved
    restored = Store(target, describe)
    try:
        entry = restored.get("configmaps", "default", "a")
        assert entry is not None and b"there" in entry.value
        assert restored.revision == last
        with pytest.raises(Compacted):
            restored.check_history(saved)
        assert put(restored, "b") == last + 1
        restored.compact(last + 1)
        assert [name for name, _ in restored.sizes().items()] == ["configmaps"]
    finally:
        restored.close()


def test_a_damaged_log_is_refused(store: Store, path: Path) -> None:
    put(store, "a", "x" * 50_000)
    target = path.with_name("copy")
    backup.copy(path, target, alone=False)
    data = bytearray(target.read_bytes())
    data[4096:] = bytes(len(data) - 4096)
    target.write_bytes(data)
    with pytest.raises(sqlite3.DatabaseError):
        backup.fit(target, lambda value: value, 0)
