"""The probe sends at its rate, open loop, and tells each outcome; against real sockets on loopback."""

import asyncio
import io
import itertools
import subprocess
import sys

import pytest

from halab.traffic.probe import Probe, Target
from halab.traffic.record import Request, load


async def serve(answer: bytes, delay: float = 0.0) -> tuple[asyncio.Server, int]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(delay)
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


async def probe(port: int, rate: float, duration: float, **options: float) -> list[Request]:
    out = io.BytesIO()
    await Probe(Target.of(f"http://127.0.0.1:{port}/"), rate, [out], **options).run(duration)
    return sorted(load(io.BytesIO(out.getvalue())))


OK = b"HTTP/1.1 200 OK\r\nX-Served-By: pod-a\r\nContent-Length: 2\r\n\r\nok"


async def test_every_request_due_is_recorded_with_who_answered() -> None:
    server, port = await serve(OK)
    async with server:
        record = await probe(port, 200, 0.25)
    assert len(record) == 50 and all(r.status == 200 and r.by == "pod-a" for r in record)


async def test_requests_are_due_at_the_rate_whatever_the_answers_take() -> None:
    server, port = await serve(OK, delay=0.2)  # a closed loop could send one or two in this time
    async with server:
        record = await probe(port, 100, 0.2)
    gaps = [b.at - a.at for a, b in itertools.pairwise(record)]
    assert len(record) == 20 and gaps == pytest.approx([0.01] * 19, abs=1e-5)
    assert all(r.latency >= 0.2 for r in record)


async def test_nobody_listening_is_connection_refused() -> None:
    server, port = await serve(OK)
    server.close()
    await server.wait_closed()
    record = await probe(port, 50, 0.1)
    assert {(r.status, r.error) for r in record} == {(0, "connection refused")}


async def test_an_error_status_is_a_failure_with_its_number() -> None:
    server, port = await serve(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
    async with server:
        record = await probe(port, 50, 0.1)
    assert {r.status for r in record} == {503} and not any(r.ok for r in record)


async def test_no_answer_in_time_is_timed_out() -> None:
    server, port = await serve(OK, delay=5)
    async with server:
        record = await probe(port, 50, 0.04, timeout=0.05)
    assert {r.error for r in record} == {"timed out"}


async def test_nonsense_instead_of_http_is_a_failure() -> None:
    server, port = await serve(b"hello there\r\n\r\n")
    async with server:
        record = await probe(port, 50, 0.04)
    assert {r.error for r in record} == {"not an HTTP answer"}


def test_as_a_program_it_ends_by_itself_and_refuses_what_is_no_url() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "halab.traffic.probe", "nginx.example.com"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and "is not a URL" in done.stderr
