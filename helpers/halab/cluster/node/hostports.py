"""hostPort: a port of the node's address that leads to a container's port (what the portmap plugin does in a real node)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress

from halab.cluster.kube.types import Obj

from .checks import Target

log = logging.getLogger(__name__)

READ = 64 * 1024


def wanted(pod: Obj) -> Iterator[tuple[str, int, int]]:
    """(hostIP or empty, hostPort, containerPort) of each TCP port that asks for one. On the host's network nothing is to be done."""
    if pod["spec"].get("hostNetwork"):
        return
    for section in ("initContainers", "containers"):
        for container in pod["spec"].get(section) or ():
            for port in container.get("ports") or ():
                if port.get("hostPort") and port.get("protocol", "TCP") == "TCP":
                    yield port.get("hostIP", ""), int(port["hostPort"]), int(port["containerPort"])


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(READ):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


class HostPorts:
    """The open host ports of one pod."""

    def __init__(self) -> None:
        self._servers: list[asyncio.Server] = []

    async def open(self, pod: Obj, node_address: str, target: Target) -> None:
        for host, port, inner in wanted(pod):
            address = node_address if host in ("", "0.0.0.0") else host
            try:
                self._servers.append(await asyncio.start_server(self._connection(target, inner), address, target.real_port(port)))
            except OSError as error:
                log.warning("host port %s:%d of pod %s: %s", address, port, pod["metadata"]["name"], error)

    def _connection(self, target: Target, port: int) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                inner_reader, inner_writer = await asyncio.open_connection(target.address, target.real_port(port))
            except OSError:
                writer.transport.abort()
                return
            try:
                await asyncio.gather(_copy(reader, inner_writer), _copy(inner_reader, writer))
            finally:
                inner_writer.close()
                writer.close()

        return serve

    def close(self) -> None:
        for server in self._servers:
            server.close()
        self._servers.clear()
