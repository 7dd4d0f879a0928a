"""What the agent asks of a container runtime: pods to hold containers, containers to start, signal, look into and enter.

``process`` runs containers as sandboxed processes of this machine, ``docker`` as containers of an engine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from halab.cluster.node.logs import LogWriter
from halab.sandbox import DEFAULT_CAPABILITIES, Dns, Mount, User

Dial = Callable[[int], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
"""Connects to a port of a pod's own localhost; raises OSError."""


class StartFailed(Exception):
    """The container's program could not be started; the text is what an OCI runtime says."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How a container ended. ``reason`` is Completed, Error or OOMKilled; ``finished`` a Unix time."""

    code: int
    reason: str
    finished: float


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """One container, fully resolved: nothing in it refers to the API any more. ``memory`` is in bytes, ``cpu`` in cores; 0 is no limit."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str
    user: User
    layers: Sequence[Path]
    host_files: bool
    host_paths: Sequence[Path]
    mounts: Sequence[Mount]
    files: Mapping[str, str]
    log: Path
    stdin: bool = False
    stdin_once: bool = False
    terminal: bool = False
    read_only_root: bool = False
    no_new_privileges: bool = False
    capabilities: int = DEFAULT_CAPABILITIES
    memory: int = 0
    cpu: float = 0.0
    storage: int = 0
    stop_signal: str = "SIGTERM"
    image: str = ""  # the image's id, for runtimes that unpack images themselves
    privileged: bool = False
    awaited: bool = False  # a controller waits for its end: a program that hears no signal is not given its grace (deaf.py)
    share_processes_of: int = 0  # the pid of a container whose processes it sees (kubectl debug --target)


@dataclass(slots=True)
class PodSandbox:
    """What the containers of a pod have in common."""

    uid: str
    hostname: str
    address: str
    local: str
    dns: Dns | None
    port_shift: int
    policy: Path | None = None  # tables of who may connect where
    clock: Path | None = None  # by how much the node's clock is wrong
    share_processes: bool = False
    host_names: tuple[str, ...] = ()
    holder: object | None = field(default=None)  # the runtime's own
    name: str = ""
    namespace: str = ""
    directory: Path = field(default=Path())  # pods/UID of the node's directory
    host_network: bool = False
    lost: Callable[[], None] | None = None  # called when the sandbox ended by itself: it must be opened again


class Process(Protocol):
    """A program that runs inside a container beside its own (exec)."""

    @property
    def pid(self) -> int: ...

    async def wait(self) -> int: ...

    def kill(self) -> None: ...

    def resize(self, rows: int, columns: int) -> None:
        """Its terminal has another size now."""
        ...


class Container(Protocol):
    """A started container. ``log`` tells when output comes; ``ended`` is set once it is over and all its output is in the log."""

    id: str
    started: float
    ended: asyncio.Future[Exit]
    log: LogWriter

    @property
    def pid(self) -> int: ...

    def stop(self) -> None:
        """Send its stop signal."""
        ...

    def kill(self) -> None: ...

    def signal_all(self, number: int) -> None:
        """To every process of the container; those that are gone are passed over."""
        ...

    async def exec(self, argv: Sequence[str], *, stdin: int, stdout: int, stderr: int, terminal: bool = False) -> Process:
        """Start another program inside, on these descriptors. Raises StartFailed."""
        ...

    def widen(self, size: int) -> None:
        """Output of up to ``size`` bytes must not stop the program while nobody reads it."""
        ...

    def attach_output(self, listener: OutputListener) -> None: ...

    def detach_output(self, listener: OutputListener) -> None: ...

    def write_input(self, data: bytes) -> None: ...

    def close_input(self) -> None: ...

    def resize(self, rows: int, columns: int) -> None: ...

    def resize_limits(self, limits: Mapping[str, str]) -> None:
        """Other limits (quantities of ``cpu`` and ``memory``) for the running program, as far as it has any."""
        ...

    def usage(self) -> tuple[float, int]:
        """CPU seconds used so far, and bytes of memory in use."""
        ...


class OutputListener(Protocol):
    def output(self, stream: bytes, data: bytes) -> None: ...

    def finished(self) -> None: ...


class Runtime(Protocol):
    version: str  # as a node's status shows it

    @property
    def shares_processes(self) -> bool:
        """Whether one container can see another's processes."""
        ...

    async def open(self) -> None:
        """Before the first pod."""
        ...

    async def close(self) -> None:
        """After the last: nothing of this node runs any more."""
        ...

    async def open_pod(self, pod: PodSandbox) -> None: ...

    async def close_pod(self, pod: PodSandbox) -> None: ...

    async def remove(self, directory: Path) -> None:
        """What is left of a pod's directory because this process may not remove what containers wrote there."""
        ...

    def dialler(self, pod: PodSandbox) -> Dial | None:
        """The way to what listens at the pod's localhost alone; None where this process reaches that by an address."""
        ...

    async def start(self, pod: PodSandbox, spec: ContainerSpec) -> Container:
        """Raises StartFailed."""
        ...
