"""Port-forward: connections to a pod's ports, as pairs of SPDY streams (one for data, one for errors).

The SPDY bytes come plainly after an upgrade (kubectl before 1.31) or inside the binary messages of a WebSocket (SPDY/3.1+portforward.k8s.io).
Client libraries speak the channels of ``forward_channels`` instead.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from halab.aio import websocket
from halab.aio.http import Upgraded
from halab.cluster.node.checks import Target, dial_error
from halab.cluster.node.runtime.base import Dial

from . import spdy

TUNNEL = "SPDY/3.1+portforward.k8s.io"
PROTOCOL = "portforward.k8s.io"
READ = 64 * 1024


@dataclass(slots=True)
class _Pair:
    """The two streams of one forwarded connection."""

    port: int
    data: int = 0
    error: int = 0
    early: bytearray = field(default_factory=bytearray)
    early_fin: bool = False
    writer: asyncio.StreamWriter | None = None
    task: asyncio.Task[None] | None = None


@dataclass(frozen=True, slots=True)
class Ports:
    """How a pod's ports are reached: ``addresses`` in turn for each connection (the pod's localhost, then its address), then ``dial``, the
    runtime's own way to a port of the pod's localhost, which raises OSError."""

    addresses: list[str]
    target: Target
    dial: Dial | None = None

    async def connect(self, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Raises OSError."""
        error: OSError | None = None
        for address in self.addresses:
            try:
                return await asyncio.open_connection(address, self.target.real_port(port))
            except OSError as caught:
                error = caught
        if self.dial is not None:
            return await self.dial(port)
        assert error is not None
        raise error


def failure(error: OSError, port: int) -> bytes:
    """What the client reads on its error stream when the port cannot be reached."""
    reason = dial_error(error, "localhost", port).replace("dial tcp localhost", "dial tcp4 127.0.0.1")
    text = (
        f"error forwarding port {port} to pod, uid : failed to execute portforward in network namespace: "
        f"failed to connect to localhost:{port} inside namespace: {reason}"
    )
    return text.encode()


class Forwarder:
    """Serves one client."""

    def __init__(self, connection: Upgraded, headers: dict[str, str], ports: Ports) -> None:
        self.reader, self.writer, self.head = connection.reader, connection.writer, connection.head
        self.ports = ports
        self._spdy = spdy.Connection()
        self._pairs: dict[str, _Pair] = {}
        self._by_stream: dict[int, _Pair] = {}
        self._receiver: websocket.Receiver | None = None
        if headers.get("upgrade", "").lower() == "websocket":
            self._receiver = websocket.Receiver()
            self.writer.write(websocket.handshake(headers.get("sec-websocket-key", ""), TUNNEL))
        else:
            lines = [
                "HTTP/1.1 101 Switching Protocols",
                "Connection: Upgrade",
                "Upgrade: SPDY/3.1",
                f"X-Stream-Protocol-Version: {PROTOCOL}",
            ]
            self.writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())

    async def run(self) -> None:
        """Until the client is gone."""
        try:
            data = self.head
            while True:
                for piece in self._unwrap(data):
                    for event in self._spdy.receive(piece):
                        await self._event(event)
                await self._flush()
                if (self._receiver is not None and self._receiver.closed) or not (data := await self.reader.read(READ)):
                    return
        except (ConnectionError, spdy.SpdyError, websocket.WebSocketError):
            return
        finally:
            for pair in self._pairs.values():
                if pair.task is not None:
                    pair.task.cancel()
            self.writer.close()

    def _unwrap(self, data: bytes) -> list[bytes]:
        if self._receiver is None:
            return [data]
        pieces = self._receiver.receive(data)
        if self._receiver.outgoing:
            self.writer.write(bytes(self._receiver.outgoing))
            self._receiver.outgoing.clear()
        return pieces

    async def _flush(self) -> None:
        data = self._spdy.take()
        if data and not self.writer.is_closing():
            self.writer.write(websocket.encode(websocket.BINARY, data) if self._receiver is not None else data)
            await self.writer.drain()

    async def _event(self, event: spdy.Event) -> None:
        if isinstance(event, spdy.Opened):
            self._spdy.reply(event.stream)
            request, port = event.headers.get("requestid", ""), event.headers.get("port", "0")
            pair = self._pairs.setdefault(request, _Pair(int(port) if port.isdecimal() else 0))
            if event.headers.get("streamtype") == "error":
                pair.error = event.stream
            else:
                pair.data = event.stream
                self._by_stream[event.stream] = pair
            if pair.data and pair.error and pair.task is None:
                pair.task = asyncio.create_task(self._connection(request, pair))
        elif isinstance(event, spdy.Data) and (found := self._by_stream.get(event.stream)):
            await self._incoming(found, event.data, event.fin)
        elif isinstance(event, spdy.Reset) and (found := self._by_stream.get(event.stream)) and found.task is not None:
            found.task.cancel()

    async def _incoming(self, pair: _Pair, data: bytes, fin: bool) -> None:
        if pair.writer is None:
            pair.early += data
            pair.early_fin = pair.early_fin or fin
            return
        try:
            pair.writer.write(data)
            if fin and pair.writer.can_write_eof():
                pair.writer.write_eof()
            await pair.writer.drain()
        except (ConnectionError, RuntimeError):
            return

    async def _connection(self, request: str, pair: _Pair) -> None:
        """One connection's life: pod to client here, client to pod in ``_incoming``."""
        try:
            try:
                reader, pair.writer = await self.ports.connect(pair.port)
            except OSError as error:
                self._spdy.send(pair.error, failure(error, pair.port), fin=True)
                self._spdy.send(pair.data, b"", fin=True)
                await self._flush()
                return
            if pair.early or pair.early_fin:
                await self._incoming(pair, bytes(pair.early), pair.early_fin)
                pair.early.clear()
            while data := await reader.read(READ):
                self._spdy.send(pair.data, data)
                await self._flush()
            self._spdy.send(pair.data, b"", fin=True)
            self._spdy.send(pair.error, b"", fin=True)
            await self._flush()
        except ConnectionError:
            self._spdy.reset(pair.data)
            await self._flush()
        finally:
            if pair.writer is not None:
                pair.writer.close()
            self._pairs.pop(request, None)
            self._by_stream.pop(pair.data, None)
