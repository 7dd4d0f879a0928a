"""Raw streams of the engine: attach and exec take over their HTTP connection.

Spoken here and not through the ``docker`` package, which reads ahead while it parses the answer's head and loses what a program writes at
once, and which has no asynchronous form. (https://docs.docker.com/reference/api/engine/, "Attach to a container")
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

HEADER = 8
CHUNK = 64 * 1024
LIMIT = 1 << 20


class Refused(Exception):
    """The engine's answer was an error; ``status`` is HTTP's."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


async def take_over(
    socket: str, path: str, body: dict[str, Any] | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """POST ``path`` at the engine's Unix socket; from then on the connection is the program's streams. Raises Refused, OSError."""
    reader, writer = await asyncio.open_unix_connection(socket, limit=LIMIT)
    try:
        data = json.dumps(body).encode() if body is not None else b""
        head = (
            f"POST {path} HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        )
        writer.write(head.encode() + data)
        answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status = int(answer.split(" ", 2)[1])
        if status not in (101, 200):
            raise Refused(status, await _message(reader, answer))
    except BaseException as error:
        writer.close()
        if isinstance(error, asyncio.IncompleteReadError):
            raise ConnectionResetError("the engine hung up") from error
        raise
    return reader, writer


async def _message(reader: asyncio.StreamReader, head: str) -> str:
    length = next((line.split(":")[1] for line in head.lower().splitlines() if line.startswith("content-length:")), "0")
    text = (await reader.readexactly(int(length))).decode(errors="replace")
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text.strip()


async def pieces(reader: asyncio.StreamReader, terminal: bool) -> AsyncIterator[tuple[bytes, bytes]]:
    """(``stdout`` or ``stderr``, data) until the stream ends. A terminal has one stream; else the engine puts a header before each piece."""
    try:
        while True:
            if terminal:
                if not (data := await reader.read(CHUNK)):
                    return
                yield b"stdout", data
                continue
            header = await reader.readexactly(HEADER)
            left, stream = int.from_bytes(header[4:], "big"), b"stderr" if header[0] == 2 else b"stdout"
            while left:
                if not (data := await reader.read(min(left, CHUNK))):
                    return
                left -= len(data)
                yield stream, data
    except (asyncio.IncompleteReadError, ConnectionError):
        return
