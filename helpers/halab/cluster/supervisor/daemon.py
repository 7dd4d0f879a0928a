"""The supervisor: one small loop that forks components, restarts what dies, and answers the control socket
(``control_server``, ``operations``).

It has one thread and no event loop of asyncio, so that a fork at any time is safe. It waits for four things at once: signals (through
a wake-up descriptor), components that become ready (a pipe each), control connections, and the next restart's time.
"""

from __future__ import annotations

import gc
import json
import os
import selectors
import signal
import socket
import time
from contextlib import suppress

from halab.aio import processes
from halab.cluster.supervisor import components, engine, layout
from halab.cluster.supervisor.components import Component, send_signal
from halab.cluster.supervisor.control_server import ControlServer
from halab.cluster.supervisor.files import write_private
from halab.cluster.supervisor.layout import APISERVER, NODE_PREFIX
from halab.cluster.supervisor.operations import Operations
from halab.cluster.supervisor.prepare import Prepared, undo
from halab.cluster.supervisor.progress import Reporter
from halab.errors import ClusterError, HalabError

STABLE = 20.0  # seconds of life after which a component's failures in a row are forgotten
BACKOFF = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
GRACE = 4.0  # seconds for components to end by themselves at the stop of the cluster
START_TIMEOUT = 60.0


