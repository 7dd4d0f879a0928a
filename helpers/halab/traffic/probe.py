"""The probe: requests at a constant rate, each on a new connection, in a process of its own.

Open loop: request number i is due at start + i/rate, whatever became of the others, and its latency counts from that moment. A closed
loop (send, wait, send) would slow down together with what it measures and hide the very outage it should show.

    python -m halab.traffic.probe URL --rate 20 [--duration 10] [--host NAME] [--out FILE]
    python -m halab.traffic.probe URL --profile 5,5,40,40,5     a recorded load: a rate for each second, then the end

Writes the record (see ``record``) to standard output in batches, and to FILE too. Ends with its parent, on SIGTERM, or after the
duration; what is under way then is still awaited (at most the time-out).
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import errno
import math
import os
import signal
import ssl
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO
from urllib.parse import urlsplit

import httptools

from halab.settings import ASTRAY_HEADER
from halab.traffic.record import ASTRAY, Request, dump

FLUSH_EVERY = 0.1  # seconds between two batches: a failure is on screen at once, and a batch costs one write
MOST_UNDER_WAY = 4000  # connections; beyond, a request fails as "too many under way" instead of exhausting descriptors
PR_SET_PDEATHSIG = 1
ASTRAY_NAME = ASTRAY_HEADER.encode()


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go. ``host`` is the Host header (and the name asked for with TLS)."""

    address: str
    port: int
    path: str = "/"
    host: str = ""
    tls: bool = False

    @classmethod
    def of(cls, url: str, host: str = "", path: str = "") -> Target:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is not a URL such as http://127.1.0.2:80/")
        port = parts.port or (443 if parts.scheme == "https" else 80)
        where = path if path and path != "/" else (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(parts.hostname, port, where, host or parts.netloc, parts.scheme == "https")

    def request(self) -> bytes:
        return f"GET {self.path} HTTP/1.1\r\nHost: {self.host}\r\nUser-Agent: halab-probe\r\nConnection: close\r\n\r\n".encode()

    def context(self) -> ssl.SSLContext | None:
        if not self.tls:
            return None
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context


class _Answer(asyncio.Protocol):
    """Reads one answer; ``done`` gets (status, served by) when it is whole."""

    def __init__(self, request: bytes, done: asyncio.Future[tuple[int, str]]) -> None:
        self.request, self.done, self.by, self.astray = request, done, "", ""
        self.parser = httptools.HttpResponseParser(self)
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self.transport = transport  # type: ignore[assignment]
        self.transport.write(self.request)  # type: ignore[union-attr]

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self._fail(ConnectionError("not an HTTP answer"))

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"x-served-by":
            self.by = value.decode("latin-1")
        elif name.lower() == ASTRAY_NAME:
            self.astray = value.decode("latin-1")

    def on_message_complete(self) -> None:
        if self.astray:
            self._fail(ConnectionError(f"{ASTRAY}: {self.astray}"))
        elif not self.done.done():
            self.done.set_result((self.parser.get_status_code(), self.by))
        if self.transport is not None:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(exc or ConnectionResetError("connection closed before an answer"))

    def _fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


class Probe:
    """Sends and records. ``out`` are binary files that each batch is written to."""

    def __init__(
        self, target: Target, rate: float, out: list[BinaryIO], *, timeout: float = 5.0, profile: Sequence[float] = ()
    ) -> None:
        if rate <= 0:
            raise ValueError(f"the rate is in requests a second and above 0, not {rate}")
        self.target, self.rate, self.out, self.timeout = target, rate, out, timeout
        self._due = due_times(profile)
        self._profiled = bool(profile)
        self._request, self._context = target.request(), target.context()
        self._batch: list[Request] = []
        self._under_way: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        self._stopping.set()

    async def run(self, duration: float | None = None) -> None:
        loop = asyncio.get_running_loop()
        flusher = asyncio.create_task(self._flush_often())
        start, unix = loop.time(), time.time()
        number = 0
        while not self._stopping.is_set() and self._more(number, duration):
            offset = self._due[number] if self._profiled else number / self.rate
            due = start + offset
            if (wait := due - loop.time()) > 0:
                try:
                    await asyncio.wait_for(self._stopping.wait(), wait)
                except TimeoutError:
                    pass
                continue
            task = asyncio.create_task(self._one(due, unix + offset))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
            number += 1
            if number % 64 == 0:  # a burst that catches up must let answers be read in between
                await asyncio.sleep(0)
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=self.timeout + 1)
        flusher.cancel()
        self._flush()

    def _more(self, number: int, duration: float | None) -> bool:
        if self._profiled:
            return number < len(self._due)
        return duration is None or number < duration * self.rate

    async def _one(self, due: float, at: float) -> None:
        loop = asyncio.get_running_loop()
        status, by, error = 0, "", ""
        if len(self._under_way) > MOST_UNDER_WAY:
            self._batch.append(Request(at, 0.0, 0, "", "too many under way"))
            return
        done: asyncio.Future[tuple[int, str]] = loop.create_future()
        transport: asyncio.BaseTransport | None = None
        try:
            async with asyncio.timeout_at(due + self.timeout):
                transport, _ = await loop.create_connection(
                    lambda: _Answer(self._request, done),
                    self.target.address,
                    self.target.port,
                    ssl=self._context,
                    server_hostname=(self.target.host or self.target.address) if self._context else None,
                )
                status, by = await done
        except (OSError, TimeoutError) as exc:
            error = reason(exc)
        finally:
            if transport is not None:
                transport.close()
            if done.done() and not done.cancelled():
                done.exception()  # seen, also when the time-out came first
        self._batch.append(Request(at, loop.time() - due, status, by, error))

    async def _flush_often(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_EVERY)
            self._flush()

    def _flush(self) -> None:
        if self._batch:
            data, self._batch = dump(self._batch), []
            for file in self.out:
                file.write(data)
                file.flush()


