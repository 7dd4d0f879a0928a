"""One connection of a user to a local port, carried on to a pod: what becomes of it when the pod, or the way there, fails.

A connection that the pod refuses or breaks off is broken off here too: so users would see it. A connection that only the way to the cluster
broke went astray: that says nothing about the application, so it must not look like a failure of it. A request whose answer has not begun is sent
again (GET and HEAD) or answered with ``X-Halab-Astray``; all else is written down for whoever counts failures (``astray_at``).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import cast

from halab.backends.forward import Lost, Place, Refused, Sessions, Stream
from halab.settings import ASTRAY_HEADER

log = logging.getLogger(__name__)

TRIES = 3  # pods that one connection tries
LOSSES = 2  # ways; each takes a while to be found broken, and the user will not wait for more
KEPT = 64 * 1024  # bytes of a request that may be sent a second time
SPEAK_SECONDS = 0.5  # that a user who has not said anything yet is given, to be told in the words of HTTP
REPEATABLE = (b"GET ", b"HEAD ", b"OPTIONS ")
METHODS = (*REPEATABLE, b"POST ", b"PUT ", b"PATCH ", b"DELETE ")
REMEMBERED = 1000

_astray: dict[int, deque[tuple[float, str]]] = {}  # by this machine's port


def astray_at(port: int, since: float, until: float) -> str:
    """Why a connection to ``port`` of 127.0.0.1 went astray between two times (Unix); empty where none did. Each is told once."""
    found = _astray.get(port, ())
    for entry in found:
        if since <= entry[0] <= until:
            cast("deque[tuple[float, str]]", found).remove(entry)
            return entry[1]
    return ""


class Call(asyncio.Protocol):
    """``choose`` gives the pods to try, best first."""

    def __init__(self, sessions: Sessions, namespace: str, choose: Callable[[], list[Place]], port: int) -> None:
        self._sessions, self._namespace, self._choose, self._port = sessions, namespace, choose, port
        self._early = bytearray()  # what the user has said, until an answer begins
        self._spoke = asyncio.Event()
        self._whole = True  # ``_early`` holds all of it
        self._ended = False  # the user has said all
        self._answered = False
        self._repeats = 0
        self._place = Place("", 0)
        self._stream: Stream | None = None
        self._task: asyncio.Task[None] | None = None

    # The user's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._task = asyncio.get_running_loop().create_task(self._connect())

    def data_received(self, data: bytes) -> None:
        self._spoke.set()
        if not self._answered and self._whole:
            self._whole = len(self._early) + len(data) <= KEPT
            self._early += data
        if self._stream is not None:
            self._stream.send(data)
            if self._stream.session.congested:
                self._transport.pause_reading()
                self._task = asyncio.get_running_loop().create_task(self._resume(self._stream))
        elif not self._whole:
            self._transport.pause_reading()  # until there is a way

    def eof_received(self) -> bool:
        self._ended = True
        if self._stream is not None:
            self._stream.finish()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        if self._task is not None:
            self._task.cancel()
        if self._stream is not None:
            self._stream.close()

    async def _resume(self, stream: Stream) -> None:
        await stream.session.drained()
        self._transport.resume_reading()

    # The way

    async def _connect(self) -> None:
        losses = 0
        for attempt in range(TRIES):
            found = self._choose()
            if not found:
                self._transport.abort()
                return
            self._place = found[attempt % len(found)]
            try:
                session = await self._sessions.get(self._namespace, self._place)
                self._stream = await session.stream(self._place.port, self)
                break
            except Refused as error:
                log.debug("%s", error)
                if not error.gone or attempt + 1 >= len(found):  # the next one only where this is not known to be gone yet
                    self._transport.abort()
                    return
            except Lost as error:
                losses += 1
                if losses == LOSSES:
                    await self._tell(str(error))
                    return
        if self._stream is None:
            self._transport.abort()
            return
        if self._early:
            self._stream.send(bytes(self._early))
        if not self._whole:
            self._early.clear()
            self._transport.resume_reading()
        if self._ended:
            self._stream.finish()

    def received(self, data: bytes) -> None:
        if not self._answered:
            self._answered = True
            self._early.clear()
        self._transport.write(data)

    def ended(self) -> None:
        self._stream = None
        self._transport.close()

    def broken(self, reason: str) -> None:
        self._stream = None
        self._task = asyncio.get_running_loop().create_task(self._after(reason))

    async def _after(self, reason: str) -> None:
        """The session broke off under this connection."""
        why = await self._sessions.blame(self._namespace, self._place)
        if not why:
            self._transport.abort()
        elif not self._answered and self._whole and self._repeats < TRIES and self._early.startswith(REPEATABLE):
            self._repeats += 1
            await self._connect()
        else:
            await self._tell(f"{why} ({reason})")

    async def _tell(self, why: str) -> None:
        """It went astray: say so, in the answer where there can be one."""
        log.debug("a request went astray on the way to the cluster: %s", why)
        if not self._early and not self._answered:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._spoke.wait(), SPEAK_SECONDS)
        if not self._answered and self._early.startswith(METHODS):
            text = f"went astray on halab's way to the cluster, whatever the application does: {why}\n".encode()
            safe = why.encode("ascii", "replace").decode().replace("\r", " ").replace("\n", " ")
            head = f"HTTP/1.1 502 Bad Gateway\r\n{ASTRAY_HEADER}: {safe}\r\nContent-Type: text/plain\r\nContent-Length: {len(text)}\r\n"
            self._transport.write(head.encode() + b"Connection: close\r\n\r\n" + text)
            self._transport.close()
            return
        _astray.setdefault(self._port, deque(maxlen=REMEMBERED)).append((time.time(), why))
        self._transport.abort()
