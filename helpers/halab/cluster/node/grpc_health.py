"""One call of grpc.health.v1.Health/Check over HTTP/2 without TLS, by hand: a probe needs no gRPC library.

Only what one unary call needs: the preface, SETTINGS, one HEADERS and one DATA frame out; frames in until the stream ends. Header blocks
are sent as literals without indexing (RFC 7541, 6.2.2); of the answer's, only ``grpc-status`` matters, found by the message that precedes it.
"""

from __future__ import annotations

import asyncio
import struct

from .checks import Outcome, Target

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
ACK, END_STREAM, END_HEADERS, PADDED = 1, 1, 4, 8
RECONNECT_SECONDS = 1.0  # gRPC's first back-off
STATUSES = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def _literal(name: str, value: str) -> bytes:
    first, second = name.encode(), value.encode()
    return b"\x00" + bytes((len(first),)) + first + bytes((len(second),)) + second


def request(authority: str, service: str) -> bytes:
    """All that the client sends."""
    headers = b"".join(
        _literal(name, value)
        for name, value in (
            (":method", "POST"),
            (":scheme", "http"),
            (":path", "/grpc.health.v1.Health/Check"),
            (":authority", authority),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            ("user-agent", "kube-probe/1.34"),
        )
    )
    name = service.encode()
    message = b"\x0a" + bytes((len(name),)) + name if name else b""
    body = b"\x00" + struct.pack(">I", len(message)) + message
    return PREFACE + frame(SETTINGS, 0, 0, b"") + frame(HEADERS, END_HEADERS, 1, headers) + frame(DATA, END_STREAM, 1, body)


def serving_status(data: bytes) -> int | None:
    """The status in a HealthCheckResponse (one length-prefixed message), None if there is no message."""
    if len(data) < 5:
        return None
    message = data[5 : 5 + struct.unpack(">I", data[1:5])[0]]
    return message[1] if len(message) >= 2 and message[0] == 0x08 else 0


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, authority: str, service: str) -> bytes | None:
    """The data of the answer; None if the stream ended without any."""
    writer.write(request(authority, service))
    data = b""
    while True:
        head = await reader.readexactly(9)
        length, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
        stream = int.from_bytes(head[5:], "big") & 0x7FFFFFFF
        payload = await reader.readexactly(length)
        if kind == SETTINGS and not flags & ACK:
            writer.write(frame(SETTINGS, ACK, 0, b""))
        elif kind == PING and not flags & ACK:
            writer.write(frame(PING, ACK, 0, payload))
        elif kind == DATA and stream == 1:
            data += payload[1 : len(payload) - payload[0]] if flags & PADDED else payload
        elif kind in (RST_STREAM, GOAWAY):
            return data or None
        if kind in (DATA, HEADERS) and stream == 1 and flags & END_STREAM:
            return data or None


async def check(target: Target, port: int, service: str, timeout: float) -> Outcome:
    address = f"{target.address}:{port}"
    failed = 'service unhealthy (responded with "%s")'
    try:
        async with asyncio.timeout(timeout):
            while True:  # a gRPC client goes on trying to connect for as long as it has time
                try:
                    reader, writer = await asyncio.open_connection(target.address, target.real_port(port))
                    try:
                        answer = await _ask(reader, writer, address, service)
                    finally:
                        writer.transport.abort()
                    break
                except (OSError, asyncio.IncompleteReadError):
                    await asyncio.sleep(RECONNECT_SECONDS)
    except TimeoutError:
        return Outcome(
            "failure", f'timeout: failed to connect service "{address}" within {int(timeout)}s: context deadline exceeded'
        )
    status = serving_status(answer) if answer is not None else None
    if status is None:
        return Outcome("failure", "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): ")
    if status != 1:
        return Outcome("failure", failed % STATUSES.get(status, str(status)))
    return Outcome("success", "service healthy")
