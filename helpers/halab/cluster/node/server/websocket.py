"""The server's side of WebSocket (RFC 6455), sans-I/O: just what exec, attach and port-forward need. No extensions, no fragments sent."""

from __future__ import annotations

import base64
import hashlib
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


def encode(opcode: int, data: bytes) -> bytes:
    """One whole unmasked frame."""
    size = len(data)
    if size < 126:
        return bytes((0x80 | opcode, size)) + data
    if size < 1 << 16:
        return struct.pack(">BBH", 0x80 | opcode, 126, size) + data
    return struct.pack(">BBQ", 0x80 | opcode, 127, size) + data


def _unmask(data: bytes, mask: bytes) -> bytes:
    size = len(data)
    if not size:
        return data
    repeated = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "little") ^ int.from_bytes(repeated, "little")).to_bytes(size, "little")


@dataclass(slots=True)
class Receiver:
    """Turns bytes into messages. ``outgoing`` collects pongs and the answer to a close."""

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
                self.outgoing += encode(PONG, payload)
            elif opcode == CLOSE:
                self.closed = True
                self.outgoing += encode(CLOSE, payload[:2])
            elif opcode in (TEXT, BINARY, CONTINUATION):
                self._parts += payload
                if len(self._parts) > MAX_MESSAGE:
                    raise WebSocketError("a message is too long")
                if final:
                    messages.append(bytes(self._parts))
                    self._parts.clear()
        return messages

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
        if not masked:
            raise WebSocketError("a client's frames must be masked")
        if size > MAX_MESSAGE:
            raise WebSocketError("a frame is too long")
        if len(buffer) < at + 4 + size:
            return None
        mask = bytes(buffer[at : at + 4])
        payload = _unmask(bytes(buffer[at + 4 : at + 4 + size]), mask)
        del buffer[: at + 4 + size]
        return final, opcode, payload
