"""What a notebook holds: ``lab = halab.lab("02-deploy")``. A synchronous facade; the work is done in ``course``, ``traffic`` and ``backends``.

Everything here can be called again at any time, in any order, from a fresh kernel: state is in the cluster and in the progress file.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halab import backends, trouble
from halab.badge import Badge, Badges, badge
from halab.course import catalog, predictions, requests, stage
from halab.course.progress import progress_of
from halab.course.results import Failed, NotPassed, Result
from halab.course.runner import Runner
from halab.errors import MachineError, UsageError
from halab.settings import halab_home
from halab.timeline.record import RESET, Record
from halab.traffic.meter import PATIENCE

if TYPE_CHECKING:
    from halab.faults.api import Handle, Preview
    from halab.widgets.checklist import Checklist
    from halab.widgets.desk import Desk
    from halab.widgets.faults import FaultPanel
    from halab.widgets.prediction import PredictionWidget
    from halab.widgets.rollout import Rollout
    from halab.widgets.routes import Routes
    from halab.widgets.timeline import Timeline
    from halab.widgets.topology import Topology
    from halab.widgets.traffic import TrafficMeter


def lab(name: str, *, cluster: str = "", quiet: bool = False) -> LabSession:
    """Connect to lab ``name`` (``02-deploy``, ``02`` or ``deploy``): the cluster is brought up if it is not, the lab's scene laid in its own
    namespace, kubectl of this notebook pointed at it, and the working folder made the current one."""
    session = open_lab(name, cluster=cluster, quiet=quiet)
    session.enter()
    return session


def open_lab(name: str, *, cluster: str = "", quiet: bool = False) -> LabSession:
    """As ``lab``, but this process's environment and folder stay as they are."""
    return LabSession(catalog.find(name), cluster, quiet=quiet)


