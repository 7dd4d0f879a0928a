"""A small HTTP/1.1 server for ASGI applications, with TLS and a way to take a connection over.

Why not a ready-made one: the API server tunnels ``exec``, ``attach`` and ``port-forward`` as raw bytes whatever protocol the client
asked for (WebSocket, SPDY), thousands of idle watches must cost little, and an idle server must not wake up ten times a second.
It parses with httptools, keeps one object a connection, and writes a short answer with one call (one TLS record).

What it leaves out: HTTP/2 (clients fall back by ALPN), WebSocket framing (the application's business after ``halab.upgrade``),
ASGI's lifespan.

The application is ``async def app(scope, receive, send)`` with ASGI's ``http`` scopes. For a request with an ``Upgrade`` header,
``scope["extensions"]["halab.upgrade"]`` is a coroutine function without arguments: it returns an ``Upgraded`` connection, after
which the application owns the bytes both ways (it writes the ``101`` itself), and must not call ``send``. ``halab.disconnect`` is a
coroutine function that returns when the client is gone; ``halab.push`` writes a piece of a started answer without waiting; ``halab.abort`` drops the connection
and what waits in it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

import httptools

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

log = logging.getLogger("halab.http")

MAX_HEADER_BYTES = 1 << 20  # as Go's net/http
BODY_AHEAD = 256 * 1024  # how much of a body is read before the application asks for it
HEADER_SECONDS = 60.0  # from the first byte of a request to its last header
IDLE_SECONDS = 300.0  # longer than clients keep connections in their pools (Go: 90)
STALLED_SECONDS = 60.0  # a complete answer that the client does not read
LINGER_SECONDS = 2.0  # how long a refused body is drained, so that the client can read why
SWEEP_SECONDS = 15.0

REASONS = {200: b"OK", 201: b"Created", 202: b"Accepted", 204: b"No Content", 400: b"Bad Request", 404: b"Not Found"}
STATUS_LINES = {code: b"HTTP/1.1 %d %s\r\n" % (code, REASONS.get(code, b"Status")) for code in range(100, 600)}


@dataclass(slots=True)
class Upgraded:
    """A connection that the application took over. ``head`` is what the client sent right behind its request (usually nothing):
    the first bytes of the new protocol; ``reader`` goes on from there."""

    head: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class _Request:
    """One request and its answer: the ``receive`` and ``send`` of ASGI."""

    __slots__ = (
        "answered",
        "body",
        "chunked",
        "complete",
        "connection",
        "delivered",
        "disconnected",
        "expect_continue",
        "head",
        "keep_alive",
        "remaining",
        "scope",
        "taken",
        "waiter",
    )

    def __init__(self, connection: _Connection, scope: Scope, keep_alive: bool, expect_continue: bool) -> None:
        self.connection = connection
        self.scope = scope
        self.keep_alive = keep_alive
        self.expect_continue = expect_continue
        self.body: list[bytes] = []
        self.complete = False  # the whole request has come
        self.delivered = False  # and was handed to the application
        self.answered = False  # the whole answer has been written
        self.disconnected = False
        self.taken = False
        self.waiter: asyncio.Future[None] | None = None
        self.head: bytes | None = None  # held back until the first piece of the body
        self.chunked = False
        self.remaining = 0

    def wake(self) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    async def receive(self) -> Message:
        if self.expect_continue:
            self.expect_continue = False
            self.connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while not (self.body or (self.complete and not self.delivered) or self.disconnected or self.answered):
            await self._wait()
        if self.disconnected or self.answered:
            return {"type": "http.disconnect"}
        body, self.body = b"".join(self.body), []
        self.delivered = self.complete
        self.connection.ahead = 0
        self.connection.resume()
        return {"type": "http.request", "body": body, "more_body": not self.complete}

    async def disconnect(self) -> None:
        """Wait until the client is gone (for applications that stream)."""
        while not self.disconnected:
            await self._wait()

    async def _wait(self) -> None:
        self.connection.resume()
        if self.waiter is None or self.waiter.done():
            self.waiter = asyncio.get_running_loop().create_future()
        await asyncio.shield(self.waiter)

    async def send(self, message: Message) -> None:
        if self.disconnected or self.taken:
            return
        if message["type"] == "http.response.start":
            self._start(message)
            return
        await self._write(message.get("body", b""), message.get("more_body", False))

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

    def _start(self, message: Message) -> None:
        status: int = message["status"]
        lines = [STATUS_LINES[status]]
        self.chunked = self.scope["method"] != "HEAD" and status not in (204, 304)
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
        if self.scope["method"] == "HEAD":
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


class _Connection(asyncio.Protocol):
    __slots__ = (
        "ahead",
        "current",
        "expect",
        "header_bytes",
        "headers",
        "leftover",
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

    def __init__(self, server: _Server) -> None:
        self.server = server
        self.transport: asyncio.Transport = cast(asyncio.Transport, None)
        self.parser: Any = httptools.HttpRequestParser(self)
        self.current: _Request | None = None
        self.queue: deque[_Request] = deque()
        self.writable: asyncio.Future[None] | None = None  # set while the transport's buffer is full
        self.paused = False
        self.ahead = 0
        self.upgrading = False
        self.leftover = b""
        self.state = "idle"  # idle, head (a request is coming in), busy, stalled (answered but unread), linger
        self.since = time.monotonic()
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.header_bytes = 0
        self.expect = False

    # -- the transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.server.connections.discard(self)
        for request in (self.current, *self.queue):
            if request is not None:
                request.disconnected = True
                request.wake()
        self.queue.clear()
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
        if self.state == "linger" or self.parser is None:
            return
        if self.state == "idle":
            self._state("head")
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.upgrading = True
            self.leftover = data[upgrade.args[0] :] if upgrade.args else b""
        except httptools.HttpParserError:
            self._refuse(b"400 Bad Request")

    def eof_received(self) -> bool:
        """A client of a plain connection may close its side and still read the answer; TLS knows no such thing."""
        if self.server.tls or self.current is None:
            return False
        self.current.keep_alive = False
        return True

    # -- the parser's side

    def on_message_begin(self) -> None:
        self.url, self.headers, self.header_bytes, self.expect = b"", [], 0, False

    def on_url(self, url: bytes) -> None:
        self.url += url
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect = True
        self.headers.append((name, value))
        self._count(len(name) + len(value))

    def _count(self, size: int) -> None:
        self.header_bytes += size
        if self.header_bytes > MAX_HEADER_BYTES:
            self._refuse(b"431 Request Header Fields Too Large")
            raise ValueError("the request's head is too long")

    def on_headers_complete(self) -> None:
        raw_path, _, query = self.url.partition(b"?")
        if not raw_path.startswith(b"/"):  # absolute form, or CONNECT's host:port
            _, _, rest = raw_path.partition(b"://")
            raw_path = b"/" + rest.partition(b"/")[2]
        path = raw_path.decode("latin-1")
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
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
        keep = scope["http_version"] != "1.0" and bool(self.parser.should_keep_alive()) and not self.server.closing
        request = _Request(self, scope, keep, self.expect)
        scope["extensions"]["halab.disconnect"] = request.disconnect
        scope["extensions"]["halab.push"] = request.push
        scope["extensions"]["halab.abort"] = self.transport.abort
        if self.parser.should_upgrade():
            request.keep_alive = False
            scope["extensions"]["halab.upgrade"] = self._take_over
        if self.current is None:
            self._begin(request)
        else:
            self.queue.append(request)
            self.pause()

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

    def _begin(self, request: _Request) -> None:
        self.current = request
        self._state("busy")
        task = asyncio.get_running_loop().create_task(self._run(request))
        self.server.tasks.add(task)
        task.add_done_callback(self.server.tasks.discard)

    async def _run(self, request: _Request) -> None:
        try:
            await self.server.app(request.scope, request.receive, request.send)
        except asyncio.CancelledError:
            self.transport.abort()
            raise
        except Exception:
            log.exception("%s %s", request.scope["method"], request.scope["path"])
            if request.taken or request.chunked or request.answered:
                self.transport.close()
                return
            await request.send({"type": "http.response.start", "status": 500, "headers": [(b"content-type", b"text/plain")]})
            await request.send({"type": "http.response.body", "body": b"internal error"})
        else:
            if not request.answered and not request.taken:
                self.transport.close()

    def finish(self, request: _Request) -> None:
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

    def sweep(self, now: float) -> None:
        """Drop a connection that has been silent for too long in its state."""
        age = now - self.since
        if self.state == "stalled" and self.writable is None:
            self._state("idle")
        elif (
            (self.state == "idle" and age > IDLE_SECONDS)
            or (self.state == "head" and age > HEADER_SECONDS)
            or (self.state == "stalled" and age > STALLED_SECONDS)
        ):
            self.transport.abort()


class _Server:
    def __init__(self, app: App, tls: bool) -> None:
        self.app = app
        self.tls = tls
        self.closing = False
        self.connections: set[_Connection] = set()
        self.upgraded: set[asyncio.Transport] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self._date: tuple[int, bytes] = (0, b"")

    def date(self) -> bytes:
        """The Date header and the blank line after it, made once a second."""
        now = int(time.time())
        if self._date[0] != now:
            self._date = (now, time.strftime("date: %a, %d %b %Y %H:%M:%S GMT\r\n\r\n", time.gmtime(now)).encode())
        return self._date[1]

    async def sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = time.monotonic()
            for connection in list(self.connections):
                connection.sweep(now)

    async def close(self) -> None:
        """Let short requests finish, then drop everything."""
        self.closing = True
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=0.2)
        for task in list(self.tasks):
            task.cancel()
        for connection in list(self.connections):
            connection.transport.abort()
        for transport in list(self.upgraded):
            transport.abort()


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """A TLS context for serving. HTTP/1.1 is the only protocol offered."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["http/1.1"])
    return context


async def serve(
    app: App,
    host: str,
    port: int,
    certificate: Path | None = None,
    key: Path | None = None,
    *,
    on_ready: Callable[[], None] | None = None,
    sock: socket.socket | None = None,
    backlog: int = 1024,
) -> None:
    """Serve ``app`` on ``host:port`` (or on the listening socket ``sock``) until cancelled. TLS if a certificate is given.

    Raises OSError if the address cannot be bound. ``on_ready`` is called once connections are accepted.
    """
    context = server_context(certificate, key) if certificate is not None and key is not None else None
    server = _Server(app, context is not None)
    loop = asyncio.get_running_loop()
    if sock is not None:
        listener = await loop.create_server(lambda: _Connection(server), sock=sock, ssl=context, backlog=backlog)
    else:
        listener = await loop.create_server(lambda: _Connection(server), host, port, ssl=context, backlog=backlog)
    sweeper = loop.create_task(server.sweep())
    try:
        if on_ready is not None:
            on_ready()
        await loop.create_future()
    finally:
        sweeper.cancel()
        listener.close()
        await server.close()
