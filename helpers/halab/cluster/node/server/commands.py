"""exec and attach: a program's streams (or a terminal) joined to a client's session."""

from __future__ import annotations

import asyncio
import os
import pty
import secrets
from contextlib import suppress

from halab.cluster.node.runtime import Container, StartFailed
from halab.cluster.node.runtime.process import set_size, size_of

from .remote import STDERR, STDOUT, SUCCESS, Session, SpdySession, exit_status, failure

CHUNK = 64 * 1024
DRAIN_SECONDS = 0.2  # output of a command that has ended, held open by a child it left behind


class _Pump:
    """Bytes from a descriptor to a channel, no faster than the client reads."""

    def __init__(self, session: Session, descriptor: int, channel: int) -> None:
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor
        self.task = asyncio.create_task(self._run(session, channel))

    async def _run(self, session: Session, channel: int) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                try:
                    data = os.read(self.descriptor, CHUNK)
                except BlockingIOError:
                    ready: asyncio.Future[None] = loop.create_future()
                    loop.add_reader(self.descriptor, lambda ready=ready: ready.done() or ready.set_result(None))  # type: ignore[misc]
                    try:
                        await ready
                    finally:
                        loop.remove_reader(self.descriptor)
                    continue
                except OSError:
                    return  # a terminal whose program is gone
                if not data:
                    return
                await session.write(channel, data)
        finally:
            with suppress(OSError):
                os.close(self.descriptor)


class _Feeder:
    """stdin: what the client sends, written as fast as the program reads."""

    def __init__(self, descriptor: int, terminal: bool) -> None:
        os.set_blocking(descriptor, False)
        self.descriptor, self.terminal = descriptor, terminal
        self._data = bytearray()
        self._ended = self._closed = False

    def put(self, data: bytes | None) -> None:
        if self._closed:
            return
        if data is None:
            if self.terminal:
                return
            self._ended = True
        else:
            self._data += data
        self._flush()

    def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        while self._data:
            try:
                written = os.write(self.descriptor, self._data)
            except BlockingIOError:
                loop.add_writer(self.descriptor, self._flush)
                return
            except OSError:
                self.close()
                return
            del self._data[:written]
        loop.remove_writer(self.descriptor)
        if self._ended:
            self.close()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            asyncio.get_running_loop().remove_writer(self.descriptor)
            with suppress(OSError):
                os.close(self.descriptor)


async def execute(container: Container, command: list[str], session: Session, *, stdin: bool, terminal: bool) -> None:
    """Run ``command`` in the container for this client, until it ends or the client leaves (then it is killed, as its terminal is)."""
    reading = asyncio.create_task(session.run())
    feeder: _Feeder | None = None
    theirs: list[int] = []
    try:
        if isinstance(session, SpdySession):
            await session.ready()
        pumps: list[_Pump] = []
        if terminal:
            master, slave = pty.openpty()
            theirs = [slave]
            feeder = _Feeder(os.dup(master), True)
            pumps.append(_Pump(session, master, STDOUT))
            session.on_input = feeder.put
            session.on_resize = lambda columns, rows: set_size(master, rows, columns)  # before there is a program to tell
            arguments = {"stdin": slave, "stdout": slave, "stderr": slave}
        else:
            given = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
            if stdin:
                os.close(given)
                given, ours = os.pipe2(os.O_CLOEXEC)
                feeder = _Feeder(ours, False)
                session.on_input = feeder.put
            out_read, out_write = os.pipe2(os.O_CLOEXEC)
            err_read, err_write = os.pipe2(os.O_CLOEXEC)
            theirs = [given, out_write, err_write]
            pumps += [_Pump(session, out_read, STDOUT), _Pump(session, err_read, STDERR)]
            arguments = {"stdin": given, "stdout": out_write, "stderr": err_write}
        try:
            process = await container.exec(command, terminal=terminal, **arguments)
        except StartFailed as error:
            begin = (
                "Internal error occurred: error executing command in container: failed to exec in container: failed to start exec"
            )
            await session.finish(failure(f'{begin} "{secrets.token_hex(32)}": {error}: unknown'))
            return
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        session.on_gone = process.kill
        if terminal:

            def resize(columns: int, rows: int) -> None:
                set_size(master, rows, columns)
                process.resize(rows, columns)

            session.on_resize = resize
            process.resize(*size_of(master))
        if reading.done():
            process.kill()
        code = await process.wait()
        await asyncio.wait([pump.task for pump in pumps], timeout=DRAIN_SECONDS)
        unfinished = [pump.task for pump in pumps if not pump.task.done()]
        for task in unfinished:
            task.cancel()
        await session.finish(exit_status(code, command))
    except TimeoutError:
        await session.finish(failure("timed out waiting for streams"))
    finally:
        if feeder is not None:
            feeder.close()
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


class _Attached:
    """Listens to a container's output for one client."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue()

    def output(self, stream: bytes, data: bytes) -> None:
        self.queue.put_nowait((STDERR if stream == b"stderr" else STDOUT, data))

    def finished(self) -> None:
        self.queue.put_nowait(None)


async def attach(container: Container, session: Session, *, stdin: bool, stdin_once: bool, terminal: bool) -> None:
    """Join a client to a running container's own streams until either ends."""
    reading = asyncio.create_task(session.run())
    listener = _Attached()
    try:
        if isinstance(session, SpdySession):
            await session.ready()
        session.on_gone = listener.finished
        if stdin:

            def put(data: bytes | None) -> None:
                if data is not None:
                    container.write_input(data)
                elif stdin_once:
                    container.close_input()

            session.on_input = put
        if terminal:
            session.on_resize = lambda columns, rows: container.resize(rows, columns)
        container.attach_output(listener)
        while (entry := await listener.queue.get()) is not None:
            await session.write(*entry)
        await session.finish(SUCCESS)
    except TimeoutError:
        await session.finish(failure("timed out waiting for streams"))
    finally:
        if stdin and stdin_once and not terminal:
            container.close_input()  # the first client's input is the only one
        container.detach_output(listener)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
