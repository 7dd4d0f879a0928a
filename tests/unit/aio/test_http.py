"""The HTTP server over real sockets of the loopback device."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cluster.bare_cluster import make
from halab.aio import http
from halab.aio.http.exchange import Exchange
from halab.settings import ClusterConfig

later: list[Exchange] = []  # answers whose handlers have returned
gone: list[asyncio.Event] = []  # what is set when their client leaves


def left() -> None:
    for event in gone:
        event.set()


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
    if scope["path"] == "/stream":
        answer: Exchange = scope["extensions"]["halab.answer"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        answer.push(b"first")
        answer.detach(left)
        later.append(answer)
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


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> ClusterConfig:
    return make(tmp_path_factory.mktemp("pki"), 1)


@pytest.fixture(params=["plain", "tls"])
async def port(request: pytest.FixtureRequest, authority: ClusterConfig) -> AsyncIterator[int]:
    global client_context
    sock = socket.create_server(("127.0.0.1", 0))
    ready = asyncio.Event()
    files: tuple[Path, ...] = ()
    client_context = None
    if request.param == "tls":
        files = (authority.certificate, authority.key)
        client_context = ssl.create_default_context(cafile=str(authority.ca_file))
        client_context.check_hostname = False
    task = asyncio.create_task(http.serve(echo, "", 0, *files, sock=sock, on_ready=ready.set))
    await ready.wait()
    yield sock.getsockname()[1]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


client_context: ssl.SSLContext | None = None  # of the server that the fixture started


async def exchange(port: int, *pieces: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client_context)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)
    if writer.can_write_eof():
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
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client_context)
    writer.write(GET % (b"x", b"connection: Upgrade\r\nupgrade: any\r\n") + b"early ")
    await reader.readuntil(b"EARLY ")
    writer.write(b"late")
    await reader.readuntil(b"LATE")
    writer.close()


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


async def test_a_small_body_that_comes_in_pieces_is_handed_over_whole(port: int) -> None:
    head = b"POST /p HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 6\r\n\r\n"
    assert (await exchange(port, head, b"ab", b"cd", b"ef")).endswith(b"POST /p? 6\n")


async def test_a_body_in_chunks_is_read_to_its_end(port: int) -> None:
    head = b"POST /p HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
    assert (await exchange(port, head, b"2\r\nab\r\n", b"0\r\n\r\n")).endswith(b"POST /p? 2\n")


async def test_an_answer_goes_on_after_its_handler_and_the_connection_after_the_answer(port: int) -> None:
    later.clear()
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client_context)
    writer.write(GET % (b"stream", b""))
    await reader.readuntil(b"first\r\n")
    assert later[0].push(b"second") >= 0
    await reader.readuntil(b"second\r\n")
    later[0].end()
    await reader.readuntil(b"0\r\n\r\n")
    writer.write(GET % (b"next", CLOSE))
    assert (await reader.read()).endswith(b"GET /next? 0\n")
    writer.close()


async def test_a_detached_answer_learns_that_its_client_has_left(port: int) -> None:
    later.clear()
    gone[:] = [asyncio.Event()]
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client_context)
    writer.write(GET % (b"stream", b""))
    await reader.readuntil(b"first\r\n")
    writer.close()
    await asyncio.wait_for(gone[0].wait(), 5)
    assert later[0].push(b"nobody") == -1


async def test_who_speaks_plain_http_to_a_tls_port_is_told_so(port: int) -> None:
    if client_context is None:
        return  # nothing to mistake on a plain port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(GET % (b"", b""))
    assert b"Client sent an HTTP request to an HTTPS server." in await reader.read()
    writer.close()


async def test_a_client_that_reads_nothing_holds_no_more_than_the_transports_buffer(port: int) -> None:
    later.clear()
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client_context)
    writer.write(GET % (b"stream", b""))
    await reader.readuntil(b"first\r\n")
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    waiting = 0
    for _ in range(400):
        waiting = later[0].push(b"x" * 100_000)
        if waiting > 1_000_000:
            break
    assert waiting > 1_000_000, "the caller is told how much waits, so that it can drop the client"
    later[0].abort()
    await asyncio.sleep(0)
    assert later[0].push(b"more") == -1
    writer.close()
