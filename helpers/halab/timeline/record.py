"""The record of a lab: one JSON object a line, each with ``at`` (Unix seconds), kept in ``$HALAB_HOME/labs/CLUSTER/LAB/timeline``.

==============  =============================================================================================
``set, gone``   what changed in the picture (see ``picture.difference``); ``whole`` marks a picture of everything
``event``       ``{"about", "reason", "message", "type"}`` of a Kubernetes event
``traffic``     ``{"target", "good", "failed", "ms", "by"}``: the requests that were due in the ``STEP`` before ``at``; rows of the same step add up
``fault``       ``{"id", "title", "target", "hits", "until"}``, and with ``"healed": true`` its end
``prediction``  ``{"name", "question", "options", "chosen"}``
``outcome``     ``{"name", "happened", "seen"}``
``note``        ``{"kind", "text"}``: what anybody else has to say
==============  =============================================================================================

Any process may add lines (each is one write, so they never mix); one at a time records the picture.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import orjson

Row = dict[str, Any]
STEP = 0.5  # seconds of traffic in one row
RESET = "reset"  # the kind of the note that says that the lab began anew
BIGGEST = 32 << 20  # bytes; a longer record begins anew, the former one is kept beside it


@dataclass(frozen=True, slots=True)
class Record:
    folder: Path

    @property
    def file(self) -> Path:
        return self.folder / "record.jsonl"

    def add(self, *rows: Row) -> None:
        """Append; a row without ``at`` gets now."""
        if not rows:
            return
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        data = b"".join(orjson.dumps({"at": round(time.time(), 3), **row}) + b"\n" for row in rows)
        descriptor = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, data)
        finally:
            os.close(descriptor)

    def note(self, kind: str, text: str) -> None:
        """A line of somebody else's, such as a tool that did something to the cluster."""
        self.add({"note": {"kind": kind, "text": text}})

    def rows(self, since: float = 0.0) -> list[Row]:
        """All rows by time; with ``since`` only later ones, and before them the picture as it was then. A line cut short is passed over."""
        try:
            with self.file.open("rb") as file:
                found = sorted(parse(file), key=lambda row: float(row["at"]))
        except FileNotFoundError:
            return []
        return cut(found, since) if since else found

    def writer(self) -> BinaryIO | None:
        """The lock of whoever records the picture; None while somebody else does. Closed by the end of the process or by ``close``."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = open(self.folder / "writer.lock", "wb")  # noqa: SIM115 - held as long as it is recorded
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            return None
        if self.file.exists() and self.file.stat().st_size > BIGGEST:
            self.file.replace(self.folder / "record.1.jsonl")
        return lock


def parse(lines: Iterable[bytes]) -> list[Row]:
    found = []
    for line in lines:
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        if isinstance(row, dict) and "at" in row:
            found.append(row)
    return found


def since_reset(rows: list[Row]) -> list[Row]:
    """Rows of the lab's newest beginning: without those of the rounds before it was reset, but for what was predicted then."""
    resets = [row["at"] for row in rows if (row.get("note") or {}).get("kind") == RESET]
    return [row for row in cut(rows, resets[-1]) if row["at"] > resets[-1] or "outcome" not in row] if resets else rows


def cut(rows: list[Row], since: float) -> list[Row]:
    """Rows from ``since`` on, after one row with the picture of that moment and those of the faults that were still active."""
    from halab.timeline.replay import active_faults, picture_at

    before = [row for row in rows if row["at"] < since]
    if not before:
        return rows
    head: list[Row] = [{"at": since, "whole": True, "set": picture_at(before, since), "gone": []}]
    head += [{"at": row["at"], "fault": row["fault"]} for row in active_faults(before, since)]
    head += [{**row, "at": since} for row in before if "prediction" in row or "outcome" in row]
    return [*head, *(row for row in rows if row["at"] >= since)]
