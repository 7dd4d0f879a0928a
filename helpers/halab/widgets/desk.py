"""What a lab's session shows: one live picture and one record for all of its widgets, made when the first of them is asked for."""

from __future__ import annotations

import atexit
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from halab.backends.access import Api
from halab.backends.base import Backend
from halab.errors import HalabError
from halab.faults import api as faults
from halab.timeline.live import Live
from halab.timeline.record import Record
from halab.timeline.recorder import Recorder
from halab.traffic.record import Request
from halab.widgets.faults import FaultPanel
from halab.widgets.rollout import Rollout
from halab.widgets.routes import Routes
from halab.widgets.timeline import Timeline
from halab.widgets.topology import Topology
from halab.widgets.traffic import TrafficMeter

LATELY = 20.0  # seconds of requests that a pod's live share is counted over
SHARES_EVERY = 0.5  # seconds between two counts


def door(target: str) -> str:
    """By which door of the cluster requests to ``target`` come in: ``service/NAME``, ``ingress``, or another that routes do not show."""
    kind, _, rest = target.partition("/")
    name = rest.partition(":")[0]
    return f"service/{name}" if kind in ("service", "svc") else kind.partition(":")[0]


class Desk:
    """``folder`` is where the lab's record is kept; ``again`` turns a call (``topology()``) into an expression for a fresh kernel."""

    def __init__(self, api: Api, backend: Backend, folder: Path, again: Callable[[str], str]) -> None:
        self._api, self._backend, self._again = api, backend, again
        self.record = Record(folder)
        self.title = f"{backend.summary().name} · {api.namespace}"
        self._lock = threading.RLock()
        self._live: Live | None = None
        self._recorder: Recorder | None = None
        self._routes: list[Routes] = []
        self._lately: deque[tuple[str, Request]] = deque()  # (the door, the request)
        self._counted = 0.0

    def live(self) -> Live:
        with self._lock:
            if self._live is None:
                self._live = Live(self._api)
            return self._live

    def recorder(self) -> Recorder:
        with self._lock:
            if self._recorder is None:
                self._recorder = Recorder(self.live(), self.record, self._active_faults)
                atexit.register(self._recorder.close)
            return self._recorder

    def start_recording(self) -> None:
        """In the background: a notebook does not wait for it."""
        threading.Thread(target=self._start_recording, name="recorder-start", daemon=True).start()

    def _start_recording(self) -> None:
        try:
            self.recorder()
        except (HalabError, OSError, TimeoutError):
            return  # the cluster went away meanwhile; whoever asks for a widget is told

    def _active_faults(self) -> list[dict[str, Any]]:
        try:
            active = [asdict(one) for one in faults.active(self._backend)]
        except (HalabError, OSError):
            return []
        keys = ("id", "target", "hits", "at", "until")
        return [{"title": one["fault"], **{key: one[key] for key in keys}} for one in active]

    def note(self, **row: Any) -> None:
        """Add a row to the record, such as ``note={"kind": ..., "text": ...}``."""
        if self._recorder is not None:
            self._recorder.write(row)
        else:
            self.record.add(row)

    def topology(self) -> Topology:
        return Topology(self.live(), self.title, again=self._again("topology()"))

    def rollout(self) -> Rollout:
        return Rollout(self.live(), self.title, again=self._again("rollout()"))

    def routes(self) -> Routes:
        made = Routes(self.live(), self.title, again=self._again("routes()"))
        self._routes.append(made)
        return made

    def timeline(self, minutes: float) -> Timeline:
        return Timeline(self.recorder(), self.title, minutes, again=self._again(f"timeline(minutes={minutes!r})"))

    def fault_panel(self) -> FaultPanel:
        told = self.recorder().look_at_faults
        again = self._again("fault_panel()")
        return FaultPanel(self.live(), self.title, self._backend, self._api.namespace, told, again=again)

    def traffic(self, url: str, target: str, *, rate: float, host: str, path: str, patience: float) -> TrafficMeter:
        """A meter for ``url``, which is where ``target`` (as a learner names it) is reached."""
        call = f"traffic({target!r}, rate={rate!r}, host={host!r}, path={path!r}, patience={patience!r})"
        return TrafficMeter(
            url,
            name=target,
            rate=rate,
            host=host,
            path=path,
            patience=patience,
            told=partial(self._heard, door(target)),
            again=self._again(call),
        )

    def _heard(self, by: str, target: str, requests: list[Request]) -> None:
        self.recorder().heard(target, requests)
        if not self._routes:
            return
        with self._lock:
            self._lately.extend((by, request) for request in requests)
            now = time.time()
            while self._lately and self._lately[0][1].at < now - LATELY:
                self._lately.popleft()
            if now - self._counted < SHARES_EVERY:
                return
            self._counted = now
            shares: dict[str, Counter[str]] = {}
            for through, request in self._lately:
                if request.ok and request.by:
                    shares.setdefault(through, Counter())[request.by] += 1
        for routes in self._routes:
            routes.count(shares)
