"""The topology with 500 pods and 50 changes a second: how long until a change is on screen, the longest frame, and the kernel's share of a core.

Synthetic objects go through the real painter, the real widget class and its real messages (caught where they would leave the kernel), and
are drawn by the real script in Chromium; only the socket between the two is left out.
"""

from __future__ import annotations

import json
import statistics
import sys
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.measure import Row

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))

PODS, NODES, RATE, SECONDS = 500, 5, 50, 10
PATCHES = 20  # updates a second that reach the browser (timeline.gather.QUIET)

# In the page: each change carries a mark in a pod's word; when the frame that shows it has been handed over, its delay is taken.
WATCH = """() => {
  window.frames = []; window.long = [];
  new PerformanceObserver((l) => l.getEntries().forEach((e) => long.push(e.duration))).observe({ type: 'longtask', buffered: false });
  let last = performance.now(); const tick = (now) => { frames.push(now - last); last = now; requestAnimationFrame(tick); }; requestAnimationFrame(tick);
}"""
PLAY = """async ([deltas, every]) => {
  const delays = []; let begin = performance.now();
  for (let i = 0; i < deltas.length; i++) {
    const due = begin + i * every;
    await new Promise((done) => setTimeout(done, Math.max(0, due - performance.now())));
    const came = performance.now();
    halab.push('delta', deltas[i]);
    requestAnimationFrame(() => setTimeout(() => delays.push(performance.now() - came), 0));
  }
  await new Promise((done) => setTimeout(done, 300));
  return { delays, frames, long };
}"""


def widgets() -> list[Row]:
    import stage
    from browser import chromium
    from halab.timeline.picture import Painter
    from halab.widgets.topology import Topology

    world = stage.objects(PODS, NODES)
    first = Painter().paint(world)
    deltas, share = _kernel(world)
    with chromium() as browser:
        page = stage.staged(
            browser, Topology, {"state": {"seq": 0, "picture": first}, "delta": {}, "selected": "", "details": {}}, width=1200
        )
        page.wait_for_function(f"document.querySelectorAll('.halab-pod').length === {PODS}")
        page.evaluate(WATCH)
        seen = page.evaluate(PLAY, [deltas, 1000 / PATCHES])
    on_screen = sorted(seen["delays"])[int(len(seen["delays"]) * 0.99)] + 1000 / PATCHES
    return [
        Row(
            f"topology, {PODS} pods, {RATE} changes/s: a change on screen, p99 (with gathering)",
            on_screen,
            "ms",
            100,
            runs=len(deltas),
        ),
        Row("topology: longest task of the page", max(seen["long"], default=0.0), "ms", 50),
        Row("topology: frame, median", statistics.median(seen["frames"]), "ms", None),
        Row("topology: longest frame", max(seen["frames"]), "ms", 50),
        Row("topology: kernel CPU, share of a core", 100 * share, "%", 20),
    ]


def _kernel(world: dict[str, Any]) -> tuple[list[dict[str, Any]], float]:
    """Play changes at ``RATE`` through a live widget; the deltas that it sent, and the CPU time per second of it."""
    import stage
    from halab.backends.access import Api
    from halab.timeline.live import Live
    from halab.widgets.topology import Topology

    live = Live(Api.__new__(Api), _Still(world))  # no call is made: objects come from here
    widget = Topology(live, "bench")
    sent: list[dict[str, Any]] = []
    widget.observe(lambda change: sent.append(json.loads(json.dumps(change["new"]))), names="delta")
    began, used = time.monotonic(), time.process_time()
    for number in range(RATE * SECONDS):
        index = (number * 37) % PODS
        if number % 10 == 9:  # one in ten is another pod in its place, as when one is replaced
            world["pods"][index] = stage.pod(f"new-6d4f-{number:04d}", f"node-{index % NODES + 1}")
        else:
            name, where = world["pods"][index]["metadata"]["name"], f"node-{index % NODES + 1}"
            world["pods"][index] = stage.pod(name, where, ready=number % 2 == 0, version=number + 2)
        live.changed()
        threading.Event().wait(max(0.0, began + (number + 1) / RATE - time.monotonic()))
    share = (time.process_time() - used) / (time.monotonic() - began)
    live.close()
    widget.close()
    return sent, share


class _Still:
    """Objects as ``Follow`` gives them."""

    def __init__(self, world: dict[str, Any]) -> None:
        self.world = world

    def objects(self, kind: str) -> list[dict[str, Any]]:
        return list(self.world.get(kind, ()))

    def close(self) -> None:
        pass
