"""Replay a recorded load on services that scale in different ways, at the same moment, and compare them.

The two things that matter pull against each other: how long users wait, and how many pod-seconds that costs. A *scaler* is a function of
the load so far (requests a second, one number a second, oldest first) that says how many replicas there should be; a service without one is left
to whatever scales it in the cluster, such as a HorizontalPodAutoscaler.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from halab.course.scene import Scene
from halab.traffic.availability import Availability, summarize
from halab.traffic.meter import Meter

Scaler = Callable[[list[float]], int]
FINISH_TIMEOUT = 15.0  # seconds after the load until the last answers are in


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one service did under the load. ``replicas`` has a number for every second; their sum is the cost in pod-seconds."""

    seen: Availability
    replicas: tuple[int, ...]

    @property
    def pod_seconds(self) -> int:
        return sum(self.replicas)

    @property
    def slow_ms(self) -> float:
        """Milliseconds within which 90% were answered; a request that failed counts as the slowest of all."""
        return self.seen.latency_ms["90"] if self.seen.success_rate >= 0.95 else float("inf")

    def row(self, name: str) -> str:
        slow = self.slow_ms
        late = f"{1 - self.seen.success_rate:.0%} failed" if slow == float("inf") else f"90% within {slow:.0f} ms"
        return f"{name:28} {late:22} {self.pod_seconds:4} pod-seconds   replicas {''.join(map(str, self.replicas))}"


def replay(
    scene: Scene, load: Sequence[float], services: Mapping[str, Scaler | None], *, history: Sequence[float] = (), path: str = "/"
) -> dict[str, Outcome]:
    """Send ``load`` (a rate for each second) to every service of ``services`` at once, each named like its Deployment.

    Once a second each scaler sees ``history`` and the load so far, and its number is written to the Deployment's scale, as an autoscaler does.
    Raises what a scaler raises.
    """
    meters = {name: _send(scene, name, load, path) for name in services}
    replicas: dict[str, list[int]] = {name: [] for name in services}
    seen = list(history)
    try:
        start = time.monotonic()
        for second, rate in enumerate(load):
            time.sleep(max(0.0, start + second - time.monotonic()))  # the clock of the recorded load
            for name, scaler in services.items():
                current = scene.api.get("deployments", name)
                if scaler is not None and (wanted := scaler(list(seen))) != current["spec"].get("replicas", 1):
                    scene.api.patch("deployments", name, {"spec": {"replicas": wanted}}, subresource="scale")
                replicas[name].append(int(current.get("status", {}).get("replicas", 0)))
            seen.append(float(rate))
        for meter in meters.values():
            meter.finish(FINISH_TIMEOUT)
    finally:
        for meter in meters.values():
            meter.stop()
    return {name: Outcome(summarize(list(meters[name].requests)), tuple(replicas[name])) for name in services}


def _send(scene: Scene, name: str, load: Sequence[float], path: str) -> Meter:
    host, port = scene.reach.service(scene.namespace, name, 80)
    return Meter(f"http://{host}:{port}", path=path, profile=load)
