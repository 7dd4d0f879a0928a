"""The components of a cluster, and how one becomes a process.

The supervisor imports their modules once and forks: a component starts in milliseconds and shares the memory of what was imported.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NoReturn

from halab.aio.processes import die_with_parent, set_name
from halab.cluster.supervisor.files import bound
from halab.cluster.supervisor.layout import APISERVER, CONTROLLERS, NODE_PREFIX
from halab.settings import DOCKER, PROCESS, ClusterConfig

DATAPLANE = "dataplane"
LOG_CHECK = 600.0  # seconds between two looks at the size of a log
EXTRA = {
    ("halab.cluster.node.main", DOCKER): ("docker", "halab.cluster.node.runtime.docker"),
    ("halab.cluster.dataplane.main", DOCKER): ("docker", "halab.cluster.dataplane.contained"),
}

Run = Callable[..., Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Part:
    """One ``run(config, *arguments, ready=)`` coroutine function inside a component's process."""

    module: str
    arguments: tuple[str, ...] = ()

    def run(self) -> Run:
        function: Run = importlib.import_module(self.module).run
        return function


@dataclass(slots=True)
class Component:
    """A process that should run, and what became of it. ``ready`` is read by the supervisor from the pipe ``ready_pipe``."""

    name: str
    parts: tuple[Part, ...]
    wanted: bool = True
    pid: int = 0
    ready: bool = False
    ready_pipe: int = -1
    started: float = 0.0  # time.monotonic()
    restarts: int = 0
    failures: int = 0  # in a row
    retry_at: float | None = None
    last_exit: int | None = None
    frozen: bool = field(default=False)
    standby: bool = False  # is ready only when it leads, which may be never

    @property
    def state(self) -> str:
        if self.pid:
            return "paused" if self.frozen else "ready" if self.ready else "standby" if self.standby else "starting"
        return "restarting" if self.wanted else "stopped"


def plan(nodes: Sequence[str], without: Sequence[str] = ()) -> list[Component]:
    """The components of a cluster with these nodes, in the order of their start: who takes longest goes first."""
    found = [Component(APISERVER, (Part("halab.cluster.apiserver.main"),))]
    if "dataplane" not in without:
        found.append(Component(DATAPLANE, (Part("halab.cluster.dataplane.main"),)))
    if "nodes" not in without:
        found += [node_component(node) for node in nodes]
    brains = [Part(f"halab.cluster.{name}.main") for name in ("controllers", "scheduler") if name not in without]
    if brains:
        found.append(Component(CONTROLLERS, tuple(brains)))
    return found


def spare(name: str) -> Component | None:
    """A second API server (over the same database, at the same address: the kernel shares connections among the two) or a second
    pair of controllers and scheduler (which stand by until the Lease is free). Not part of a cluster until somebody starts it."""
    parts = {
        f"{APISERVER}-2": (Part("halab.cluster.apiserver.main"),),
        f"{CONTROLLERS}-2": (Part("halab.cluster.controllers.main"), Part("halab.cluster.scheduler.main")),
    }.get(name)
    return Component(name, parts, standby=name.startswith(CONTROLLERS)) if parts else None


def node_component(node: str) -> Component:
    return Component(NODE_PREFIX + node, (Part("halab.cluster.node.main", (node,)),))


def log_name(component: str) -> str:
    """``apiserver.log``, ``controllers.log``, ``node-NAME.log``, ``dataplane.log``."""
    return component.replace(NODE_PREFIX, "" if component.startswith(NODE_PREFIX + "node-") else "node-") + ".log"


def fork(component: Component, config: ClusterConfig, close: Sequence[int]) -> None:
    """Start the component's process; ``close`` are the supervisor's own descriptors, which the child must not keep open."""
    reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    supervisor = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        for descriptor in (reader, *close):
            os.close(descriptor)
        _live(component, config, supervisor, writer)
    os.close(writer)
    component.pid, component.ready, component.ready_pipe, component.frozen = pid, False, reader, False
    component.retry_at = None


def _live(component: Component, config: ClusterConfig, supervisor: int, writer: int) -> NoReturn:
    """The life of a component's process. Never returns into the supervisor's code."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        die_with_parent(supervisor)
        set_name(component.name.replace(NODE_PREFIX, ""))
        log = os.open(config.logs / log_name(component.name), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        gc.enable()
        asyncio.run(_run(component, config, writer))
        status = 0
    except BaseException as error:  # whatever it was: into the log, then out
        if isinstance(error, asyncio.CancelledError):
            status = 0
        else:
            traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status)


async def _run(component: Component, config: ClusterConfig, writer: int) -> None:
    """All parts side by side, with their log kept in bounds, until one ends (then the process ends) or SIGTERM cancels them."""
    waiting = len(component.parts)

    def ready() -> None:
        nonlocal waiting
        waiting -= 1
        if waiting == 0:
            os.write(writer, b"r")
            os.close(writer)

    def once() -> Callable[[], None]:
        called = False

        def call() -> None:
            nonlocal called
            if not called:
                called = True
                ready()

        return call

    loop = asyncio.get_running_loop()
    tasks: list[asyncio.Future[Any]] = [
        asyncio.ensure_future(part.run()(config, *part.arguments, ready=once())) for part in component.parts
    ]
    log = config.logs / log_name(component.name)

    def look_at_log() -> None:
        bound(log)
        loop.call_later(LOG_CHECK, look_at_log)

    look_at_log()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: [task.cancel() for task in tasks])
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def send_signal(component: Component, number: int) -> None:
    """To a component's process, if there is one."""
    if component.pid:
        with suppress(ProcessLookupError):
            os.kill(component.pid, number)


def load(component: Component, runtime: str = PROCESS) -> None:
    """Import the component's modules, and those that only some clusters need, so that they too are shared."""
    private = os.umask(0o022)  # compiled modules may serve other users of this installation
    try:
        for part in component.parts:
            importlib.import_module(part.module)
            for extra in EXTRA.get((part.module, runtime), ()):
                importlib.import_module(extra)
    finally:
        os.umask(private)
