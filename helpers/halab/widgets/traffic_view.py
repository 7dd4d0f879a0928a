"""From requests to what the traffic meter shows: a pure fold, batch by batch, and its words."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from halab.traffic.availability import CALM
from halab.traffic.record import Request

WINDOW = 60  # seconds that stay on screen
STEP = 0.25  # seconds in a bar: short enough to see a single failed request at 20 a second


@dataclass
class Fold:
    """Gathers requests into bars of ``STEP`` seconds. ``state()`` is what the widget draws."""

    bars: dict[int, list[Any]] = field(default_factory=dict)  # number of the bar -> [good, failed, [latencies]]
    by: dict[str, int] = field(default_factory=dict)
    sent: int = 0
    ok: int = 0
    astray: int = 0
    last_failure: str = ""
    hurt: set[int] = field(default_factory=set)  # numbers of the bars with a failure, also of those that are off the screen

    def add(self, request: Request) -> None:
        if request.astray:
            self.astray += 1
            return
        bar = self.bars.setdefault(int(request.at / STEP), [0, 0, []])
        self.sent += 1
        if request.ok:
            self.ok += 1
            bar[0] += 1
            bar[2].append(request.latency)
            if request.by:
                self.by[request.by] = self.by.get(request.by, 0) + 1
        else:
            bar[1] += 1
            self.hurt.add(int(request.at / STEP))
            self.last_failure = request.error or f"status {request.status}"

    def forget(self) -> None:
        """Drop bars that are off the screen."""
        if self.bars:
            newest = max(self.bars)
            for number in [n for n in self.bars if n < newest - WINDOW / STEP]:
                del self.bars[number]

    def hurt_seconds(self) -> float:
        """For how long requests were lost, over all; a calm of less than ``CALM`` counts along."""
        ordered = sorted(self.hurt)
        gaps = (later - before for before, later in pairwise(ordered))
        return sum(STEP * (gap if STEP * gap <= CALM else 1) for gap in gaps) + (STEP if ordered else 0.0)

    def state(self) -> dict[str, Any]:
        """``times`` in seconds before the newest bar (0 is now), ``good`` and ``failed`` counts, ``latency`` medians in ms (None where none)."""
        self.forget()
        newest = max(self.bars, default=0)
        numbers = range(newest - int(WINDOW / STEP) + 1, newest + 1) if self.bars else range(0)
        rows: list[Any] = [self.bars.get(n, (0, 0, [])) for n in numbers]
        return {
            "times": [round((n - newest) * STEP, 2) for n in numbers],
            "good": [row[0] for row in rows],
            "failed": [row[1] for row in rows],
            "latency": [round(sorted(row[2])[len(row[2]) // 2] * 1000, 2) if row[2] else None for row in rows],
            "sent": self.sent,
            "ok": self.ok,
            "rate": f"{self.ok / self.sent:.2%}" if self.sent else "-",
            "lost": self.sent - self.ok,
            "hurt": self.hurt_seconds(),
            "last_failure": self.last_failure,
            "astray": self.astray,
            "by": [[name, count] for name, count in sorted(self.by.items())],
        }


def sentence(state: dict[str, Any], running: bool) -> str:
    """The meter in words, for the aria-live line and for tests."""
    if not state.get("sent"):
        return "no request yet" if running else "stopped, nothing was sent"
    text = f"{state['ok']} of {state['sent']} requests answered ({state['rate']})"
    if state["lost"]:
        text += f", {state['lost']} lost within {state['hurt']:.1f} s, last: {state['last_failure']}"
    if state.get("astray"):
        text += f"; {state['astray']} more went astray on halab's own way and do not count"
    return text + ("" if running else "; stopped")
