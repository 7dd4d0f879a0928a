"""Watches and logs over WebSocket, for clients that cannot read an answer as it comes (browsers).

A watch's events are text messages, one each; a log comes in binary messages, or as base64 text, after an empty one that shows the way to be
open (apimachinery: wsstream). ``Frames`` takes the place of a request's answer: the handlers do not know.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from contextlib import suppress

from halab.aio import websocket
from halab.aio.http import Message, Upgraded
from halab.cluster.apiserver.request import PlainError, Request

LOG_PROTOCOLS = ("", "binary.k8s.io", "base64.binary.k8s.io")
BEARER = "base64url.bearer.authorization."
READ = 4096
NORMAL = (1000).to_bytes(2, "big")  # a close that is no failure


def frames_of(request: Request) -> Frames | None:
    """Set for a watch or log that is asked for over WebSocket. Raises a 403 for protocols that a log does not have."""
    is_log = request.subresource == "log" and request.verb == "get"
    if "halab.upgrade" not in request.scope["extensions"] or not (is_log or request.verb == "watch"):
        return None
    if request.header(b"upgrade").lower() != "websocket":
        return None
    offered = [name.strip() for value in request.header_values(b"sec-websocket-protocol") for name in value.split(",")]
    offered = [name for name in offered if name and not name.startswith(BEARER)]
    protocol = offered[0] if offered else ""
    if is_log and offered:
        known = [name for name in offered if name in LOG_PROTOCOLS]
        if not known:
            raise PlainError(403, f"requested protocol(s) are not supported: {offered}; supports {list(LOG_PROTOCOLS)}")
        protocol = known[0]
    return Frames(request, protocol, is_log=is_log)


class Frames:
    """An answer in WebSocket frames; one that is no success is plain HTTP. Its methods are ``Exchange``'s."""

    def __init__(self, request: Request, protocol: str, *, is_log: bool) -> None:
        self._send = request.send
        self._take_over = request.scope["extensions"]["halab.upgrade"]
        self._key = request.header(b"sec-websocket-key")
        self._protocol, self._is_log = protocol, is_log
        self._connection: Upgraded | None = None
        self._reading: asyncio.Task[None] | None = None
        self._gone = asyncio.Event()
        self._on_gone: Callable[[], None] | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 200:
            self._connection = await self._take_over()
            first = self._frames(b"", empty=True) if self._is_log else b""
            self._connection.writer.write(websocket.handshake(self._key, self._protocol) + first)
            self._reading = asyncio.create_task(self._read(self._connection))
        elif self._connection is None:
            await self._send(message)
        elif not self._gone.is_set():
            self._connection.writer.write(self._frames(message.get("body", b"")))
            with suppress(OSError):
                await self._connection.writer.drain()
            if not message.get("more_body", False):
                self.end()

    def _frames(self, data: bytes, *, empty: bool = False) -> bytes:
        if not data and not empty:
            return b""
        if not self._is_log:
            return b"".join(websocket.encode(websocket.TEXT, line) for line in data.splitlines(keepends=True))
        if self._protocol.startswith("base64."):
            return websocket.encode(websocket.TEXT, base64.b64encode(data))
        return websocket.encode(websocket.BINARY, data)

    async def _read(self, connection: Upgraded) -> None:
        """What the client says is of no interest, only when it leaves."""
        receiver, data = websocket.Receiver(), connection.head
        try:
            while not receiver.closed:
                receiver.receive(data)
                if receiver.outgoing:
                    connection.writer.write(bytes(receiver.outgoing))
                    receiver.outgoing.clear()
                if not receiver.closed and not (data := await connection.reader.read(READ)):
                    break
        except (OSError, websocket.WebSocketError):
            pass
        self._left()

    def _left(self) -> None:
        self._gone.set()
        if self._connection is not None:
            self._connection.writer.close()
        callback, self._on_gone = self._on_gone, None
        if callback is not None:
            callback()

    async def disconnect(self) -> None:
        await self._gone.wait()

    def detach(self, on_gone: Callable[[], None]) -> None:
        self._on_gone = on_gone
        if self._gone.is_set():
            self._left()

    def push(self, body: bytes) -> int:
        if self._connection is None or self._gone.is_set() or self._connection.writer.is_closing():
            return -1
        if body:
            self._connection.writer.write(self._frames(body))
        return self.unread()

    def unread(self) -> int:
        transport = self._connection.writer.transport if self._connection is not None else None
        return transport.get_write_buffer_size() if transport is not None and not self._gone.is_set() else 0

    def end(self) -> None:
        self._on_gone = None
        if self._connection is None or self._gone.is_set():
            return
        self._connection.writer.write(websocket.encode(websocket.CLOSE, NORMAL))
        self._gone.set()
        self._connection.writer.close()
        if self._reading is not None:
            self._reading.cancel()

    def abort(self) -> None:
        if self._connection is not None:
            self._connection.writer.transport.abort()
