"""SPDY and WebSocket framing, and the minimal gRPC health call."""

from __future__ import annotations

import os
import struct
import zlib

import pytest

from halab.aio import websocket
from halab.cluster.node.grpc_health import DATA, frame, request, serving_status
from halab.cluster.node.server import spdy
from halab.cluster.node.server.remote import exit_status


def test_the_header_dictionary_is_the_one_of_the_draft() -> None:
    assert len(spdy.DICTIONARY) == 1423
    assert zlib.adler32(spdy.DICTIONARY) == 0xE3C6A7C2


def test_two_sides_understand_each_other_byte_by_byte() -> None:
    client, server = spdy.Connection(server=False), spdy.Connection()
    client.open(1, {"streamtype": "error"})
    client.open(3, {"streamType": "stdin", "x": "y"})
    client.send(3, b"hello", fin=True)
    events = [event for byte in client.take() for event in server.receive(bytes((byte,)))]
    assert events == [
        spdy.Opened(1, {"streamtype": "error"}, False),
        spdy.Opened(3, {"streamtype": "stdin", "x": "y"}, False),
        spdy.Data(3, b"hello", True),
    ]
    server.reply(1)
    server.send(1, b"x" * 100_000, fin=True)
    back = client.receive(server.take())
    assert back[0] == spdy.Replied(1, False)
    assert b"".join(event.data for event in back[1:] if isinstance(event, spdy.Data)) == b"x" * 100_000
    assert [event.fin for event in back[1:] if isinstance(event, spdy.Data)] == [False, True]


def test_a_ping_is_echoed_and_an_echo_is_not() -> None:
    server = spdy.Connection()
    ping = struct.pack(">HHBBH", 0x8003, spdy.PING, 0, 0, 4) + struct.pack(">I", 1)
    assert server.receive(ping) == []
    assert server.take() == ping
    server.receive(ping[:-4] + struct.pack(">I", 2))
    assert server.take() == b""


def test_garbage_is_refused() -> None:
    with pytest.raises(spdy.SpdyError):
        spdy.Connection().receive(b"\x80\x02" + bytes(20))


def test_the_handshake_key_of_the_rfc() -> None:
    assert websocket.accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def masked(opcode: int, payload: bytes, *, final: bool = True) -> bytes:
    mask = os.urandom(4)
    body = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    size = len(payload)
    head = bytes(((0x80 if final else 0) | opcode,))
    head += bytes((0x80 | size,)) if size < 126 else bytes((0xFE,)) + struct.pack(">H", size)
    return head + mask + body


def test_messages_come_whole_from_fragments_and_pings_are_answered() -> None:
    receiver = websocket.Receiver()
    data = (
        masked(websocket.BINARY, b"ab", final=False) + masked(websocket.PING, b"?") + masked(websocket.CONTINUATION, b"c" * 300)
    )
    messages = [message for byte in data for message in receiver.receive(bytes((byte,)))]
    assert messages == [b"ab" + b"c" * 300]
    assert bytes(receiver.outgoing) == websocket.encode(websocket.PONG, b"?")


def test_a_close_is_answered_and_ends_the_reading() -> None:
    receiver = websocket.Receiver()
    assert receiver.receive(masked(websocket.CLOSE, b"\x03\xe8") + masked(websocket.BINARY, b"late")) == []
    assert receiver.closed
    assert bytes(receiver.outgoing) == websocket.encode(websocket.CLOSE, b"\x03\xe8")


def test_unmasked_frames_of_a_client_are_refused() -> None:
    with pytest.raises(websocket.WebSocketError):
        websocket.Receiver().receive(websocket.encode(websocket.BINARY, b"x"))


@pytest.mark.parametrize("size", [0, 5, 300, 70_000])
def test_what_a_client_masks_a_server_reads_and_the_other_way_round(size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    assert websocket.Receiver().receive(websocket.encode(websocket.BINARY, data[:size], b"mask")) == [data[:size]]
    client = websocket.Receiver(client=True)
    assert client.receive(websocket.encode(websocket.BINARY, data[:size])) == [data[:size]]
    with pytest.raises(websocket.WebSocketError, match="server's"):
        client.receive(websocket.encode(websocket.BINARY, b"x", b"mask"))


def test_the_exit_code_travels_in_a_status() -> None:
    status = exit_status(3, ["sh", "-c", "exit 3"])
    assert status["reason"] == "NonZeroExitCode"
    assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]
    assert exit_status(0, ["true"])["status"] == "Success"


def test_a_health_request_carries_the_service_name() -> None:
    data = request("127.0.0.1:50051", "svc")
    assert data.startswith(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert data.endswith(frame(DATA, 1, 1, b"\x00\x00\x00\x00\x05\x0a\x03svc"))


@pytest.mark.parametrize(
    ("data", "status"), [(b"\0\0\0\0\2\x08\x01", 1), (b"\0\0\0\0\2\x08\x02", 2), (b"\0\0\0\0\0", 0), (b"", None)]
)
def test_the_health_answer_is_one_number(data: bytes, status: int | None) -> None:
    assert serving_status(data) == status
