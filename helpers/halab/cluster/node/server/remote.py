"""Remote command sessions: stdin, stdout, stderr, resize and the final status, over WebSocket channels or SPDY streams.

A ``Session`` is what exec and attach talk to; they do not know which protocol carries it.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from typing import Protocol

from halab.aio import websocket
from halab.aio.http import Upgraded
from halab.cluster.kube.types import Obj

from . import spdy

STDIN, STDOUT, STDERR, ERROR, RESIZE = 0, 1, 2, 3, 4
CLOSE_CHANNEL = 255  # v5: "the channel named in the next byte is finished"
WEBSOCKET_PROTOCOLS = (
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "v4.base64.channel.k8s.io",
    "channel.k8s.io",
    "base64.channel.k8s.io",
    "",
)
SPDY_PROTOCOLS = ("v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io")
READ = 64 * 1024
STREAM_SECONDS = 30.0  # how long a client may take to open its streams

SUCCESS: Obj = {"metadata": {}, "status": "Success"}


def exit_status(code: int, command: list[str]) -> Obj:
    """The Status that tells a client how its command ended."""
    if code == 0:
        return SUCCESS
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: error executing command [{' '.join(command)}], exit code {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def failure(message: str) -> Obj:
    return {"metadata": {}, "status": "Failure", "message": message, "reason": "InternalError", "code": 500}


class Session(Protocol):
    """``on_input`` gets stdin's bytes and None at its end; ``on_resize`` (columns, rows); ``on_gone`` is called when the client left."""

    on_input: Callable[[bytes | None], None]
    on_resize: Callable[[int, int], None]
    on_gone: Callable[[], None]

    async def run(self) -> None:
        """Read from the client until it is gone."""
        ...

    async def write(self, channel: int, data: bytes) -> None: ...

    async def finish(self, status: Obj) -> None:
        """Send the status and close."""
        ...


class _Base:
    def __init__(self, connection: Upgraded) -> None:
        self.reader, self.writer, self.head = connection.reader, connection.writer, connection.head
        self.on_input: Callable[[bytes | None], None] = lambda _data: None
        self.on_resize: Callable[[int, int], None] = lambda _columns, _rows: None
        self.on_gone: Callable[[], None] = lambda: None
        self._finished = False

    def _resized(self, data: bytes) -> None:
        for line in data.splitlines():
            try:
                size = json.loads(line)
                self.on_resize(int(size["Width"]), int(size["Height"]))
            except (ValueError, KeyError, TypeError):
                continue

    async def _flush(self) -> None:
        try:
            await self.writer.drain()
        except ConnectionError:
            pass

    async def _close(self) -> None:
        await self._flush()
        self.writer.close()


class WebSocketSession(_Base):
    """Each message begins with its channel's number (a digit in the base64 variants)."""

    def __init__(self, connection: Upgraded, key: str, protocol: str) -> None:
        super().__init__(connection)
        self.protocol = protocol
        self._text = "base64" in protocol
        self.writer.write(websocket.handshake(key, protocol))
        self._receiver = websocket.Receiver()

    async def run(self) -> None:
        try:
            data = self.head
            while True:
                for message in self._receiver.receive(data):
                    self._message(message)
                if self._receiver.outgoing:
                    self.writer.write(bytes(self._receiver.outgoing))
                    self._receiver.outgoing.clear()
                if self._receiver.closed or not (data := await self.reader.read(READ)):
                    break
        except (ConnectionError, websocket.WebSocketError):
            pass
        finally:
            self.on_gone()

    def _message(self, message: bytes) -> None:
        if not message:
            return
        channel, data = message[0], message[1:]
        if self._text:
            channel, data = channel - 48, base64.b64decode(data)
        if channel == STDIN:
            if data:
                self.on_input(data)
        elif channel == RESIZE:
            self._resized(data)
        elif channel == CLOSE_CHANNEL and self.protocol.startswith("v5") and data[:1] == bytes((STDIN,)):
            self.on_input(None)

    async def write(self, channel: int, data: bytes) -> None:
        if self.writer.is_closing():
            return
        if self._text:
            self.writer.write(websocket.encode(websocket.TEXT, bytes((channel + 48,)) + base64.b64encode(data)))
        else:
            self.writer.write(websocket.encode(websocket.BINARY, bytes((channel,)) + data))
        await self._flush()

    async def finish(self, status: Obj) -> None:
        if self._finished:
            return
        self._finished = True
        if not self.writer.is_closing():
            old = self.protocol in ("", "channel.k8s.io", "base64.channel.k8s.io")
            if not old:
                await self.write(ERROR, json.dumps(status).encode())
            elif status["status"] != "Success":
                await self.write(ERROR, status["message"].encode())
            self.writer.write(websocket.encode(websocket.CLOSE, (1000).to_bytes(2, "big")))
        await self._close()


