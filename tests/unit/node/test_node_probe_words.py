"""What an HTTP probe says of a server that is none, in Go's words."""

from __future__ import annotations

import asyncio

import pytest

from halab.cluster.node import checks
from halab.cluster.node.checks import Target


@pytest.mark.parametrize(
    ("scheme", "answer", "words"),
    [
        ("HTTPS", b"HTTP/1.0 400 Bad Request\r\n\r\n", "http: server gave HTTP response to HTTPS client"),
        ("HTTP", b"", "EOF"),
        (
            "HTTP",
            b'\x15\x03\x01\x00\x02\x02"\n',
            'net/http: HTTP/1.x transport connection broken: malformed HTTP response "\\x15\\x03\\x01\\x00\\x02\\x02\\""',
        ),
    ],
)
async def test_a_server_of_another_kind_is_told_apart(scheme: str, answer: bytes, words: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        call = checks.http_call({"port": port, "scheme": scheme}, {}, "127.0.0.1")
        outcome = await checks.http(Target("127.0.0.1", 0), call, 10)
    assert (outcome.result, outcome.output) == ("failure", f'Get "{scheme.lower()}://127.0.0.1:{port}/": {words}')


async def test_a_host_without_an_address_is_not_found() -> None:
    outcome = await checks.tcp(Target("127.0.0.1", 0), "nosuch.invalid", 80, 10)
    assert (outcome.result, outcome.output) == ("failure", "dial tcp: lookup nosuch.invalid: no such host")