def due_times(profile: Sequence[float]) -> list[float]:
    """Seconds from the start at which requests are due: within second i, ``profile[i]`` of them, evenly (fractions add up)."""
    found: list[float] = []
    total = 0.0
    for second, rate in enumerate(profile):
        if rate < 0:
            raise ValueError(f"a rate is 0 or more requests a second, not {rate}")
        before, total = total, total + rate
        found += [second + (number - before) / rate for number in range(math.ceil(before), math.ceil(total))]
    return found


def reason(error: BaseException) -> str:
    """Why no answer came, in a few words that can be counted."""
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, ConnectionResetError):
        return "connection closed before an answer"
    if isinstance(error, OSError) and error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH):
        return "no route"
    return str(error) or type(error).__name__


async def _main(options: argparse.Namespace) -> None:
    files: list[BinaryIO] = [sys.stdout.buffer]
    if options.out:
        files.append(open(options.out, "wb"))  # noqa: SIM115 - closed when the process ends, which is when the record ends
    profile = [float(rate) for rate in options.profile.split(",")] if options.profile else []
    target = Target.of(options.url, options.host, options.path)
    probe = Probe(target, options.rate, files, timeout=options.timeout, profile=profile)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, probe.stop)
    await probe.run(options.duration)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="halab.traffic.probe", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("url")
    parser.add_argument("--rate", type=float, default=20.0)
    parser.add_argument("--duration", type=float)
    parser.add_argument("--profile", default="", help="a rate for each second, separated by commas; instead of rate and duration")
    parser.add_argument("--host", default="")
    parser.add_argument("--path", default="")
    parser.add_argument("--timeout", type=float, default=5.0)
    parser.add_argument("--out")
    options = parser.parse_args(arguments)
    parent = os.getppid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before the call took effect
        return 0
    try:
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_main(options))
    except BrokenPipeError:  # whoever listened is gone
        sys.stderr.close()
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