class LabSession:
    """One lab on one cluster, for one notebook."""

    def __init__(self, found: catalog.Lab, cluster: str = "", *, quiet: bool = False) -> None:
        self.definition = found
        self.backend = backends.connect(cluster)
        self._report: Callable[[str], None] = (lambda _text: None) if quiet else _Progress()
        self.scene = stage.open_stage(found, self.backend, self._report)
        self.summary = self.backend.summary()
        self._heal_leftovers()
        self.progress = progress_of(halab_home(), self.summary.name, found.slug)
        self.runner = Runner(found, self.scene, self.progress)
        self.namespace = self.scene.namespace
        self._lock = threading.RLock()
        self._desk: Desk | None = None

    def _heal_leftovers(self) -> None:
        """What outlived both its time and its guard (the machine was switched off meanwhile) is healed before anything else is seen."""
        from halab.faults import records

        if records.load_all(self.backend.controls().records()):
            from halab.faults import engine

            engine.heal_leftovers(self.backend)

    def enter(self) -> None:
        """Point this process (and every ``!command`` of the notebook) at the lab."""
        os.environ.update({name: self.scene.environment[name] for name in ("HALAB_CLUSTER", "KUBECONFIG", "PATH", "LAB_ADDRESS")})
        os.chdir(self.scene.files)
        trouble.install()
        if isinstance(self._report, _Progress):
            self._report.done("the cluster is up, the scene is laid")
        self.desk().start_recording()

    def __repr__(self) -> str:
        done, tasks = len(self.progress.passed()), len(self.definition.tasks)
        return (
            f"lab {self.definition.slug} on cluster {self.summary.name} ({self.summary.backend}, {self.summary.nodes} nodes), "
            f"namespace {self.namespace}: {done} of {tasks} tasks done"
        )

    # Looking

    def topology(self) -> Topology:
        """The live picture of nodes, pods, Services and routes."""
        return self.desk().topology()

    def routes(self) -> Routes:
        """The way of a request: route, Service, EndpointSlice, pod; with live shares while a traffic meter runs."""
        return self.desk().routes()

    def rollout(self) -> Rollout:
        """The Deployments' revisions, filling and draining."""
        return self.desk().rollout()

    def timeline(self, minutes: float = 30) -> Timeline:
        """What was recorded in the last ``minutes``: move back to any second of it; ``timeline().export("failure.html")`` writes it to a file."""
        return self.desk().timeline(minutes)

    def fault_panel(self) -> FaultPanel:
        """The catalogue of failures: look what one would hit, inject it, heal it."""
        return self.desk().fault_panel()

    def badge(self, what: str) -> Badge:
        """Whether ``what`` (``NetworkPolicy``) is real on this cluster, and how it differs; see ``halab fidelity`` for all."""
        return badge(what, embedded=self.summary.backend == "embedded")

    def badges(self, *what: str) -> Badges:
        """Several of them."""
        return Badges(map(self.badge, what))

    def note(self, text: str, kind: str = "note") -> None:
        """Write a line into the lab's timeline."""
        self.desk().note(note={"kind": kind, "text": text})

    def desk(self) -> Desk:
        """What this session's widgets share."""
        from halab.widgets.desk import Desk

        with self._lock:
            if self._desk is None:
                self._desk = Desk(self.scene.api, self.backend, self._record_folder(), self._again)
            return self._desk

    def _record_folder(self) -> Path:
        return halab_home() / "labs" / self.summary.name / self.definition.slug / "timeline"

    def _again(self, call: str) -> str:
        """The expression that makes a widget again in a fresh kernel (``halab.session`` is what it is called on)."""
        return f"open_lab({self.definition.slug!r}, cluster={self.summary.name!r}, quiet=True).{call}"

    def traffic(
        self, target: str = "", *, rate: float = 20.0, host: str = "", path: str = "/", patience: float = PATIENCE
    ) -> TrafficMeter:
        """A meter that sends ``rate`` requests a second to ``target`` (as in ``url``) and shows how many got an answer, how fast, and from whom.
        A user gives up after ``patience`` seconds."""
        return self.desk().traffic(self.url(target), target, rate=rate, host=host, path=path, patience=patience)

    def url(self, target: str = "ingress") -> str:
        """Where ``target`` is reached from this machine: ``ingress``, ``ingress:https``, ``service/NAME[:PORT]``, ``pod/NAME[:PORT]`` or ``node/NAME:PORT``;
        a URL is left as it is.

        PORT is Kubernetes' port (default 80); the one in the answer may differ where this machine does not let users bind low ports.
        """
        if "://" in target:
            return target
        kind, _, rest = target.partition("/")
        name, _, number = rest.partition(":")
        port = int(number) if number.isdigit() else 80
        match kind:
            case "ingress" | "ingress:http":
                host, bound = self.backend.ingress()
            case "ingress:https":
                host, bound = self.backend.ingress(tls=True)
                return f"https://{host}:{bound}"
            case "service" | "svc":
                host, bound = self.backend.service(self.namespace, name, port)
            case "pod":
                host, bound = self.backend.pod(self.namespace, name, port)
            case "node":
                host, bound = self.backend.node_port(name, port)
            case _:
                raise UsageError(
                    f"target {target}", "is not understood", "say ingress, service/NAME[:PORT], pod/NAME[:PORT] or node/NAME:PORT"
                )
        return f"http://{host}:{bound}"

    def get(self, target: str = "ingress", path: str = "/", *, host: str = "") -> requests.Answer:
        """One request, as a user sends it, to a ``target`` as in ``url`` or to a URL."""
        url = self.url(target)
        scheme, _, place = url.partition("://")
        address, _, port = place.rpartition(":")
        return requests.fetch((address, int(port)), path, host=host, tls=scheme == "https")

    def free_port(self, wanted: int) -> int:
        """``wanted``, or the next port of this machine that nobody uses: machines are shared."""
        for port in range(wanted, wanted + 100):
            with socket.socket() as probe:
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    continue
                return port
        raise MachineError(f"port {wanted}", "is in use, and so are the hundred after it", "see: ss -tlnp")

    # Doing

    def check(self, task: str = "", *, timeout: float | None = None) -> Result | None:
        """Check one task, or all; prints what was seen. Returns the result of the one."""
        tasks = [self.definition.task(task)] if task else list(self.definition.tasks)
        result: Result | None = None
        for one in tasks:
            result = self.runner.check(one, timeout)
            print(f"{'✔' if result else '✘'} {one.title}\n    {str(result).replace(chr(10), chr(10) + '    ')}")
        return result if task else None

    def expect(self, task: str) -> None:
        """Check one task and fail the cell if it does not pass (for graded cells)."""
        wanted = self.definition.task(task)
        line, began = _Progress(only_in_a_kernel=True), time.monotonic()
        result: Result = Failed("the check was interrupted")

        def told(seen: Result, left: float) -> None:
            nonlocal result
            result = seen
            line(f"… {str(seen).partition(chr(10))[0]} (looking for {left:.0f} s more; ■ ends it)")

        with suppress(KeyboardInterrupt):  # who ends it gets what was seen last
            result = self.runner.check(wanted, told=told)
        line.done(f"(looked for {time.monotonic() - began:.0f} s)")
        if isinstance(result, Failed):
            raise NotPassed(wanted.title, result)
        print(f"✔ {result}")

    def hint(self, task: str = "") -> None:
        """A hint for a task (default: the first that is open), from what is the case now."""
        open_tasks = self.runner.open_tasks()
        if not task and not open_tasks:
            print("every task of this lab is done")
            return
        print(self.runner.hint(self.definition.task(task) if task else open_tasks[0]))

    def checklist(self) -> Checklist:
        """The lab's tasks as a widget; they complete by themselves."""
        from halab.widgets.checklist import Checklist

        return Checklist(self.runner, again=self._again("checklist()"))

    def reset(self, *, quiet: bool = False) -> None:
        """The scene as it was at the beginning. Your files are moved aside, not lost."""
        saved = stage.reset(self.definition, self.scene)
        self.progress.clear()
        Record(self._record_folder()).note(RESET, "the lab was reset")
        if not quiet:
            print(f"lab {self.definition.slug} is as at the beginning" + (f"; your files are in {saved}" if saved else ""))

    def doomed(self) -> list[str]:
        """What ``reset`` would remove from the namespace now, as ``kind/name``; nothing is touched."""
        return stage.doomed(self.scene)

    def solve(self) -> None:
        """Play the lab's solution."""
        stage.solve(self.definition, self.scene)

    # Predict, inject, explain

    def fault(self, name: str, target: str = "", *, duration: float | None = None, **options: Any) -> Handle:
        """Inject a failure of the catalogue (``halab fault list``): ``lab.fault("container-killed", "deployment/web")``.

        It heals at the end of a ``with`` block, by ``.heal()``, after ``duration`` seconds, or when this kernel ends. On a cluster that others
        use too, what will be hit is printed first.
        """
        from halab.faults import api

        if shared := self.backend.controls().shared:
            print(f"hits: {'; '.join(self.preview_fault(name, target, **options).hits)}")
        return api.inject(self.backend, name, target, namespace=self.namespace, duration=duration, confirmed=shared, **options)

    def preview_fault(self, name: str, target: str = "", **options: Any) -> Preview:
        """What ``fault`` with the same arguments would hit; nothing is touched."""
        from halab.faults import api

        return api.preview(self.backend, name, target, namespace=self.namespace, **options)

    def heal(self) -> None:
        """Heal every failure that is active on the cluster."""
        from halab.faults import api

        for one in api.heal_all(self.backend):
            print(f"healed {one.id}")

    def predict(self, name: str, question: str, options: list[str], *, answer: int | None = None) -> PredictionWidget | None:
        """Ask for a prediction before something is broken. ``answer`` commits at once (for the solved notebook)."""
        asked = predictions.ask(self.progress, name, question, options)
        if answer is not None:
            chosen = predictions.commit(self.progress, name, answer)
            self._predicted(chosen)
            print(f"{question}\nyou say: {chosen.options[chosen.chosen or 0]}")
            return None
        from halab.widgets.prediction import PredictionWidget

        again = self._again(f"predict({name!r}, {question!r}, {options!r})")
        return PredictionWidget(self.progress, asked, self._predicted, again=again)

    def explain(self, name: str, happened: int, seen: str) -> None:
        """The prediction beside what happened. ``happened`` is the option that came true, ``seen`` the observation."""
        print(predictions.compare(self.progress, name, happened, seen))
        from halab.widgets import prediction

        prediction.tell(self.progress, name, happened, seen)
        self.desk().note(outcome={"name": name, "happened": happened, "seen": seen})

    def _predicted(self, made: predictions.Prediction) -> None:
        self.desk().note(
            prediction={"name": made.name, "question": made.question, "options": list(made.options), "chosen": made.chosen}
        )


class _Progress:
    """One line of a notebook's cell that changes as the work goes on; elsewhere a line each on standard error."""

    def __init__(self, *, only_in_a_kernel: bool = False) -> None:
        self._line: Any = None
        self._elsewhere = not only_in_a_kernel

    def __call__(self, text: str) -> None:
        if not trouble.in_a_kernel():
            if self._elsewhere:
                print(text, file=sys.stderr)
            return
        from IPython.display import display

        shown = {"text/plain": text}
        if self._line is None:
            self._line = display(shown, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._line.update(shown, raw=True)

    def done(self, text: str) -> None:
        """The last word, where there were others."""
        if self._line is not None:
            self(text)


__all__ = ["LabSession", "lab", "open_lab"]
