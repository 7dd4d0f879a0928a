"""Requests carried on to another server: bodies that are not read, not sent to their end, or not there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from halab.cluster.apiserver import forward
from halab.cluster.kube.status import ApiError

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(serve: Serve) -> AsyncIterator[forward.Target]:
    async with await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 20) as listening:
        yield forward.Target("127.0.0.1", listening.sockets[0].getsockname()[1])


async def pieces(count: int, *, breaks: bool = False) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"x" * 65536
        await asyncio.sleep(0)
    if breaks:
        raise ConnectionResetError("the client left")


async def test_a_server_that_answers_without_reading_on_is_heard() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno")
        await writer.drain()
        writer.close()

    async with server(refuse) as target:
        answer = await forward.stream(target, "POST", "/", (), pieces(200))
        assert (answer.status, await answer.read()) == (413, b"no")


async def test_half_a_body_never_passes_for_a_whole_one() -> None:
    got: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.set_result(await reader.read(-1))
        writer.close()

    async with server(read) as target:
        with pytest.raises(ApiError, match="the client left"):
            await forward.stream(target, "POST", "/", (), pieces(2, breaks=True))
        assert not (await got).endswith(b"0\r\n\r\n")


async def test_a_whole_body_arrives_and_the_answer_comes_back() -> None:
    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = await reader.readuntil(b"\r\n0\r\n\r\n")
        text = str(data.count(b"x")).encode()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(text), text))
        await writer.drain()
        writer.close()

    async with server(count) as target:
        answer = await forward.stream(target, "POST", "/", (), pieces(3))
        assert await answer.read() == b"196608"


async def test_a_server_that_hangs_up_is_named() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with server(hang_up) as target:
        with pytest.raises(ApiError, match=r"error trying to reach 127\.0\.0\.1"):
            await forward.stream(target, "GET", "/")


async def test_a_body_of_known_length_is_sent_with_its_length() -> None:
    async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(3 * 65536)
        text = b"%d %d" % (b"content-length: 196608" in head and b"chunked" not in head, len(body))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(text), text))
        await writer.drain()
        writer.close()

    async with server(read) as target:
        answer = await forward.stream(target, "POST", "/", [(b"content-length", b"196608")], pieces(3))
        assert await answer.read() == b"1 196608"


async def test_a_service_that_cannot_be_reached_is_unavailable() -> None:
    target = forward.Target("127.0.0.1", 1, service=True)
    with pytest.raises(
        ApiError, match=r"^error trying to reach service: dial tcp 127\.0\.0\.1:1: connect: connection refused$"
    ) as refused:
        await forward.stream(target, "GET", "/")
    assert refused.value.code == 503
