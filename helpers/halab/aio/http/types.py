"""The vocabulary of the server: ASGI's types, a connection that was taken over, and the limits that hold for all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_HEADER_BYTES = 1 << 20  # as Go's net/http
BODY_AHEAD = 256 * 1024  # how much of a body is read before the application asks for it
SMALL_BODY = 64 * 1024  # a body up to this size is waited for: the application then never waits itself
HANDSHAKE_SECONDS = 30.0
HEADER_SECONDS = 60.0  # from the first byte of a request to its last header (and the end of a small body)
IDLE_SECONDS = 300.0  # longer than clients keep connections in their pools (Go: 90)
STALLED_SECONDS = 60.0  # an answer of which the client reads nothing
LINGER_SECONDS = 2.0  # how long a refused body is drained, so that the client can read why
SWEEP_SECONDS = 15.0


@dataclass(slots=True)
class Upgraded:
    """A connection that the application took over. ``head`` is what the client sent right behind its request (usually nothing):
    the first bytes of the new protocol; ``reader`` goes on from there."""

    head: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
