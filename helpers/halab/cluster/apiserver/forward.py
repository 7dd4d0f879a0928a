"""Carrying a request on to another server and its answer back: node agents (logs, exec, stats) and what runs in pods (proxy).

``stream`` reads an answer piece by piece; ``tunnel`` joins two connections and knows nothing of what goes through them, so every
protocol that kubectl of any age speaks (WebSocket, SPDY, SPDY within WebSocket) passes unchanged.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import httptools

from halab.aio.http import Upgraded
from halab.cluster.apiserver.request import Request
from halab.cluster.kube import status

CONNECT_SECONDS = 10.0
PIECE = 64 * 1024
HOP = frozenset({
    b"host", b"authorization", b"content-length", b"transfer-encoding", b"keep-alive", b"te", b"trailer", b"proxy-connection", b"expect",
})  # fmt: skip
"""Headers of one connection, or of this server alone: not carried on."""


@cache
def tls_context(ca_file: Path) -> ssl.SSLContext:
    """Trusts the cluster's authority only."""
    return ssl.create_default_context(cafile=str(ca_file))


@cache
def kubelet_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """For a node agent that is not of this cluster: it is not verified, and we prove ourselves by a client certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(certificate, key)
    return context


@dataclass(frozen=True, slots=True)
class Target:
    """Where to: an address, and a token where the other side wants one."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    token: str = ""
    service: bool = False  # what is asked for is reached by its ``proxy`` subresource
    name: str = ""  # whom the other side's certificate must be for, where that is not ``host``

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Raises a 500 that names the address if nobody answers, a 503 for a service."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                name = (self.name or self.host) if self.tls else None
                return await asyncio.open_connection(self.host, self.port, ssl=self.tls, server_hostname=name, limit=PIECE * 4)
        except ssl.SSLError as error:
            wrong = "tls: first record does not look like a TLS handshake"
            raise self.failure(wrong if error.reason == "WRONG_VERSION_NUMBER" else f"tls: {error.reason}") from None
        except (OSError, TimeoutError) as error:
            reason = "connect: connection refused" if isinstance(error, ConnectionRefusedError) else str(error) or "i/o timeout"
            raise self.failure(f"dial tcp {self.host}:{self.port}: {reason}") from None

    def failure(self, reason: str) -> status.ApiError:
        """What a client is told whose request did not get there."""
        if self.service:
            return status.service_unavailable(f"error trying to reach service: {reason}")
        return status.internal(f"error dialing backend: {reason}")


