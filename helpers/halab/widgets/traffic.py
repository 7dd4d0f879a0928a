"""The traffic meter: a constant stream of requests, and what became of each. It shows a failure as users see it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import traitlets

from halab.errors import UsageError
from halab.traffic.availability import Availability, losses, summarize
from halab.traffic.meter import PATIENCE, Meter
from halab.traffic.record import Request
from halab.widgets import traffic_view
from halab.widgets.base import Gatherer, Widget, script, style

MOST_EXACT = 20_000  # requests of which the losses are timed one by one, several times a second
MOST_PATIENCE = 8  # seconds; a stopped meter awaits what is under way
MOST_RATE = 5000  # requests a second; one process sends them


class TrafficMeter(Widget):
    """Starts sending at once. ``stop`` ends it; ``record`` sums up what was sent so far; ``wait`` lets some seconds of traffic pass."""

    _esm = script("vendor/uplot.js", "common.js", "charts.js", "traffic.js")
    _css = style("vendor/uplot.css", "common.css", "traffic.css")
    target = traitlets.Unicode("").tag(sync=True)
    state = traitlets.Dict().tag(sync=True)
    running = traitlets.Bool(False).tag(sync=True)
    said = traitlets.Unicode("").tag(sync=True)
    _meter: Meter | None = None  # here, because a widget that was refused is closed as well
    _gatherer: Gatherer | None = None

    def __init__(
        self,
        url: str,
        *,
        rate: float = 20.0,
        host: str = "",
        path: str = "/",
        patience: float = PATIENCE,
        name: str = "",
        told: Callable[[str, list[Request]], None] = lambda _target, _requests: None,
        **kwargs: Any,
    ) -> None:
        """``name`` is what ``url`` is called here; ``told`` gets (what is sent to, requests) as they are recorded."""
        if not 0 < rate <= MOST_RATE:
            raise UsageError(
                f"traffic to {url}", f"a rate of {rate:g} is not between 0 and {MOST_RATE}", "rate is in requests a second"
            )
        if not 0 < patience <= MOST_PATIENCE:
            raise UsageError(
                f"traffic to {url}", f"a patience of {patience:g} is not between 0 and {MOST_PATIENCE}", "patience is in seconds"
            )
        label = f"{rate:g} requests/s to {name or url}{path if path != '/' else ''}" + (f" as {host}" if host else "")
        if patience != PATIENCE:
            label += f", users wait {patience:g} s"
        super().__init__(target=label, **kwargs)
        self._arguments = {"rate": rate, "host": host, "path": path, "patience": patience}
        self._url, self._told = url, told
        self._fold = traffic_view.Fold()
        self._lock = threading.Lock()
        self._requests: list[Request] = []
        self._gatherer = Gatherer(self._refresh, "traffic", quiet=traffic_view.STEP / 2)  # a bar grows by two steps
        self._gatherer.start()
        self.on_msg(self._command)
        self.start()

    def start(self) -> None:
        """Go on sending after a stop. What was recorded before stays."""
        if self._meter is None or not self._meter.running:
            self.running = True
            self._meter = Meter(self._url, heard=self._heard, ended=self._over, **self._arguments)  # type: ignore[arg-type]

    def _heard(self, requests: list[Request]) -> None:
        with self._lock:
            for request in requests:
                self._fold.add(request)
            self._requests += requests
        self._told(self.target, requests)
        if self._gatherer is not None:
            self._gatherer.poke()

    def _over(self) -> None:
        """The probe has ended, whoever ended it."""
        self.running = False
        if self._gatherer is not None:
            self._gatherer.poke()

    def _refresh(self) -> None:
        with self._lock:
            state = self._fold.state()
            if state["lost"] and len(self._requests) <= MOST_EXACT:  # as ``record`` has it; the bars are coarser
                state["hurt"] = sum(one.end - one.begin for one in losses(self._requests))
        self.state = state
        self.said = traffic_view.sentence(state, self.running)

    def _command(self, _widget: Any, content: dict[str, Any], _buffers: Any) -> None:
        match content.get("do"):
            case "start":
                self.start()
            case "stop":
                self.stop()

    def wait(self, seconds: float) -> None:
        """Let ``seconds`` more of traffic pass."""
        if self._meter is not None:
            self._meter.wait(seconds)

    def stop(self) -> Availability:
        """End the stream and sum up."""
        if self._meter is not None:
            self._meter.stop()
        self.running = False
        self._refresh()
        return self.record()

    def record(self) -> Availability:
        """What users saw since the meter was made."""
        with self._lock:
            return summarize(list(self._requests))

    def summary(self) -> str:
        return self.record().sentence()

    def close(self) -> None:
        if self._meter is not None and self._meter.running:
            self._meter.stop()
        if self._gatherer is not None:
            self._gatherer.close()
        super().close()

    def __repr__(self) -> str:
        return f"{self.target}: {traffic_view.sentence(self.state, self.running)}"
