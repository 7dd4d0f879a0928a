"""The failures that are active, written down: one JSON file each in the cluster's own folder, so that any process can heal them.

No more is imported here than a guard needs while it waits.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

LOCK = "lock"
HISTORY = "history.jsonl"
HISTORY_BYTES = 1 << 20


@dataclass(slots=True)
class Record:
    """``at`` and ``until`` are Unix times. ``owner`` and ``guard`` are (process id, its start time): the process whose end heals the failure (id 0: none), and the guard."""

    id: str
    fault: str
    cluster: str
    namespace: str
    target: str
    options: dict[str, Any]
    hits: list[str]
    keys: list[str]
    data: dict[str, Any]
    at: float
    until: float
    state: str = "injecting"  # injecting, active
    owner: tuple[int, str] = (0, "")
    guard: tuple[int, str] = (0, "")
    error: str = field(default="")  # why the last attempt to heal it failed

    @property
    def lasting(self) -> float:
        return self.until - self.at


def path_of(folder: Path, id: str) -> Path:
    return folder / f"{id}.json"


def save(folder: Path, record: Record) -> None:
    """Whole or not at all; for the owner alone."""
    path = path_of(folder, record.id)
    partial = path.with_suffix(".partial")
    with open(os.open(partial, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as out:
        json.dump(asdict(record), out)
    partial.replace(path)


def load(path: Path) -> Record | None:
    """None when it is gone, or cannot be understood (then it is no record of this version)."""
    try:
        raw = json.loads(path.read_text())
        raw["owner"], raw["guard"] = tuple(raw["owner"]), tuple(raw["guard"])
        return Record(**raw)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def load_all(folder: Path) -> list[Record]:
    """The oldest first."""
    found = [record for path in folder.glob("*.json") if (record := load(path)) is not None]
    return sorted(found, key=lambda record: (record.at, record.id))


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One process at a time injects or heals."""
    descriptor = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def remember(folder: Path, record: Record, event: str, at: float) -> None:
    """Append to the history what was injected and what healed: the timeline of a lab shows it beside pods and requests."""
    line = {"at": at, "event": event, "id": record.id, "fault": record.fault, "namespace": record.namespace}
    path = folder / HISTORY
    with suppress(OSError):
        if path.stat().st_size > HISTORY_BYTES:
            path.replace(path.with_suffix(".old"))
    with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600), "w") as out:
        out.write(json.dumps({**line, "target": record.target, "hits": record.hits}) + "\n")


def history(folder: Path, since: float = 0.0) -> list[dict[str, Any]]:
    """The events ``injected`` and ``healed`` from ``since`` (Unix time) on; a line that was cut short is passed over."""
    found: list[dict[str, Any]] = []
    for name in (f"{Path(HISTORY).stem}.old", HISTORY):
        with suppress(OSError):
            for line in (folder / name).read_text().splitlines():
                with suppress(ValueError):
                    found.append(json.loads(line))
    return [event for event in found if event["at"] >= since]
