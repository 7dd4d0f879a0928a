"""What the learner has done, kept on disk so that a kernel restart, a crash or a full day's pause loses nothing.

One JSON file a lab under ``$HALAB_HOME/progress/CLUSTER/``; each write replaces the file atomically. A file that cannot be read
is set aside, never overwritten.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Progress:
    """The record of one lab. Keys: ``passed`` (task -> {at, saw}), ``hints`` (task -> count shown), ``predictions`` (name -> {...})."""

    file: Path

    def read(self) -> Record:
        try:
            record: Record = json.loads(self.file.read_text())
            if isinstance(record, dict):
                return record
        except FileNotFoundError:
            return {}
        except ValueError:
            pass
        self.file.rename(self.file.with_suffix(f".unreadable-{int(time.time())}"))
        return {}

    @contextmanager
    def change(self) -> Iterator[Record]:
        """The record, to be changed in place; written when the block ends well. Safe against other processes."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            record = self.read()
            yield record
            new = self.file.with_suffix(f".new{os.getpid()}")
            new.write_text(json.dumps(record, indent=1, sort_keys=True))
            new.replace(self.file)

    def passed(self) -> dict[str, Record]:
        found: dict[str, Record] = self.read().get("passed", {})
        return found

    def mark_passed(self, task: str, saw: str) -> None:
        with self.change() as record:
            record.setdefault("passed", {}).setdefault(task, {"at": time.time(), "saw": saw})

    def mark_failed(self, task: str) -> None:
        """A level task that no longer holds is open again."""
        if task in self.passed():
            with self.change() as record:
                record["passed"].pop(task, None)

    def count_hint(self, task: str) -> int:
        with self.change() as record:
            hints = record.setdefault("hints", {})
            hints[task] = hints.get(task, 0) + 1
            return int(hints[task])

    def clear(self) -> None:
        """Forget what was passed, and what became of predictions; those stay (they are the learner's words)."""
        with self.change() as record:
            record.pop("passed", None)
            record.pop("hints", None)
            for row in record.get("predictions", {}).values():
                row.pop("happened", None)
                row.pop("seen", None)


def progress_of(home: Path, cluster: str, slug: str) -> Progress:
    return Progress(home / "progress" / cluster / f"{slug}.json")
