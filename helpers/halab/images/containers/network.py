"""A container's place on the loopback network: its own address in 127.251.0.0/16, and forwarders for published ports."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket

from halab.errors import MachineError
from halab.images.containers.spec import Port

_LOCK_PORT = 6400  # held as long as the address is in use, as clusters hold theirs (127.1 to 127.250)


def claim_address() -> tuple[str, socket.socket]:
    """A free address and the socket that keeps others from taking it. Raises MachineError when there is none."""
    start = (os.getpid() * 7919) % 65000
    for step in range(2000):
        number = (start + step) % 65000 + 256
        address = f"127.251.{number >> 8}.{number & 255}"
        lock = socket.socket()
        try:
            lock.bind((address, _LOCK_PORT))
            lock.listen(1)
            return address, lock
        except OSError:
            lock.close()
    raise MachineError("loopback addresses 127.251.0.0/16", "none is free", "stop some containers: halab image ps")


async def publish(port: Port, address: str, shift: int) -> tuple[asyncio.Server, Port]:
    """Listen on the host's side of a port and pass connections on. Raises OSError when the port is taken."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = port.container + (shift if port.container < 1024 else 0)
        try:
            there_reader, there_writer = await asyncio.open_connection(address, target)
        except OSError:
            writer.transport.abort()
            return
        await asyncio.gather(_pump(reader, there_writer), _pump(there_reader, writer))
        for side in (writer, there_writer):
            side.close()

    server = await asyncio.start_server(connected, port.host_ip, port.host)
    bound = server.sockets[0].getsockname()[1]
    return server, Port(port.host_ip, bound, port.container)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
