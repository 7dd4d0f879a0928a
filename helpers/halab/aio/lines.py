"""What a program writes into a pipe, line by line."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator


async def lines(descriptor: int, longest: int) -> AsyncIterator[bytes]:
    """The lines that come from a pipe, with their newlines, until its last writer has closed it. The descriptor is ours to close.

    A line of more than ``longest`` bytes comes in pieces, and the last one may lack its newline.
    """
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=longest)
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", 0))
    try:
        while True:
            try:
                yield await reader.readuntil(b"\n")
            except asyncio.IncompleteReadError as rest:
                if rest.partial:
                    yield rest.partial
                return
            except asyncio.LimitOverrunError as over:
                yield await reader.readexactly(over.consumed)
    finally:
        transport.close()
