"""Startup, readiness and liveness probes: when they run, how results become verdicts, and the events they leave.

(https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/)
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from halab.cluster.kube.types import Obj

from . import checks
from .checks import Outcome, PortError, Target
from .records import Probe, Record

KINDS = ("startup", "readiness", "liveness")
MADE_TO_FAIL = Outcome("failure", "made to fail by halab fault")
COUNTED = {"success": "successful", "warning": "successful", "failure": "failed", "unknown": "unknown"}
TITLES = {"startup": "Startup", "readiness": "Readiness", "liveness": "Liveness"}


@dataclass(slots=True)
class Tally:
    """Turns single results into a verdict: so many failures (or successes) in a row as the thresholds say."""

    success_threshold: int
    failure_threshold: int
    last: bool | None = None
    run: int = 0

    def add(self, success: bool) -> Probe | None:
        """The new verdict, or None while the run is too short to change it."""
        self.run = self.run + 1 if self.last is success else 1
        self.last = success
        if self.run < (self.success_threshold if success else self.failure_threshold):
            return None
        return Probe.SUCCESS if success else Probe.FAILURE


async def look(probe: Obj, container: Obj, record: Record, target: Target) -> Outcome:
    """Ask once."""
    timeout = float(probe.get("timeoutSeconds", 1))
    run = record.run
    if run is None or run.handle is None:
        return Outcome("unknown", "")
    try:
        if action := probe.get("exec"):
            return await checks.command(run.handle, list(action.get("command") or ()), timeout)
        if action := probe.get("httpGet"):
            return await checks.http(target, checks.http_call(action, container, target.address), timeout)
        if action := probe.get("tcpSocket"):
            port = checks.port_of(action["port"], container)
            return await checks.tcp(target, action.get("host") or target.address, port, timeout)
        if action := probe.get("grpc"):
            return await checks.grpc(target, int(action["port"]), action.get("service") or "", timeout)
    except PortError as error:
        return Outcome("unknown", str(error))
    return Outcome("unknown", "missing probe handler")


class Prober:
    """Probes one run of one container. ``changed`` is called when a verdict changed; ``event`` writes (type, reason, message).

    ``sick`` tells whether a kind of probe is made to fail (see ``ailments``).
    """

    def __init__(
        self,
        container: Obj,
        record: Record,
        target: Target,
        changed: Callable[[], None],
        event: Callable[[str, str, str], None],
        sick: Callable[[str], bool] = lambda _kind: False,
    ) -> None:
        self.container, self.record, self.target = container, record, target
        self.changed, self.event, self.sick = changed, event, sick
        self.counts: Counter[tuple[str, str]] = Counter()  # (kind, result), kubelet's prober_probe_total
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._started = asyncio.Event()
        self._run = record.run

    def start(self) -> None:
        """Reset the verdicts for the new run and begin."""
        record, container = self.record, self.container
        record.startup = Probe.UNKNOWN if container.get("startupProbe") else None
        record.readiness = Probe.FAILURE if container.get("readinessProbe") else None
        record.liveness = Probe.SUCCESS if container.get("livenessProbe") else None
        if record.startup is None:
            self._started.set()
        for kind in KINDS:
            if probe := container.get(f"{kind}Probe"):
                self._tasks[kind] = asyncio.create_task(self._loop(kind, probe), name=f"{kind}-{record.name}")

    def stop(self, *kinds: str) -> None:
        for kind in kinds or KINDS:
            if task := self._tasks.pop(kind, None):
                task.cancel()

    async def _loop(self, kind: str, probe: Obj) -> None:
        run = self._run
        assert run is not None
        if kind != "startup":
            await self._started.wait()
        initial = float(probe.get("initialDelaySeconds", 0))
        await asyncio.sleep(min(initial, max(0.0, run.started + initial - time.time())))  # the clock may have been set back
        tally = Tally(probe.get("successThreshold", 1), probe.get("failureThreshold", 3))
        period = float(probe.get("periodSeconds", 10))
        due = time.monotonic()
        while self.record.run is run and self.record.running:
            outcome = MADE_TO_FAIL if self.sick(kind) else await look(probe, self.container, self.record, self.target)
            if self.record.run is not run or not self.record.running:
                return
            if self._judge(kind, outcome, tally) or (kind == "startup" and self.record.startup is Probe.SUCCESS):
                return
            due = max(due + period, time.monotonic() - period)
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    def _judge(self, kind: str, outcome: Outcome, tally: Tally) -> bool:
        """Count the outcome; True when this probe has nothing more to ask of this run."""
        title = TITLES[kind]
        self.counts[title, COUNTED[outcome.result]] += 1
        if outcome.result == "unknown":
            self.event("Warning", "Unhealthy", f"{title} probe errored and resulted in unknown state: {outcome.output}")
            return False
        if outcome.result == "warning":
            self.event("Warning", "ProbeWarning", f"{title} probe warning: {outcome.output}")
        elif outcome.result == "failure":
            self.event("Warning", "Unhealthy", f"{title} probe failed: {outcome.output}")
        verdict = tally.add(outcome.result != "failure")
        if verdict is None or verdict is getattr(self.record, kind):
            return False
        setattr(self.record, kind, verdict)
        if kind == "startup" and verdict is Probe.SUCCESS:
            self._started.set()
        self.changed()
        return kind != "readiness" and verdict is Probe.FAILURE