def _head(target: Target, method: str, path: str, headers: Iterable[tuple[bytes, bytes]], host: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1".encode("latin-1"), b"host: " + (host or f"{target.host}:{target.port}".encode())]
    if target.token:
        lines.append(f"authorization: Bearer {target.token}".encode())
    lines += [name + b": " + value for name, value in headers]
    return b"\r\n".join(lines) + b"\r\n\r\n"


@dataclass(slots=True)
class Answer:
    """An answer that is being read: ``pieces`` yields the body as it comes."""

    status: int
    headers: list[tuple[bytes, bytes]]
    pieces: AsyncIterator[bytes]
    writer: asyncio.StreamWriter
    sending: asyncio.Future[None] | None = None  # of the request's body, which may go on

    def header(self, name: bytes) -> bytes:
        return next((value for key, value in self.headers if key == name), b"")

    async def read(self, limit: int = 32 << 20) -> bytes:
        body = bytearray()
        async for piece in self.pieces:
            body += piece
            if len(body) > limit:
                raise status.internal("the answer of the backend is too long")
        return bytes(body)

    def close(self) -> None:
        self.writer.close()


@dataclass(slots=True)
class _Parsing:
    """What httptools calls back."""

    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    pieces: list[bytes] = field(default_factory=list)
    started: bool = False
    complete: bool = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.started = True

    def on_body(self, body: bytes) -> None:
        self.pieces.append(body)

    def on_message_complete(self) -> None:
        self.complete = True


async def _send(writer: asyncio.StreamWriter, body: AsyncIterator[bytes], *, chunked: bool) -> None:
    """A server may answer before it has read everything, and hang up on the rest: what it said is read all the same."""
    async for piece in body:
        if piece:
            try:
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
                await writer.drain()
            except ConnectionError:
                return
    if chunked:
        with suppress(ConnectionError):
            writer.write(b"0\r\n\r\n")


async def stream(
    target: Target, method: str, path: str, headers: Iterable[tuple[bytes, bytes]] = (), body: AsyncIterator[bytes] | None = None
) -> Answer:
    """Send a request and return its answer as soon as its head is there. Raises a 500 if the other side does not answer properly.

    A body whose length the ``headers`` tell is sent with it: not every server understands one in chunks.
    """
    headers = list(headers)
    reader, writer = await target.connect()
    sent = [(name, value) for name, value in headers if name not in HOP and name not in (b"connection", b"upgrade")]
    sent.append((b"connection", b"close"))
    known = dict(headers)
    length = known.get(b"content-length") if b"transfer-encoding" not in known else None
    if body is not None:
        sent.append((b"transfer-encoding", b"chunked") if length is None else (b"content-length", length))
    parsing = _Parsing()
    parser: Any = httptools.HttpResponseParser(parsing)
    try:
        writer.write(_head(target, method, path, sent, known.get(b"host", b"") if target.service else b""))
        reading = asyncio.ensure_future(_read_head(reader, parser, parsing))
        sending = asyncio.ensure_future(_send(writer, body, chunked=length is None)) if body is not None else None
        try:
            if sending is not None:
                await asyncio.wait([sending, reading], return_when=asyncio.FIRST_COMPLETED)
                if sending.done():
                    sending.result()
            await reading
        except BaseException:
            reading.cancel()
            if sending is not None:
                sending.cancel()
            raise
    except (httptools.HttpParserError, OSError) as error:
        writer.close()
        if target.service:
            raise target.failure(str(error)) from None
        raise status.internal(f"error trying to reach {target.host}:{target.port}: {error}") from None
    except BaseException:
        writer.close()
        raise
    if sending is not None:
        sending.add_done_callback(lambda over: over.cancelled() or over.exception())  # who has answered need not read the rest
    return Answer(parser.get_status_code(), parsing.headers, _pieces(reader, writer, parser, parsing), writer, sending)


async def _read_head(reader: asyncio.StreamReader, parser: Any, parsing: _Parsing) -> None:
    while not parsing.started:
        data = await reader.read(PIECE)
        if not data:
            raise ConnectionResetError("EOF")
        parser.feed_data(data)


async def _pieces(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, parser: Any, parsing: _Parsing
) -> AsyncIterator[bytes]:
    try:
        while True:
            ready, parsing.pieces = parsing.pieces, []
            if ready:
                yield b"".join(ready)
            if parsing.complete:
                return
            data = await reader.read(PIECE)
            if not data:
                return
            parser.feed_data(data)
    except (httptools.HttpParserError, OSError):
        return
    finally:
        writer.close()


async def copy_answer(request: Request, answer: Answer, more: Iterable[tuple[bytes, bytes]] = ()) -> None:
    """Send an answer on to the client as it comes; stop when the client leaves."""
    kept = [
        (name, value) for name, value in answer.headers if name not in HOP and name not in (b"connection", b"date", b"server")
    ]
    await request.send({"type": "http.response.start", "status": answer.status, "headers": [*kept, *more]})
    request.status = answer.status

    async def copy() -> None:
        request.scope["extensions"]["halab.answer"].push(b"")  # the client may wait for the head alone
        async for piece in answer.pieces:
            await request.send({"type": "http.response.body", "body": piece, "more_body": True})
        await request.send({"type": "http.response.body", "body": b""})

    await _until_gone(request, copy(), answer)


async def _until_gone(request: Request, work: Any, answer: Answer) -> None:
    gone = asyncio.ensure_future(request.scope["extensions"]["halab.answer"].disconnect())
    copying = asyncio.ensure_future(work)
    try:
        await asyncio.wait({gone, copying}, return_when=asyncio.FIRST_COMPLETED)
        if copying.done():
            copying.result()
    finally:
        for task in (gone, copying):
            task.cancel()
        answer.close()


async def tunnel(request: Request, target: Target, path: str, identity: Iterable[tuple[bytes, bytes]] = ()) -> None:
    """Join the client's connection with one to ``target`` for good; ``identity`` are headers that say who asks. Raises a 400 for a request
    that asks for no upgrade."""
    take_over = request.scope["extensions"].get("halab.upgrade")
    if take_over is None:
        raise status.bad_request("Upgrade request required")
    reader, writer = await target.connect()
    headers = [(name, value) for name, value in _without_secrets(request) if name not in HOP] + list(identity)
    writer.write(
        _head(target, request.method, path, [*headers, (b"content-length", b"0")] if request.method == "POST" else headers)
    )
    client: Upgraded = await take_over()
    request.status = 101
    if client.head:
        writer.write(client.head)
    await _join(client, reader, writer)


def _without_secrets(request: Request) -> list[tuple[bytes, bytes]]:
    """The client's headers without what proves who it is."""
    kept = []
    for name, value in request.scope["headers"]:
        if name.startswith((b"impersonate-", b"x-remote-")):
            continue
        if name == b"sec-websocket-protocol":
            protocols = [
                part.strip() for part in value.split(b",") if not part.strip().startswith(b"base64url.bearer.authorization.")
            ]
            value = b", ".join(protocols)
        kept.append((name, value))
    return kept


async def _join(client: Upgraded, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy both ways until either side ends; then the other is closed once it has what was sent."""

    async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError, ssl.SSLError):
            while data := await source.read(PIECE):
                sink.write(data)
                await sink.drain()

    up = asyncio.ensure_future(copy(client.reader, writer))
    down = asyncio.ensure_future(copy(reader, client.writer))
    try:
        await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        up.cancel()
        down.cancel()
        for each in (writer, client.writer):
            with suppress(OSError, RuntimeError):
                each.close()
