"""A program executed in a container beside its own, its streams joined to descriptors of the agent."""

from __future__ import annotations

import asyncio
import logging
import os
import stat
import tty
from contextlib import suppress
from typing import TYPE_CHECKING

from halab.engine import hijack

if TYPE_CHECKING:
    from .runtime import DockerRuntime

log = logging.getLogger(__name__)

DRAIN_SECONDS = 1.0  # how long output of a program that has ended may still come
CHUNK = 64 * 1024


class Program:
    """Implements ``base.Process``. The descriptors are duplicated: the caller may close its own."""

    def __init__(self, runtime: DockerRuntime, identity: str, terminal: bool) -> None:
        self.runtime, self.identity, self.terminal = runtime, identity, terminal
        self.code: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._tasks: list[asyncio.Task[None]] = []
        self._out: asyncio.Task[None] | None = None
        self._size: tuple[int, int] | None = None

    @property
    def pid(self) -> int:
        """Asked for when it is needed (``kill``): the engine knows it only after the start."""
        return 0

    async def start(self, stdin: int, stdout: int, stderr: int) -> None:
        reader, writer = await hijack.take_over(
            self.runtime.socket, f"/exec/{self.identity}/start", {"Detach": False, "Tty": self.terminal}
        )
        out, err = os.dup(stdout), os.dup(stderr)
        if self.terminal:
            tty.setraw(stdin)  # the terminal inside does what a terminal does; this one only carries bytes
        self._out = asyncio.create_task(self._output(reader, writer, out, err))
        if has_input(stdin):
            self._tasks.append(asyncio.create_task(self._input(writer, os.dup(stdin))))

    async def _output(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, out: int, err: int) -> None:
        try:
            async for stream, data in hijack.pieces(reader, self.terminal):
                await write_all(err if stream == b"stderr" else out, data)
        except OSError:
            pass  # nobody reads any more
        finally:
            os.close(out)
            os.close(err)
            writer.close()
            for task in self._tasks:
                task.cancel()
            if not self.code.done():
                # A program that could not be started has no end that the engine tells of.
                self._tasks.append(asyncio.create_task(self._inspect()))

    async def _inspect(self) -> None:
        while not self.code.done():
            found = await self.runtime.ask(self.runtime.client.exec_inspect, self.identity)
            if not found.get("Running"):
                self.finish(int(found.get("ExitCode") or 0))
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(0.5):  # its end is told; should that be missed, it is asked for
                    await asyncio.shield(self.code)

    async def _input(self, writer: asyncio.StreamWriter, descriptor: int) -> None:
        try:
            while data := await read_some(descriptor):
                writer.write(data)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()
        except (OSError, RuntimeError):
            pass
        finally:
            os.close(descriptor)

    def finish(self, code: int) -> None:
        if not self.code.done():
            self.code.set_result(code)

    async def wait(self) -> int:
        code = await asyncio.shield(self.code)
        if self._out is not None:
            await asyncio.wait([self._out], timeout=DRAIN_SECONDS)
        return code

    def resize(self, rows: int, columns: int) -> None:
        self._size = rows, columns
        self.runtime.later(self.runtime.client.exec_resize, self.identity, rows, columns)

    def kill(self) -> None:
        if not self.code.done():
            self.runtime.later(self.runtime.kill_program, self.identity)


def has_input(descriptor: int) -> bool:
    """Whether anything can come from there: the null device says so at once."""
    state = os.fstat(descriptor)
    return not (stat.S_ISCHR(state.st_mode) and state.st_rdev == os.makedev(1, 3))


async def write_all(descriptor: int, data: bytes) -> None:
    """As fast as the other side reads."""
    os.set_blocking(descriptor, False)
    view, loop = memoryview(data), asyncio.get_running_loop()
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            ready = loop.create_future()
            loop.add_writer(descriptor, lambda ready=ready: ready.done() or ready.set_result(None))  # type: ignore[misc]
            try:
                await ready
            finally:
                loop.remove_writer(descriptor)


async def read_some(descriptor: int) -> bytes:
    """What comes next from a pipe or terminal; empty at its end."""
    os.set_blocking(descriptor, False)
    loop = asyncio.get_running_loop()
    while True:
        try:
            return os.read(descriptor, CHUNK)
        except BlockingIOError:
            ready = loop.create_future()
            loop.add_reader(descriptor, lambda ready=ready: ready.done() or ready.set_result(None))  # type: ignore[misc]
            try:
                await ready
            finally:
                loop.remove_reader(descriptor)
        except OSError:
            return b""  # a terminal whose other side is closed
