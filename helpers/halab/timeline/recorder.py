"""Writes the record of a lab while a session has it open: the picture, events, faults and traffic as they come."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from halab.timeline.live import Live
from halab.timeline.picture import Change, Picture
from halab.timeline.record import STEP, Record, Row
from halab.traffic.record import Request

Faults = Callable[[], Iterable[dict[str, Any]]]
Heard = Callable[[list[Row]], None]


class Recorder:
    """``faults`` gives the active failures now, as ``{"id", "title", "target", "hits", "until"}``; it is asked at every change of the cluster.

    ``listen`` gets every row as it is written. While another process records the same lab, only traffic and notes are written here.
    """

    def __init__(self, live: Live, record: Record, faults: Faults = tuple) -> None:
        self.live, self.record = live, record
        self._faults = faults
        self._lock = threading.RLock()
        self._listeners: list[Heard] = []
        self._events: set[tuple[str, int]] = {_key(e) for e in live.events()}
        self._active: dict[str, dict[str, Any]] = {}
        self._buckets: dict[str, Traffic] = {}
        self._writer = record.writer()
        self._end = live.subscribe(self._told)

    def _told(self, old: Picture, change: Change, _new: Picture) -> None:
        rows: list[Row] = []
        if change["set"] or change["gone"]:
            rows.append({"set": change["set"], "gone": change["gone"], **({} if old else {"whole": True})})
        for event in self.live.events():
            if (key := _key(event)) not in self._events:
                self._events.add(key)
                rows.append({"event": _event(event)})
        self.write(*rows, *self._fault_rows(), picture=True)

    def _fault_rows(self) -> list[Row]:
        now = {one["id"]: one for one in self._faults()}
        rows: list[Row] = [{"at": one.get("at", time.time()), "fault": one} for id, one in now.items() if id not in self._active]
        rows += [{"fault": {**one, "healed": True}} for id, one in self._active.items() if id not in now]
        self._active = now
        return rows

    def look_at_faults(self) -> None:
        """One was injected or healed: do not wait for the cluster to change."""
        with self._lock:
            self.write(*self._fault_rows())

    def heard(self, target: str, requests: Iterable[Request]) -> None:
        """Requests of a probe, in the order in which they were recorded."""
        with self._lock:
            bucket = self._buckets.setdefault(target, Traffic(target))
            self.write(*(row for request in requests for row in bucket.add(request)))

    def flush(self) -> None:
        """The last requests of probes that ended."""
        with self._lock:
            self.write(*(row for bucket in self._buckets.values() for row in bucket.flush()))

    def write(self, *rows: Row, picture: bool = False) -> None:
        if not rows:
            return
        now = round(time.time(), 3)
        stamped = [{"at": now, **row} for row in rows]
        with self._lock:
            if self._writer is not None or not picture:
                self.record.add(*stamped)
            for listener in list(self._listeners):
                listener(stamped)

    def listen(self, heard: Heard) -> Callable[[], None]:
        with self._lock:
            self._listeners.append(heard)

        def end() -> None:
            with self._lock:
                if heard in self._listeners:
                    self._listeners.remove(heard)

        return end

    def close(self) -> None:
        self._end()
        self.flush()
        if self._writer is not None:
            self._writer.close()


class Traffic:
    """Requests of one target, gathered into rows of ``STEP`` seconds by the time they were due. Of one that ends late (it waited for an answer that
    never came) the row is written late: a step may have several rows, which add up."""

    def __init__(self, target: str) -> None:
        self.target, self.newest = target, 0
        self._steps: dict[int, tuple[list[Request], list[Request]]] = {}  # number of the step -> (good, failed)

    def add(self, request: Request) -> list[Row]:
        """The rows that ``request`` closes: it is the first of a later step than all before."""
        number = int(request.at / STEP)
        rows = []
        if number > self.newest:
            rows, self.newest = self.flush(), number
        if not request.astray:
            self._steps.setdefault(number, ([], []))[0 if request.ok else 1].append(request)
        return rows

    def flush(self) -> list[Row]:
        steps, self._steps = self._steps, {}
        return [self._row(number, *steps[number]) for number in sorted(steps)]

    def _row(self, number: int, good: list[Request], failed: list[Request]) -> Row:
        by: dict[str, int] = {}
        for request in good:
            if request.by:
                by[request.by] = by.get(request.by, 0) + 1
        middle = sorted(r.latency for r in good)[len(good) // 2] * 1000 if good else None
        return {
            "at": round((number + 1) * STEP, 3),
            "traffic": {
                "target": self.target,
                "good": len(good),
                "failed": len(failed),
                "ms": None if middle is None else round(middle, 2),
                "by": by,
            },
        }


def _key(event: dict[str, Any]) -> tuple[str, int]:
    return str(event["metadata"].get("uid")), int(event.get("count") or (event.get("series") or {}).get("count") or 1)


def _event(event: dict[str, Any]) -> dict[str, Any]:
    about = event.get("involvedObject") or {}
    return {
        "about": f"{str(about.get('kind', '')).lower()} {about.get('name', '')}",
        "reason": event.get("reason", ""),
        "message": event.get("message", ""),
        "type": event.get("type", "Normal"),
    }
