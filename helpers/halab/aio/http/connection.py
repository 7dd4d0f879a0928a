"""One connection: bytes become requests, which are answered in their order."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote

import httptools

from halab.aio.http.exchange import Exchange
from halab.aio.http.types import (
    BODY_AHEAD,
    HEADER_SECONDS,
    IDLE_SECONDS,
    LINGER_SECONDS,
    MAX_HEADER_BYTES,
    SMALL_BODY,
    STALLED_SECONDS,
    Scope,
    Upgraded,
)

if TYPE_CHECKING:
    from halab.aio.http.server import Server

log = logging.getLogger("halab.http")

ASGI = {"version": "3.0", "spec_version": "2.3"}
_NO_HEADERS: list[tuple[bytes, bytes]] = []


class Connection(asyncio.Protocol):
    __slots__ = (
        "ahead",
        "current",
        "expect",
        "header_bytes",
        "headers",
        "held",
        "leftover",
        "length",
        "parser",
        "paused",
        "queue",
        "server",
        "since",
        "state",
        "transport",
        "upgrading",
        "url",
        "writable",
    )

    def __init__(self, server: Server) -> None:
        self.server = server
        self.transport: asyncio.Transport = cast(asyncio.Transport, None)
        self.parser: Any = None  # made when there is something to parse, and let go of while an answer goes on for hours
        self.current: Exchange | None = None
        self.queue: deque[Exchange] | None = None
        self.writable: asyncio.Future[None] | None = None  # set while the transport's buffer is full
        self.paused = False
        self.ahead = 0
        self.upgrading = False
        self.leftover = b""
        self.state = "idle"  # idle, head (a request is coming in), busy, stalled (answered but unread), linger, closed
        self.since = time.monotonic()
        self.url = b""
        self.headers = _NO_HEADERS
        self.header_bytes = 0
        self.length = 0  # of the body, -1 if it comes in chunks
        self.expect = False
        self.held = False  # the current request waits for the end of its small body

    # -- the transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.server.connections.discard(self)
        self.state = "closed"
        for request in (self.current, *(self.queue or ())):
            if request is not None:
                request.gone()
        self.queue = None
        self.resume_writing()
        self.parser = None

    def pause_writing(self) -> None:
        if self.writable is None:
            self.writable = asyncio.get_running_loop().create_future()
            self.since = time.monotonic()

    def resume_writing(self) -> None:
        waiter, self.writable = self.writable, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def drained(self) -> None:
        if self.writable is not None:
            await asyncio.shield(self.writable)

    def data_received(self, data: bytes) -> None:
        if self.upgrading:
            self.leftover += data
            if len(self.leftover) > BODY_AHEAD:
                self.pause()
            return
        if self.state == "linger" or self.state == "closed":
            return
        if self.state == "idle":
            self._state("head")
        if self.parser is None:
            self.parser = httptools.HttpRequestParser(self)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.upgrading = True
            self.leftover = data[upgrade.args[0] :] if upgrade.args else b""
        except httptools.HttpParserError:
            self._refuse(b"400 Bad Request")

    def eof_received(self) -> bool:
        """A client of a plain connection may close its side and still read its answer, unless that goes on for ever; TLS knows no
        such thing."""
        if self.server.tls or self.current is None or self.current.detached:
            return False
        self.current.keep_alive = False
        return True

    # -- the parser's side

    def on_message_begin(self) -> None:
        self.url, self.headers, self.header_bytes, self.expect, self.length = b"", [], 0, False, 0

    def on_url(self, url: bytes) -> None:
        self.url += url
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"content-length":
            self.length = int(value) if value.isdigit() else -1
        elif name == b"transfer-encoding":
            self.length = -1
        elif name == b"expect" and value.lower() == b"100-continue":
            self.expect = True
        self.headers.append((name, value))
        self._count(len(name) + len(value))

    def _count(self, size: int) -> None:
        self.header_bytes += size
        if self.header_bytes > MAX_HEADER_BYTES:
            self._refuse(b"431 Request Header Fields Too Large")
            raise ValueError("the request's head is too long")

    def on_headers_complete(self) -> None:
        scope = self._scope()
        keep = scope["http_version"] != "1.0" and bool(self.parser.should_keep_alive()) and not self.server.closing
        request = Exchange(self, scope, keep, self.expect)
        scope["extensions"]["halab.answer"] = request
        if self.server.client_certificates:
            seen = self.transport.get_extra_info("peercert")
            scope["extensions"]["tls"] = {"client_certificate": seen, "transport": self.transport}
        if self.parser.should_upgrade():
            request.keep_alive = False
            scope["extensions"]["halab.upgrade"] = self._take_over
            self.length = -1
        self.headers = _NO_HEADERS
        if self.current is not None:
            if self.queue is None:
                self.queue = deque()
            self.queue.append(request)
            self.pause()
            return
        self.current = request
        self.held = not self.expect and 0 <= self.length <= SMALL_BODY
        if not self.held:
            self._begin(request)

    def _scope(self) -> Scope:
        raw_path, _, query = self.url.partition(b"?")
        if not raw_path.startswith(b"/"):  # absolute form, or CONNECT's host:port
            _, _, rest = raw_path.partition(b"://")
            raw_path = b"/" + rest.partition(b"/")[2]
        path = raw_path.decode("latin-1")
        return {
            "type": "http",
            "asgi": ASGI,
            "http_version": self.parser.get_http_version(),
            "method": self.parser.get_method().decode("ascii"),
            "scheme": "https" if self.server.tls else "http",
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": query,
            "headers": self.headers,
            "client": self.transport.get_extra_info("peername"),
            "server": self.transport.get_extra_info("sockname"),
            "extensions": {},
        }

    def on_body(self, body: bytes) -> None:
        request = self.queue[-1] if self.queue else self.current
        if request is None or request.answered:
            return
        request.body.append(body)
        self.ahead += len(body)
        if self.ahead > BODY_AHEAD:
            self.pause()
        request.wake()

    def on_message_complete(self) -> None:
        request = self.queue[-1] if self.queue else self.current
        if request is not None:
            request.complete = True
            if self.held:
                self.held = False
                self._begin(request)
            else:
                request.wake()

    # -- between the two

    def _state(self, state: str) -> None:
        self.state, self.since = state, time.monotonic()

    def pause(self) -> None:
        if not self.paused and not self.transport.is_closing():
            self.paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        if self.paused and not self.queue and not self.transport.is_closing():
            self.paused = False
            self.transport.resume_reading()

    def slim(self) -> None:
        """Let go of what a connection does not need while its answer goes on without a task."""
        if self.current is not None and self.current.complete and not self.queue:
            self.parser, self.url = None, b""

    def _begin(self, request: Exchange) -> None:
        self.current = request
        self._state("busy")
        task = asyncio.get_running_loop().create_task(self._run(request))
        self.server.tasks.add(task)
        task.add_done_callback(self.server.tasks.discard)

    async def _run(self, request: Exchange) -> None:
        scope = request.scope
        assert scope is not None
        try:
            await self.server.app(scope, request.receive, request.send)
        except asyncio.CancelledError:
            self.transport.abort()
            raise
        except Exception:
            log.exception("%s %s", scope["method"], scope["path"])
            if request.taken or request.chunked or request.answered:
                self.transport.close()
                return
            await request.send({"type": "http.response.start", "status": 500, "headers": [(b"content-type", b"text/plain")]})
            await request.send({"type": "http.response.body", "body": b"internal error"})
        else:
            if not (request.answered or request.taken or request.detached):
                self.transport.close()

    def finish(self, request: Exchange) -> None:
        """The whole answer is written: go on with the next request, or close."""
        if self.transport.is_closing():
            return
        if not request.keep_alive or self.server.closing:
            if request.complete or request.disconnected:
                self.transport.close()
            else:
                self._state("linger")
                self.resume()
                asyncio.get_running_loop().call_later(LINGER_SECONDS, self.transport.close)
            return
        self.current = None
        self._state("stalled" if self.writable is not None else "idle")
        self.ahead = 0
        if self.queue:
            self._begin(self.queue.popleft())
        self.resume()

    def _refuse(self, reason: bytes) -> None:
        if self.state != "linger" and not self.transport.is_closing():
            head = b"HTTP/1.1 " + reason + b"\r\ncontent-type: text/plain; charset=utf-8\r\nconnection: close\r\n\r\n"
            self.transport.write(head + reason)
            self._state("linger")
            self.transport.close()

    async def _take_over(self) -> Upgraded:
        request = self.current
        if request is None or request.taken or request.disconnected:
            raise ConnectionResetError("the client is gone")
        request.taken = True
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=BODY_AHEAD, loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        head, self.leftover = self.leftover, b""
        self.transport.set_protocol(protocol)
        protocol.connection_made(self.transport)
        self.server.connections.discard(self)
        self.server.upgraded.add(self.transport)
        protocol._closed.add_done_callback(lambda _: self.server.upgraded.discard(self.transport))  # type: ignore[attr-defined]
        if self.paused:
            self.paused = False
            self.transport.resume_reading()
        return Upgraded(head, reader, asyncio.StreamWriter(self.transport, protocol, reader, loop))

    def _goes_on(self) -> bool:
        """Whether the answer is one that its application watches over itself."""
        return self.current is not None and self.current.detached

    def sweep(self, now: float) -> None:
        """Drop a connection that has been silent for too long in its state."""
        age = now - self.since
        if self.state == "stalled" and self.writable is None:
            self._state("idle")
        elif (
            (self.state == "idle" and age > IDLE_SECONDS)
            or (self.state == "head" and age > HEADER_SECONDS)
            or (self.state == "stalled" and age > STALLED_SECONDS)
            or (self.state == "busy" and self.writable is not None and not self._goes_on() and age > STALLED_SECONDS)
        ):
            self.transport.abort()