class SpdySession(_Base):
    """Streams named by a ``streamtype`` header. ``expected`` are those that the request announced."""

    def __init__(self, connection: Upgraded, protocol: str, expected: set[str]) -> None:
        super().__init__(connection)
        self.protocol = protocol
        self._spdy = spdy.Connection()
        self._streams: dict[str, int] = {}
        self._kinds: dict[int, str] = {}
        self._expected = expected
        self._ready = asyncio.Event()
        lines = [
            "HTTP/1.1 101 Switching Protocols",
            "Connection: Upgrade",
            "Upgrade: SPDY/3.1",
            f"X-Stream-Protocol-Version: {protocol}",
        ]
        self.writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())

    async def ready(self) -> None:
        """Until the client has opened all its streams. Raises TimeoutError."""
        async with asyncio.timeout(STREAM_SECONDS):
            await self._ready.wait()

    async def run(self) -> None:
        try:
            data = self.head
            while True:
                for event in self._spdy.receive(data):
                    self._event(event)
                self._send()
                if not (data := await self.reader.read(READ)):
                    break
        except (ConnectionError, spdy.SpdyError):
            pass
        finally:
            self._ready.set()
            self.on_gone()

    def _event(self, event: spdy.Event) -> None:
        if isinstance(event, spdy.Opened):
            kind = event.headers.get("streamtype", "")
            self._streams[kind] = event.stream
            self._kinds[event.stream] = kind
            self._spdy.reply(event.stream)
            if self._expected <= set(self._streams):
                self._ready.set()
            if event.fin and kind == "stdin":
                self.on_input(None)
        elif isinstance(event, spdy.Data):
            kind = self._kinds.get(event.stream, "")
            if kind == "stdin":
                if event.data:
                    self.on_input(event.data)
                if event.fin:
                    self.on_input(None)
            elif kind == "resize" and event.data:
                self._resized(event.data)
        elif isinstance(event, spdy.Reset) and self._kinds.get(event.stream) == "stdin":
            self.on_input(None)

    def _send(self) -> None:
        if self._spdy.outgoing and not self.writer.is_closing():
            self.writer.write(self._spdy.take())

    async def write(self, channel: int, data: bytes) -> None:
        stream = self._streams.get({STDOUT: "stdout", STDERR: "stderr", ERROR: "error"}[channel])
        if stream is None or self.writer.is_closing():
            return
        self._spdy.send(stream, data)
        self._send()
        await self._flush()

    async def finish(self, status: Obj) -> None:
        if self._finished:
            return
        self._finished = True
        if self.protocol == "v4.channel.k8s.io":
            await self.write(ERROR, json.dumps(status).encode())
        elif status["status"] != "Success":
            await self.write(ERROR, status["message"].encode())
        for kind in ("stdout", "stderr", "error"):
            if (stream := self._streams.get(kind)) is not None:
                self._spdy.send(stream, b"", fin=True)
        self._send()
        await self._close()


async def open_session(connection: Upgraded, headers: dict[str, str], wanted: set[str]) -> Session:
    """Answer the upgrade in the protocol that the client asked for. ``wanted`` are the streams that its query named."""
    if headers.get("upgrade", "").lower() == "websocket":
        offered = [item.strip() for item in headers.get("sec-websocket-protocol", "").split(",")]
        protocol = next((item for item in offered if item in WEBSOCKET_PROTOCOLS), "")
        socket = WebSocketSession(connection, headers.get("sec-websocket-key", ""), protocol)
        for channel in (STDOUT, STDERR, ERROR):
            await socket.write(channel, b"")  # what kubelet does, so that clients know the channels are there
        return socket
    offered = [item.strip() for item in headers.get("x-stream-protocol-version", "").split(",")]
    protocol = next((item for item in SPDY_PROTOCOLS if item in offered), "channel.k8s.io")
    return SpdySession(connection, protocol, wanted | {"error"})