class Supervisor:
    """``run()`` returns when the cluster has been stopped, with the exit status of the process."""

    def __init__(self, prepared: Prepared, reporter: Reporter, held: int) -> None:
        """``held`` is a descriptor whose closing tells the keeper of our end: no child may keep it open."""
        self.held = held
        self.config = prepared.config
        self.prepared = prepared
        self.reporter = reporter
        self.began = time.time()
        self.began_running = time.monotonic()  # which no setting of the clock changes
        self.components: dict[str, Component] = {}
        self.stopping = False
        self.started = False
        self.selector = selectors.EpollSelector()
        self.operations = Operations(self)
        self.control = ControlServer(self.config.directory, self.selector, self.operations.named, self._stop)

    # the loop

    def run(self) -> int:
        wake, signalled = socket.socketpair()
        for end in (wake, signalled):
            end.setblocking(False)
        signal.set_wakeup_fd(signalled.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        self.own = [
            wake.fileno(),
            signalled.fileno(),
            self.prepared.claim.socket.fileno(),
            self.prepared.lock,
        ]
        self.selector.register(wake, selectors.EVENT_READ, lambda: _drain(wake))
        if self.reporter.descriptor >= 0:
            self.selector.register(self.reporter.descriptor, selectors.EVENT_READ, self._up_interrupted)
        running = {"keeper": os.getppid(), "supervisor": os.getpid(), "started": self.began}
        write_private(self.config.directory / layout.RUNNING, json.dumps(running))
        try:
            self._start_all()
            while not self.stopping:
                self._turn(self._timeout())
                self._restart_due()
                self._check_start_timeout()
        except HalabError as error:
            self.reporter.error(error)
            self._stop_all()
            undo(self.prepared)
            return 1
        self._stop_all()
        (self.config.directory / layout.RUNNING).unlink(missing_ok=True)
        if not self.started:
            fact = "was stopped by another command while it came up"
            self.reporter.error(ClusterError(f"cluster {self.config.name}", fact, "run: halab up"))
            undo(self.prepared)
        self.control.cluster_has_stopped()
        return 0

    def _turn(self, timeout: float | None) -> None:
        for key, _ in self.selector.select(timeout):
            key.data()
        for pid, code in processes.reap().items():
            self._ended(pid, code)

    def _timeout(self) -> float | None:
        times = [component.retry_at for component in self.components.values() if component.retry_at is not None]
        if not self.started:
            times.append(time.monotonic() + 1.0)
        return max(0.0, min(times) - time.monotonic()) if times else None

    def _stop(self) -> None:
        self.stopping = True

    def _on_signal(self, number: int, _frame: object) -> None:
        if number != signal.SIGCHLD:
            self.stopping = True

    # components

    def _start_all(self) -> None:
        """Import a component's modules, fork it, and go on to the next: the API server works while others are still being imported."""
        gc.disable()  # for good: the supervisor makes no garbage in cycles, and its heap is its children's too
        plan = components.plan(layout.present_nodes(self.config), self.config.without)
        for component in plan:
            self.reporter.step(f"starting {component.name.partition('/')[0]}")
            self._load(component)
            self.components[component.name] = component
            self.start(component)
        self._progress()

    def _load(self, component: Component) -> None:
        try:
            components.load(component, self.config.runtime)
        except Exception as error:
            fact = f"its code cannot be loaded ({type(error).__name__}: {error})"
            raise ClusterError(component.name, fact, "run: make setup") from error

    def start(self, component: Component) -> None:
        """Fork a component's process."""
        close = [*self.own, self.selector.fileno()]
        close += [other.ready_pipe for other in self.components.values() if other.ready_pipe >= 0]
        close += self.control.descriptors()
        if self.reporter.descriptor >= 0:
            close.append(self.reporter.descriptor)
        gc.freeze()  # what is shared with the child stays shared: its collector will not walk over it
        components.fork(component, self.config, sorted({number for number in close if number >= 0}))
        component.started = time.monotonic()
        self.selector.register(component.ready_pipe, selectors.EVENT_READ, lambda: self._ready(component))

    def _ready(self, component: Component) -> None:
        try:
            component.ready = component.ready or os.read(component.ready_pipe, 1) == b"r"
        except BlockingIOError:
            return
        self._forget_pipe(component)
        self._progress()

    def _forget_pipe(self, component: Component) -> None:
        if component.ready_pipe >= 0:
            self.selector.unregister(component.ready_pipe)
            os.close(component.ready_pipe)
            component.ready_pipe = -1

    def _ended(self, pid: int, code: int) -> None:
        component = next((one for one in self.components.values() if one.pid == pid), None)
        if component is None:
            return  # an orphan that we adopted
        now = time.monotonic()
        component.pid, component.ready, component.last_exit, component.frozen = 0, False, code, False
        self._forget_pipe(component)
        if not component.wanted or self.stopping:
            if component.name.removeprefix(NODE_PREFIX) in layout.absent_nodes(self.config.directory):
                self.components.pop(component.name, None)
            self._progress()
            return
        component.failures = 0 if now - component.started > STABLE else component.failures
        delay = BACKOFF[min(component.failures, len(BACKOFF) - 1)]
        component.failures += 1
        component.restarts += 1
        component.retry_at = now + delay
        if not self.started and component.failures >= len(BACKOFF) - 2:
            raise self._broken(component)

    def _restart_due(self) -> None:
        now = time.monotonic()
        for component in self.components.values():
            if component.retry_at is not None and component.retry_at <= now and not self.stopping:
                self.start(component)

    def _check_start_timeout(self) -> None:
        if not self.started and time.monotonic() - self.began_running > START_TIMEOUT:
            late = next((one for one in self.components.values() if not one.ready), None)
            if late is not None:
                raise self._broken(late, f"was not ready after {START_TIMEOUT:.0f} s")

    def _broken(self, component: Component, fact: str = "") -> ClusterError:
        path = self.config.logs / components.log_name(component.name)
        last = ""
        with suppress(OSError, IndexError):
            last = path.read_text(errors="replace").strip().splitlines()[-1][:300]
        return ClusterError(component.name, fact or f"does not start (exit status {component.last_exit})", last or f"see {path}")

    def _progress(self) -> None:
        """Tell those who wait how far the start is, and that it is done."""
        if self.started or self.stopping:
            return
        waiting = [one.name for one in self.components.values() if one.wanted and not one.ready]
        if waiting:
            self.reporter.step("waiting for " + ", ".join(waiting))
            return
        self.started = True
        if self.reporter.descriptor >= 0:
            self.selector.unregister(self.reporter.descriptor)
        self.reporter.done()
        self.control.cluster_is_up(self.operations.status())

    def _up_interrupted(self) -> None:
        """Whoever ran `up` is gone before the cluster was: undo it."""
        self.selector.unregister(self.reporter.descriptor)
        self.reporter.close()
        self.stopping = not self.started

    def _stop_all(self) -> None:
        """Everyone but the API server first, so that they can still say goodbye to it."""
        self.stopping = True
        for one in self.components.values():
            one.wanted = False
        self._terminate([one for one in self.components.values() if one.name != APISERVER], GRACE)
        self._terminate([one for one in self.components.values() if one.name == APISERVER], GRACE / 2)
        processes.kill_descendants(os.getpid())
        engine.clear(self.config)
        (self.config.directory / layout.SOCKET).unlink(missing_ok=True)

    def _terminate(self, targets: list[Component], grace: float) -> None:
        deadline = time.monotonic() + grace
        for target in targets:
            send_signal(target, signal.SIGCONT)
            send_signal(target, signal.SIGTERM)
        while any(target.pid for target in targets) and time.monotonic() < deadline:
            self._turn(max(0.0, deadline - time.monotonic()))
        for target in targets:
            send_signal(target, signal.SIGKILL)


def _drain(wake: socket.socket) -> None:
    with suppress(BlockingIOError):
        while wake.recv(4096):
            pass
