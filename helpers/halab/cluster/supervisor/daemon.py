"""The supervisor: one small loop that forks components, restarts what dies, and answers the control socket.

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
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from halab.aio import processes
from halab.cluster.supervisor import components, control, engine, layout
from halab.cluster.supervisor.components import APISERVER, NODE_PREFIX, Component
from halab.cluster.supervisor.files import write_private
from halab.cluster.supervisor.prepare import Prepared, undo, with_nodes
from halab.cluster.supervisor.prepare import write as write_config
from halab.cluster.supervisor.progress import Reporter
from halab.errors import ClusterError, HalabError, UsageError
from halab.settings import MAX_NODES

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
        self.server = control.listen(self.config.directory)
        self.buffers: dict[socket.socket, bytes] = {}
        self.waiters: list[socket.socket] = []
        self.farewell: list[socket.socket] = []  # asked for the stop: told when it is done

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
            self.server.fileno(),
            self.prepared.claim.socket.fileno(),
            self.prepared.lock,
        ]
        self.selector.register(wake, selectors.EVENT_READ, lambda: _drain(wake))
        self.selector.register(self.server, selectors.EVENT_READ, self._accept)
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
        for connection in self.farewell:
            _send(connection, {"ok": True})
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
            self._fork(component)
        self._progress()

    def _load(self, component: Component) -> None:
        try:
            components.load(component, self.config.runtime)
        except Exception as error:
            fact = f"its code cannot be loaded ({type(error).__name__}: {error})"
            raise ClusterError(component.name, fact, "run: make setup") from error

    def _fork(self, component: Component) -> None:
        close = [*self.own, self.selector.fileno()]
        close += [other.ready_pipe for other in self.components.values() if other.ready_pipe >= 0]
        close += [connection.fileno() for connection in (*self.buffers, *self.farewell) if connection.fileno() >= 0]
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
                self._fork(component)

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
        for connection in self.waiters:
            _send(connection, self.status())
        self.waiters.clear()

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
            _signal(target, signal.SIGCONT)
            _signal(target, signal.SIGTERM)
        while any(target.pid for target in targets) and time.monotonic() < deadline:
            self._turn(max(0.0, deadline - time.monotonic()))
        for target in targets:
            _signal(target, signal.SIGKILL)

    # control socket

    def _accept(self) -> None:
        with suppress(BlockingIOError):
            connection, _ = self.server.accept()
            connection.setblocking(False)
            self.buffers[connection] = b""
            self.selector.register(connection, selectors.EVENT_READ, lambda: self._read(connection))

    def _read(self, connection: socket.socket) -> None:
        try:
            data = connection.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self.buffers[connection] += data
        if data and b"\n" not in self.buffers[connection] and len(self.buffers[connection]) < control.MAX_LINE:
            return
        line = self.buffers.pop(connection).partition(b"\n")[0]
        self.selector.unregister(connection)
        if not line:
            connection.close()
            return
        self._answer(connection, line)

    def _answer(self, connection: socket.socket, line: bytes) -> None:
        try:
            request: dict[str, Any] = json.loads(line)
            op = str(request.pop("op", ""))
            if op == "stop":
                self.stopping = True
                self.farewell.append(connection)
            elif op == "wait" and not self.started:
                self.waiters.append(connection)
            else:
                _send(connection, {"ok": True} | self._operation(op)(**request))
        except HalabError as error:
            _send(connection, {"ok": False, "subject": error.subject, "fact": error.fact, "remedy": error.remedy})
        except (ValueError, TypeError) as error:
            _send(connection, {"ok": False, "subject": "control socket", "fact": f"bad request ({error})", "remedy": ""})
        except Exception as error:  # one bad request must not cost the cluster
            traceback.print_exc()
            fact = f"{type(error).__name__}: {error}"
            _send(connection, {"ok": False, "subject": "supervisor", "fact": fact, "remedy": "see supervisor.log"})

    def _operation(self, op: str) -> Callable[..., dict[str, Any]]:
        table: dict[str, Callable[..., dict[str, Any]]] = {
            "status": self.status,
            "wait": self.status,
            "component": self.component,
            "nodes": self.nodes,
            "remove-node": self.remove_node,
        }
        if op not in table:
            raise UsageError(op, "is not an operation of the supervisor", "one of: stop, " + ", ".join(sorted(table)))
        return table[op]

    def status(self) -> dict[str, Any]:
        """What runs; all times are in seconds since the epoch."""
        return {
            "ok": True,
            "name": self.config.name,
            "state": "running" if self.started else "starting",
            "keeper": os.getppid(),
            "supervisor": os.getpid(),
            "started": self.began,
            "nodes": [node for node in layout.present_nodes(self.config) if NODE_PREFIX + node in self.components],
            "components": [
                {"name": one.name, "state": one.state, "pid": one.pid, "restarts": one.restarts, "last_exit": one.last_exit}
                for one in self.components.values()
            ],
        }

    def component(self, name: str, action: str, signal_name: str = "SIGTERM") -> dict[str, Any]:
        """``stop`` (stays down), ``start``, ``restart``, ``pause`` (SIGSTOP), ``resume``; ``signal_name`` is how stop and restart end it."""
        one = self.components.get(name)
        if one is None and action == "start" and (one := components.spare(name)) is not None:
            self.components[name] = one
        if one is None:
            raise UsageError(f"component {name!r}", "does not exist", "one of: " + ", ".join(self.components))
        number = signal.Signals.__members__.get(signal_name)
        if number is None:
            raise UsageError(f"signal {signal_name!r}", "does not exist")
        if action == "start":
            one.wanted, one.failures, one.retry_at = True, 0, None
            if not one.pid:
                self._fork(one)
        elif action in ("stop", "restart"):
            one.wanted = action == "restart"
            one.retry_at, one.failures = None, 0
            _signal(one, number)
            _signal(one, signal.SIGCONT)
            if action == "restart" and not one.pid:
                self._fork(one)
        elif action in ("pause", "resume"):
            one.frozen = action == "pause" and one.pid > 0
            _signal(one, signal.SIGSTOP if action == "pause" else signal.SIGCONT)
        else:
            raise UsageError(f"action {action!r}", "does not exist", "one of: stop, start, restart, pause, resume")
        if one.standby and components.CONTROLLERS in self.components:  # either of two may lead
            self.components[components.CONTROLLERS].standby = any(
                other.standby and other.wanted for name, other in self.components.items() if name != components.CONTROLLERS
            )
        return {"pid": one.pid, "state": one.state}

    def nodes(self, count: int) -> dict[str, Any]:
        """Have ``count`` nodes: start the missing agents, stop the highest numbers. The Node objects are the caller's to delete."""
        if not 1 <= count <= MAX_NODES:
            raise UsageError(f"--nodes {count}", f"is not between 1 and {MAX_NODES}")
        before = layout.present_nodes(self.config)
        self.config = with_nodes(self.config, count)
        write_config(self.config, lambda _text: None)
        return self._reconcile_nodes(before)

    def remove_node(self, name: str) -> dict[str, Any]:
        """Stop this node's agent for good."""
        before = layout.present_nodes(self.config)
        if name not in before:
            raise UsageError(f"node {name!r}", "does not exist", "one of: " + ", ".join(before))
        if len(before) == 1:
            raise ClusterError(f"node {name}", "is the cluster's last one", "run: halab down")
        absent = layout.absent_nodes(self.config.directory) | {name}
        write_private(self.config.directory / layout.ABSENT, json.dumps(sorted(absent)))
        return self._reconcile_nodes(before)

    def _reconcile_nodes(self, before: list[str]) -> dict[str, Any]:
        after = layout.present_nodes(self.config)
        added = [name for name in after if name not in before]
        removed = [name for name in before if name not in after]
        for name in added:
            one = components.node_component(name)
            self.components[one.name] = one
            self._fork(one)
        for name in removed:
            gone = self.components.get(NODE_PREFIX + name)
            if gone is None:
                continue
            if not gone.pid:
                del self.components[gone.name]
            gone.wanted, gone.retry_at = False, None
            _signal(gone, signal.SIGCONT)
            _signal(gone, signal.SIGTERM)
        return {"added": added, "removed": removed, "nodes": after}


def _signal(component: Component, number: int) -> None:
    if component.pid:
        with suppress(ProcessLookupError):
            os.kill(component.pid, number)


def _send(connection: socket.socket, answer: dict[str, Any]) -> None:
    """Answer and hang up. A caller that went away is its own affair."""
    with suppress(OSError):
        connection.setblocking(True)
        connection.settimeout(1.0)
        connection.sendall(json.dumps(answer).encode() + b"\n")
    connection.close()


def _drain(wake: socket.socket) -> None:
    with suppress(BlockingIOError):
        while wake.recv(4096):
            pass
