"""WebSocket (RFC 6455), sans-I/O: just what exec, attach, port-forward, logs and watches need, the server's side and as much of a client's as a tunnel takes.

No extensions, no fragments sent.
"""

from __future__ import annotations

import base64
import hashlib
import os
import struct
from dataclasses import dataclass, field

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MAX_MESSAGE = 32 << 20


class WebSocketError(Exception):
    """The peer broke the protocol; the connection is to be dropped."""


def accept_key(key: str) -> str:
    return base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()).decode()


def handshake(key: str, protocol: str) -> bytes:
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {accept_key(key)}",
    ]
    if protocol:
        lines.append(f"Sec-WebSocket-Protocol: {protocol}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def encode(opcode: int, data: bytes, mask: bytes = b"") -> bytes:
    """One whole frame; a client's has a ``mask`` of 4 bytes."""
    size, masked = len(data), 0x80 if mask else 0
    body = mask + _unmask(data, mask) if mask else data
    if size < 126:
        return bytes((0x80 | opcode, masked | size)) + body
    if size < 1 << 16:
        return struct.pack(">BBH", 0x80 | opcode, masked | 126, size) + body
    return struct.pack(">BBQ", 0x80 | opcode, masked | 127, size) + body


def _unmask(data: bytes, mask: bytes) -> bytes:
    size = len(data)
    if not size:
        return data
    repeated = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "little") ^ int.from_bytes(repeated, "little")).to_bytes(size, "little")


@dataclass(slots=True)
class Receiver:
    """Turns bytes into messages. ``outgoing`` collects pongs and the answer to a close. ``client``: the peer is a server, which masks nothing."""

    client: bool = False
    outgoing: bytearray = field(default_factory=bytearray)
    closed: bool = False
    _buffer: bytearray = field(default_factory=bytearray)
    _parts: bytearray = field(default_factory=bytearray)

    def receive(self, data: bytes) -> list[bytes]:
        """The payloads of the messages that are complete now."""
        self._buffer += data
        messages: list[bytes] = []
        while not self.closed and (frame := self._frame()) is not None:
            final, opcode, payload = frame
            if opcode == PING:
                self.outgoing += encode(PONG, payload, self._mask())
            elif opcode == CLOSE:
                self.closed = True
                self.outgoing += encode(CLOSE, payload[:2], self._mask())
            elif opcode in (TEXT, BINARY, CONTINUATION):
                self._parts += payload
                if len(self._parts) > MAX_MESSAGE:
                    raise WebSocketError("a message is too long")
                if final:
                    messages.append(bytes(self._parts))
                    self._parts.clear()
        return messages

    def _mask(self) -> bytes:
        return os.urandom(4) if self.client else b""

    def _frame(self) -> tuple[bool, int, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        final, opcode, masked, size = bool(buffer[0] & 0x80), buffer[0] & 15, bool(buffer[1] & 0x80), buffer[1] & 127
        at = 2
        if size >= 126:
            width = 2 if size == 126 else 8
            if len(buffer) < at + width:
                return None
            size = int.from_bytes(buffer[at : at + width], "big")
            at += width
        if masked is self.client:
            raise WebSocketError("a server's frames must not be masked" if self.client else "a client's frames must be masked")
        if size > MAX_MESSAGE:
            raise WebSocketError("a frame is too long")
        start = at + 4 if masked else at
        if len(buffer) < start + size:
            return None
        payload = bytes(buffer[start : start + size])
        if masked:
            payload = _unmask(payload, bytes(buffer[at:start]))
        del buffer[: start + size]
        return final, opcode, payload
