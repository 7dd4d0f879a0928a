"""One request and its answer: the ``receive`` and ``send`` of ASGI, and answers that go on without a task."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from halab.aio.http.types import Message, Scope

if TYPE_CHECKING:
    from halab.aio.http.connection import Connection

REASONS = {200: b"OK", 201: b"Created", 202: b"Accepted", 204: b"No Content", 400: b"Bad Request", 404: b"Not Found"}
STATUS_LINES = {code: b"HTTP/1.1 %d %s\r\n" % (code, REASONS.get(code, b"Status")) for code in range(100, 600)}


class Exchange:
    """``detach``, ``push``, ``end`` and ``abort`` are for the application, the rest is the connection's."""

    __slots__ = (
        "answered",
        "body",
        "chunked",
        "complete",
        "connection",
        "delivered",
        "detached",
        "disconnected",
        "expect_continue",
        "head",
        "head_only",
        "keep_alive",
        "on_gone",
        "remaining",
        "scope",
        "taken",
        "waiter",
    )

    def __init__(self, connection: Connection, scope: Scope, keep_alive: bool, expect_continue: bool) -> None:
        self.connection = connection
        self.scope: Scope | None = scope
        self.head_only = scope["method"] == "HEAD"
        self.keep_alive = keep_alive
        self.expect_continue = expect_continue
        self.body: list[bytes] = []
        self.complete = False  # the whole request has come
        self.delivered = False  # and was handed to the application
        self.answered = False  # the whole answer has been written
        self.disconnected = False
        self.taken = False
        self.detached = False  # the answer goes on though its handler has returned
        self.on_gone: Callable[[], None] | None = None
        self.waiter: asyncio.Future[None] | None = None
        self.head: bytes | None = None  # held back until the first piece of the body
        self.chunked = False
        self.remaining = 0

    # -- the request

    def wake(self) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    def gone(self) -> None:
        """The client has left."""
        self.disconnected = True
        self.wake()
        if self.on_gone is not None:
            callback, self.on_gone = self.on_gone, None
            callback()

    async def receive(self) -> Message:
        if self.expect_continue:
            self.expect_continue = False
            self.connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while not (self.body or (self.complete and not self.delivered) or self.disconnected or self.answered):
            await self._wait()
        if self.disconnected or self.answered:
            return {"type": "http.disconnect"}
        pieces, self.body = self.body, []
        self.delivered = self.complete
        self.connection.ahead = 0
        self.connection.resume()
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return {"type": "http.request", "body": body, "more_body": not self.complete}

    async def disconnect(self) -> None:
        """Wait until the client is gone (for handlers that stream)."""
        while not self.disconnected:
            await self._wait()

    async def _wait(self) -> None:
        self.connection.resume()
        if self.waiter is None or self.waiter.done():
            self.waiter = asyncio.get_running_loop().create_future()
        await asyncio.shield(self.waiter)

    # -- the answer

    async def send(self, message: Message) -> None:
        if self.disconnected or self.taken:
            return
        if message["type"] == "http.response.start":
            self._start(message)
            return
        await self._write(message.get("body", b""), message.get("more_body", False))

    def _start(self, message: Message) -> None:
        status: int = message["status"]
        lines = [STATUS_LINES[status]]
        self.chunked = not self.head_only and status not in (204, 304)
        for name, value in message.get("headers", ()):
            if name == b"content-length":
                self.chunked = False
                self.remaining = int(value)
            elif name == b"connection" and value == b"close":
                self.keep_alive = False
            if b"\n" in value or b"\r" in value:
                value = value.replace(b"\r", b" ").replace(b"\n", b" ")
            lines += (name, b": ", value, b"\r\n")
        if not self.complete:
            self.keep_alive = False  # the rest of the body will be thrown away
        if self.chunked:
            lines.append(b"transfer-encoding: chunked\r\n")
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        lines.append(self.connection.server.date())
        self.head = b"".join(lines)

    async def _write(self, body: bytes, more: bool) -> None:
        connection = self.connection
        pieces = [self.head] if self.head is not None else []
        self.head = None
        if self.head_only:
            pass
        elif self.chunked:
            if body:
                pieces += (b"%x\r\n" % len(body), body, b"\r\n")
            if not more:
                pieces.append(b"0\r\n\r\n")
        elif body:
            self.remaining -= len(body)
            if self.remaining < 0:
                raise RuntimeError("the answer is longer than its Content-Length")
            pieces.append(body)
        if pieces:
            connection.transport.write(b"".join(pieces) if len(pieces) > 1 else pieces[0])
        if not more:
            self.answered = True
            self.wake()
            connection.finish(self)
        elif connection.writable is not None:
            await connection.drained()

    # -- an answer without a task

    def detach(self, on_gone: Callable[[], None]) -> None:
        """The handler may return: the (chunked, started) answer goes on by ``push`` until ``end``. ``on_gone`` is called when the client
        leaves first. What only the handler needed is let go of: an idle answer should cost little."""
        self.detached = True
        self.on_gone = on_gone
        self.waiter = None
        self.scope = None
        self.connection.slim()

    def push(self, body: bytes) -> int:
        """Write a piece of a chunked answer without waiting; returns how many bytes wait to be read by the client (-1: it is gone).

        For streams with very many readers: no task has to wake up for a piece. The caller drops readers that fall behind.
        """
        transport = self.connection.transport
        if self.disconnected or transport.is_closing():
            return -1
        head, self.head = self.head or b"", None
        transport.write(head + b"%x\r\n%b\r\n" % (len(body), body) if body else head)
        return transport.get_write_buffer_size()

    def unread(self) -> int:
        """How many bytes wait to be read by the client."""
        return 0 if self.disconnected else self.connection.transport.get_write_buffer_size()

    def end(self) -> None:
        """End a detached answer; the connection goes on with the next request."""
        self.on_gone = None
        if self.answered or self.disconnected or self.connection.transport.is_closing():
            return
        self.connection.transport.write((self.head or b"") + b"0\r\n\r\n")
        self.head, self.answered = None, True
        self.connection.finish(self)

    def abort(self) -> None:
        self.connection.transport.abort()
