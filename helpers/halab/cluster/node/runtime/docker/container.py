"""One container of a pod: its output into the log, its input, its end."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

from halab.cluster.kube.quantity import parse
from halab.cluster.node.logs import LogWriter
from halab.cluster.node.runtime.base import ContainerSpec, Exit, OutputListener, StartFailed
from halab.cluster.node.runtime.deaf import waits_in_vain
from halab.cluster.node.runtime.limits import tree
from halab.engine import hijack

from .options import limit_options
from .program import Program
from .usage import usage

if TYPE_CHECKING:
    from .runtime import DockerRuntime

DRAIN_SECONDS = 2.0  # how long output of a container that has ended may still come
KILLED = 137


def number_of(name: str) -> int:
    """SIGTERM, TERM, SIGRTMIN+3, 15."""
    short = name.upper().removeprefix("SIG")
    if short.startswith("RTMIN+") and short[6:].isdecimal():
        return int(signal.SIGRTMIN) + int(short[6:])
    if short.isdecimal():
        return int(short)
    return int(signal.Signals.__members__.get(f"SIG{short}", signal.SIGTERM))


class DockerContainer:
    """Implements ``base.Container``. ``identity`` is the engine's own."""

    def __init__(self, runtime: DockerRuntime, spec: ContainerSpec, identity: str) -> None:
        self.runtime, self.spec, self.identity = runtime, spec, identity
        self.id = f"docker://{identity}"
        self.log = LogWriter(spec.log)
        self.started = 0.0
        self.ended: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self.out_of_memory = False
        self._pid = 0
        self._code: tuple[int, float] | None = None
        self._listeners: set[OutputListener] = set()
        self._writer: asyncio.StreamWriter | None = None
        self._output: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """Of its first process, as this machine counts."""
        return self._pid

    # Starting and ending

    async def attach(self) -> None:
        """Before it starts, so that not a byte is missed."""
        path = f"/containers/{self.identity}/attach?stream=1&stdout=1&stderr=1" + ("&stdin=1" if self.spec.stdin else "")
        reader, self._writer = await hijack.take_over(self.runtime.socket, path)
        self._output = asyncio.create_task(self._follow(reader))

    async def _follow(self, reader: asyncio.StreamReader) -> None:
        async for stream, data in hijack.pieces(reader, self.spec.terminal):
            self.log.write(stream, data)
            for listener in list(self._listeners):
                listener.output(stream, data)

    def runs(self, pid: int) -> None:
        """The engine has started it."""
        self._pid, self.started = pid, time.time()

    def dies(self, code: int, when: float) -> None:
        """The engine says that it ended."""
        if self._ending is None:
            self._code = code, when
            self._ending = asyncio.create_task(self._end(code, when))

    async def _end(self, code: int, when: float) -> None:
        if self._output is not None:
            await asyncio.wait([self._output], timeout=DRAIN_SECONDS)
        if code == KILLED and not self.out_of_memory:
            self.out_of_memory = await self.runtime.was_out_of_memory(self.identity)
        self.close()
        for listener in list(self._listeners):
            listener.finished()
        reason = "OOMKilled" if self.out_of_memory else "Completed" if code == 0 else "Error"
        if not self.ended.done():
            self.ended.set_result(Exit(code, reason, when))
        self.runtime.gone(self)

    def close(self) -> None:
        if self._output is not None:
            self._output.cancel()
        if self._writer is not None:
            self._writer.close()
        self.log.close()

    # Signals

    def stop(self) -> None:
        number = number_of(self.spec.stop_signal)
        deaf = self.spec.awaited and self._pid and waits_in_vain(self._pid, number)
        self._send(signal.SIGKILL if deaf else number)

    def kill(self) -> None:
        self._send(signal.SIGKILL)

    def _send(self, number: int) -> None:
        if self._ending is None:
            self.runtime.later(self.runtime.signal, self.identity, int(number))

    def signal_all(self, number: int) -> None:
        """To every process of it: directly where this user may, else by the engine, which can freeze, thaw and end a whole container."""
        pids = tree(self._pid) if self._pid and self._ending is None else []
        try:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
        except PermissionError:
            self.runtime.later(self.runtime.signal_all, self.identity, number)

    # Streams

    def widen(self, size: int) -> None:
        """The engine keeps what nobody reads."""

    def attach_output(self, listener: OutputListener) -> None:
        self._listeners.add(listener)
        if self.ended.done():
            listener.finished()

    def detach_output(self, listener: OutputListener) -> None:
        self._listeners.discard(listener)

    def write_input(self, data: bytes) -> None:
        if self._writer is not None and not self._writer.is_closing() and self.spec.stdin:
            self._writer.write(data)

    def close_input(self) -> None:
        if self._writer is not None and self.spec.stdin and not self.spec.terminal and self._writer.can_write_eof():
            with suppress(OSError, RuntimeError):
                self._writer.write_eof()

    def resize(self, rows: int, columns: int) -> None:
        if self.spec.terminal and self._ending is None:
            self.runtime.later(self.runtime.client.resize, self.identity, rows, columns)

    def resize_limits(self, limits: Mapping[str, str]) -> None:
        memory, cpu = (float(parse(limits[name])) if limits.get(name) else 0.0 for name in ("memory", "cpu"))
        changes = limit_options(int(memory), cpu)
        if changes and self._ending is None:
            self.runtime.later(self.runtime.change, self.identity, changes)

    # Inside

    async def exec(self, argv: Sequence[str], *, stdin: int, stdout: int, stderr: int, terminal: bool = False) -> Program:
        if self._ending is not None:
            raise StartFailed("container is not running")
        return await self.runtime.execute(self, argv, stdin, stdout, stderr, terminal)

    def usage(self) -> tuple[float, int]:
        return usage(self._pid) if self._pid and self._ending is None else (0.0, 0)


def seconds_of(stamp: str) -> float:
    """Of the engine's time stamps, which have nanoseconds."""
    return datetime.fromisoformat(stamp[:26].rstrip("Z") + "+00:00").timestamp()
