"""HTTP/1.1 over TLS for API clients: a pool of keep-alive connections on asyncio and httptools.

Why not a general HTTP library: a component of the cluster holds a few watches and sends small JSON requests, and there are many
such processes on one small machine. This is the least that does that: no redirects, no cookies, no proxies, no compression.
Kubernetes' vocabulary (kinds, Status errors, watch events) is one file up, in ``client.py``.
"""

from __future__ import annotations

import asyncio
import errno
import ssl
from collections import deque
from collections.abc import AsyncIterator
from types import TracebackType
from weakref import WeakSet

import httptools

MAX_IDLE = 32  # connections kept for later requests
PAUSE_BYTES = 1 << 20  # a streamed answer that nobody reads stops the socket at this much


class ConnectionLost(ConnectionError):
    """The connection ended before the answer was whole. ``untouched`` is true when no byte of an answer had come."""

    def __init__(self, message: str, *, untouched: bool = False) -> None:
        super().__init__(message)
        self.untouched = untouched


class Connection(asyncio.Protocol):
    """One connection; at most one request is under way on it."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.closed = False
        self.used = 0
        self._parser: httptools.HttpResponseParser | None = None
        self._reset()

    def _reset(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.reusable = False
        self._started = False
        self._complete = False
        self._chunks: deque[bytes] = deque()
        self._buffered = 0
        self._paused = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._wait_for_head = False
        self._streaming = False

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self._parser is None:
            self.close()  # an answer that nobody asked for
            return
        self._started = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as exc:
            self._error = ConnectionLost(f"not an HTTP answer: {exc}")
            self.close()
            self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if not self._complete and self._error is None:
            self._error = ConnectionLost(f"connection lost: {exc or 'closed by the server'}", untouched=not self._started)
        self._wake()

    # What httptools calls

    def on_header(self, name: bytes, value: bytes) -> None:
        key = name.decode("latin-1").lower()
        text = value.decode("latin-1")
        # Several Warning headers are one header with commas, and so is any other list header (RFC 9110, 5.3).
        self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        self.status = self._parser.get_status_code()
        if self._wait_for_head and self.status >= 200:
            self._wake()

    def on_body(self, body: bytes) -> None:
        self._chunks.append(body)
        self._buffered += len(body)
        if not self._streaming:
            return
        if self._buffered > PAUSE_BYTES and self.transport is not None and not self._paused:
            self._paused = True
            self.transport.pause_reading()
        self._wake()

    def on_message_complete(self) -> None:
        assert self._parser is not None
        if self.status < 200:
            self.headers = {}
            return
        self._complete = True
        self.reusable = bool(self._parser.should_keep_alive())
        self._wake()

    # What the pool and the response call

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def send(self, head: bytes, body: bytes, *, stream: bool) -> None:
        self._reset()
        self._streaming = self._wait_for_head = stream
        self._parser = httptools.HttpResponseParser(self)
        self.used += 1
        assert self.transport is not None
        self.transport.write(head + body if body else head)

    async def head(self) -> None:
        """Until the status line and headers are in (streams only)."""
        while self.status < 200:  # 100 Continue and its like precede the answer
            if self._error is not None:
                raise self._error
            await self._wait()
        self._wait_for_head = False

    async def whole(self) -> bytes:
        """The whole body."""
        while not self._complete:
            if self._error is not None:
                raise self._error
            await self._wait()
        self._parser = None
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)

    async def chunk(self) -> bytes:
        """What has come since the last call; ``b""`` at the end of the body."""
        while not self._chunks:
            if self._complete:
                self._parser = None
                return b""
            if self._error is not None:
                raise self._error
            await self._wait()
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._buffered = 0
        if self._paused and self.transport is not None and not self.closed:
            self._paused = False
            self.transport.resume_reading()
        return data

    def close(self) -> None:
        self.closed = True
        if self.transport is not None:
            self.transport.abort()


class Stream:
    """An answer whose body is read piece by piece. Leaving the ``async with`` block closes the connection if the body has not ended."""

    def __init__(self, pool: Pool, connection: Connection) -> None:
        self._pool, self._connection = pool, connection
        self.status, self.headers = connection.status, connection.headers
        self._ended = False

    async def chunks(self) -> AsyncIterator[bytes]:
        while data := await self._connection.chunk():
            yield data
        self._ended = True

    async def read(self) -> bytes:
        return b"".join([part async for part in self.chunks()])

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._ended:
            self._pool.release(self._connection)
        else:
            self._connection.close()


class Pool:
    """Keep-alive connections to one server.

    ``tls`` is None for plain HTTP. ``request`` retries once, on a new connection, when a kept connection turns out to have been closed
    meanwhile and the request can be repeated without harm.
    """

    def __init__(
        self, host: str, port: int, tls: ssl.SSLContext | None, *, server_name: str = "", connect_timeout: float = 5.0
    ) -> None:
        self.host, self.port, self.tls = host, port, tls
        self._server_name = server_name or host  # that the server's certificate must carry
        self._connect_timeout = connect_timeout
        self._idle: list[Connection] = []
        self._open: WeakSet[Connection] = WeakSet()
        self._cut = False
        self._authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def _connect(self) -> Connection:
        if self._cut:
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"cut off from {self._authority}")
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._connect_timeout):
            name = self._server_name if self.tls is not None else None
            _, connection = await loop.create_connection(Connection, self.host, self.port, ssl=self.tls, server_hostname=name)
        self._open.add(connection)
        return connection

    def _kept(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed:
                return connection
        return None

    def release(self, connection: Connection) -> None:
        if connection.reusable and not connection.closed and len(self._idle) < MAX_IDLE:
            self._idle.append(connection)
        else:
            connection.close()

    def _head(self, method: str, target: str, headers: dict[str, str], body: bytes) -> bytes:
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self._authority}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if body or method in ("POST", "PUT", "PATCH"):
            lines.append(f"Content-Length: {len(body)}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    async def _exchange(
        self, method: str, target: str, headers: dict[str, str], body: bytes, *, stream: bool
    ) -> tuple[Connection, bytes]:
        head = self._head(method, target, headers, body)
        while True:
            kept = self._kept()
            connection = kept or await self._connect()
            try:
                connection.send(head, body, stream=stream)
                if stream:
                    await connection.head()
                    return connection, b""
                return connection, await connection.whole()
            except ConnectionLost as exc:
                connection.close()
                if kept is None or not exc.untouched or method not in ("GET", "HEAD", "PUT", "DELETE"):
                    raise
            except BaseException:
                connection.close()
                raise

    async def request(
        self, method: str, target: str, headers: dict[str, str], body: bytes = b"", *, timeout: float = 60.0
    ) -> tuple[int, dict[str, str], bytes]:
        """One request and its whole answer: status, headers (lower-case names), body. Raises OSError or TimeoutError."""
        async with asyncio.timeout(timeout):
            connection, data = await self._exchange(method, target, headers, body, stream=False)
        status, answered = connection.status, connection.headers
        self.release(connection)
        return status, answered, data

    async def stream(
        self, method: str, target: str, headers: dict[str, str], body: bytes = b"", *, timeout: float = 60.0
    ) -> Stream:
        """One request whose answer is read as it comes. ``timeout`` bounds the wait for the answer's head only."""
        async with asyncio.timeout(timeout):
            connection, _ = await self._exchange(method, target, headers, body, stream=True)
        return Stream(self, connection)

    def cut(self, cut: bool) -> None:
        """As if the network to the server were down (a fault of the catalogue): what is open breaks, nothing new opens; or as before."""
        self._cut = cut
        for connection in list(self._open) if cut else ():
            connection.close()

    def use_tls(self, tls: ssl.SSLContext | None) -> None:
        """From the next request on: a client's certificate was renewed. Connections that were made with the former one are not used again."""
        if tls is not self.tls:
            self.tls = tls
            self.close()

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()
