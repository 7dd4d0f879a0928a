"""The HTTP server over real sockets of the loopback device."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from halab.aio import http


async def echo(scope: http.Scope, receive: http.Receive, send: http.Send) -> None:
    if upgrade := scope["extensions"].get("halab.upgrade"):
        taken: http.Upgraded = await upgrade()
        taken.writer.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + taken.head.upper())
        while data := await taken.reader.read(1000):
            taken.writer.write(data.upper())
        taken.writer.close()
        return
    if scope["path"] == "/refuse":
        await send({"type": "http.response.start", "status": 413, "headers": [(b"content-length", b"3")]})
        await send({"type": "http.response.body", "body": b"big"})
        return
    if scope["path"] == "/fail":
        raise RuntimeError("on purpose")
    size = 0
    while True:
        message = await receive()
        size += len(message["body"])
        if not message["more_body"]:
            break
    body = f"{scope['method']} {scope['path']}?{scope['query_string'].decode()} {size}\n".encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
async def port() -> AsyncIterator[int]:
    sock = socket.create_server(("127.0.0.1", 0))
    ready = asyncio.Event()
    task = asyncio.create_task(http.serve(echo, "", 0, sock=sock, on_ready=ready.set))
    await ready.wait()
    yield sock.getsockname()[1]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def exchange(port: int, *pieces: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)
    writer.write_eof()
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    return answer


GET = b"GET /%s HTTP/1.1\r\nhost: a\r\n%s\r\n"
CLOSE = b"connection: close\r\n"


async def test_a_path_is_decoded_and_the_query_is_kept_raw(port: int) -> None:
    answer = await exchange(port, GET % (b"a%20b?c=%20", CLOSE))
    assert answer.endswith(b"GET /a b?c=%20 0\n")


async def test_pipelined_requests_are_answered_in_order(port: int) -> None:
    answer = await exchange(port, GET % (b"1", b"") + GET % (b"2", b"") + GET % (b"3", CLOSE))
    assert answer.index(b"GET /1") < answer.index(b"GET /2") < answer.index(b"GET /3")


async def test_a_large_body_arrives_whole(port: int) -> None:
    head = b"POST /big HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 3000000\r\n\r\n"
    assert (await exchange(port, head, b"x" * 3_000_000)).endswith(b"POST /big? 3000000\n")


async def test_an_unread_body_does_not_hide_the_refusal(port: int) -> None:
    head = b"POST /refuse HTTP/1.1\r\nhost: a\r\ncontent-length: 900000\r\n\r\n"
    answer = await exchange(port, head, b"x" * 900_000)
    assert answer.startswith(b"HTTP/1.1 413") and answer.endswith(b"big") and b"connection: close" in answer


async def test_an_upgraded_connection_carries_raw_bytes_both_ways(port: int) -> None:
    answer = await exchange(port, GET % (b"x", b"connection: Upgrade\r\nupgrade: any\r\n") + b"early ", b"late")
    assert answer.endswith(b"EARLY LATE")


async def test_an_expected_continue_is_sent_when_the_body_is_asked_for(port: int) -> None:
    head = b"POST /c HTTP/1.1\r\nhost: a\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n"
    answer = await exchange(port, head, b"ab")
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200") and answer.endswith(b"POST /c? 2\n")


@pytest.mark.parametrize("junk", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nbad header\r\n\r\n", b"\x16\x03\x01\x02\x00" * 9])
async def test_what_is_not_http_is_refused_with_400(port: int, junk: bytes) -> None:
    assert (await exchange(port, junk)).startswith(b"HTTP/1.1 400 Bad Request")


async def test_a_head_without_end_is_refused(port: int) -> None:
    answer = await exchange(port, b"GET / HTTP/1.1\r\n", *(b"a%d: %s\r\n" % (n, b"x" * 60_000) for n in range(20)))
    assert answer.startswith(b"HTTP/1.1 431")


async def test_an_exception_is_a_500_and_the_server_goes_on(port: int) -> None:
    assert (await exchange(port, GET % (b"fail", CLOSE))).startswith(b"HTTP/1.1 500")
    assert (await exchange(port, GET % (b"fine", CLOSE))).startswith(b"HTTP/1.1 200")
