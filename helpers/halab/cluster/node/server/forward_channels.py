"""Port-forward over the channels of a WebSocket (v4.channel.k8s.io), as client libraries have it: Python's, JavaScript's, Java's.

The ports stand in the query. Each has two channels, for data (2i, both ways) and errors (2i + 1), each of which begins with the port in two
bytes; it is one connection, made at once. When no connection is left, the WebSocket closes (kubelet's portforward/websocket.go).
"""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass, field

from halab.aio import websocket
from halab.aio.http import Upgraded

from .forward import READ, Ports, failure

PROTOCOLS = ("v4.channel.k8s.io", "v4.base64.channel.k8s.io")


def ports_of(values: list[str]) -> list[int]:
    """The ports of a query (``ports=80&ports=81,82``). Raises ValueError with kubelet's words."""
    if not values:
        raise ValueError('query parameter "port" is required')
    ports: list[int] = []
    for value in values:
        if not value:
            raise ValueError('query parameter "port" cannot be empty')
        for text in value.split(","):
            if not (text.isascii() and text.isdecimal()) or int(text) > 0xFFFF:
                why = "value out of range" if text.isascii() and text.isdecimal() else "invalid syntax"
                raise ValueError(f'unable to parse "{value}" as a port: strconv.ParseUint: parsing "{text}": {why}')
            if not int(text):
                raise ValueError(f'port "{value}" must be > 0')
            ports.append(int(text))
    return ports


def protocol_of(offered: str) -> str | None:
    """The protocol that answers a ``Sec-WebSocket-Protocol`` header; empty for a client that asks for none, None if there is none for it."""
    names = [name.strip() for name in offered.split(",") if name.strip()]
    return next((name for name in names if name in PROTOCOLS), None) if names else ""


@dataclass(slots=True)
class _Channel:
    """One port's connection; what comes before it is made waits in ``incoming``, what comes after its end is dropped."""

    port: int
    over: bool = False
    incoming: asyncio.Queue[bytes] = field(default_factory=lambda: asyncio.Queue(64))

    def end(self) -> None:
        self.over = True
        while not self.incoming.empty():  # one who waits to put something in may go on
            self.incoming.get_nowait()


class ChannelForwarder:
    """Serves one client."""

    def __init__(self, connection: Upgraded, key: str, protocol: str, ports: Ports, wanted: list[int]) -> None:
        self.reader, self.writer, self.head = connection.reader, connection.writer, connection.head
        self.ports = ports
        self._text = "base64" in protocol
        self._receiver = websocket.Receiver()
        self._channels = [_Channel(port) for port in wanted]
        self.writer.write(websocket.handshake(key, protocol))

    async def run(self) -> None:
        """Until the client is gone or no connection is left."""
        for index, channel in enumerate(self._channels):
            for number in (2 * index, 2 * index + 1):
                self._send(number, channel.port.to_bytes(2, "little"))
        client = asyncio.create_task(self._client())
        connections = asyncio.gather(*(self._connection(index, channel) for index, channel in enumerate(self._channels)))
        try:
            await asyncio.wait((client, connections), return_when=asyncio.FIRST_COMPLETED)
            if connections.done() and not self.writer.is_closing():
                self.writer.write(websocket.encode(websocket.CLOSE, (1000).to_bytes(2, "big")))
                await self.writer.drain()
        except ConnectionError:
            return
        finally:
            client.cancel()
            connections.cancel()
            await asyncio.gather(client, connections, return_exceptions=True)
            self.writer.close()

    async def _client(self) -> None:
        """What the client sends, until it is gone."""
        try:
            data = self.head
            while True:
                for message in self._receiver.receive(data):
                    await self._message(message)
                if self._receiver.outgoing:
                    self.writer.write(bytes(self._receiver.outgoing))
                    self._receiver.outgoing.clear()
                if self._receiver.closed or not (data := await self.reader.read(READ)):
                    return
        except (ConnectionError, ValueError, websocket.WebSocketError):
            return

    async def _message(self, message: bytes) -> None:
        if not message:
            return
        number, data = (message[0] - 48, base64.b64decode(message[1:])) if self._text else (message[0], message[1:])
        if number % 2 == 0 and 0 <= number < 2 * len(self._channels) and data:
            channel = self._channels[number // 2]
            if not channel.over:
                await channel.incoming.put(data)

    async def _connection(self, index: int, channel: _Channel) -> None:
        """One connection's life; it ends with the pod's side."""
        try:
            reader, writer = await self.ports.connect(channel.port)
        except OSError as error:
            self._send(2 * index + 1, failure(error, channel.port))
            channel.end()
            return
        sending = asyncio.create_task(_pour(channel.incoming, writer))
        try:
            while data := await reader.read(READ):
                self._send(2 * index, data)
                await self.writer.drain()
        except ConnectionError:
            return
        finally:
            sending.cancel()
            channel.end()
            writer.close()

    def _send(self, number: int, data: bytes) -> None:
        if self.writer.is_closing():
            return
        if self._text:
            self.writer.write(websocket.encode(websocket.TEXT, bytes((number + 48,)) + base64.b64encode(data)))
        else:
            self.writer.write(websocket.encode(websocket.BINARY, bytes((number,)) + data))


async def _pour(incoming: asyncio.Queue[bytes], writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            writer.write(await incoming.get())
            await writer.drain()
    except ConnectionError:
        return
