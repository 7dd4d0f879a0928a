"""hostPort: a port of the node's address that leads to a container's port (what the portmap plugin does in a real node)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import cast

from halab.cluster.kube.types import Obj

from .checks import Target

log = logging.getLogger(__name__)

READ = 64 * 1024
IDLE_SECONDS = 30.0  # after which a client of datagrams is forgotten
MOST_CLIENTS = 1000  # of datagrams, at a time
Address = tuple[str, int]


def wanted(pod: Obj) -> Iterator[tuple[str, str, int, int]]:
    """(protocol, hostIP or empty, hostPort, containerPort) of each port that asks for one. On the host's network nothing is to be done."""
    if pod["spec"].get("hostNetwork"):
        return
    for section in ("initContainers", "containers"):
        for container in pod["spec"].get(section) or ():
            for port in container.get("ports") or ():
                if port.get("hostPort"):
                    yield port.get("protocol", "TCP"), port.get("hostIP", ""), int(port["hostPort"]), int(port["containerPort"])


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(READ):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


class _Back(asyncio.DatagramProtocol):
    """The way from the pod to one client."""

    def __init__(self, front: _Front, client: Address) -> None:
        self.front, self.client = front, client
        self.used = time.monotonic()

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self.used = time.monotonic()
        self.front.transport.sendto(data, self.client)

    def error_received(self, exc: Exception) -> None:
        log.debug("host port: %s", exc)  # nobody listens in the pod: the datagram is lost, as datagrams may be


class _Front(asyncio.DatagramProtocol):
    """Datagrams for a host port: each client has a socket of its own towards the pod, for as long as it is used."""

    transport: asyncio.DatagramTransport

    def __init__(self, inner: Address) -> None:
        self.inner = inner
        self.ways: dict[Address, asyncio.Future[tuple[asyncio.DatagramTransport, _Back]]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._drop(time.monotonic() - IDLE_SECONDS)
        if addr not in self.ways and len(self.ways) >= MOST_CLIENTS:
            return
        if addr not in self.ways:
            loop = asyncio.get_running_loop()
            way = loop.create_datagram_endpoint(lambda: _Back(self, addr), remote_addr=self.inner)
            self.ways[addr] = asyncio.ensure_future(way)
        self.ways[addr].add_done_callback(lambda way: _pass_on(way, data))

    def connection_lost(self, exc: Exception | None) -> None:
        self._drop(float("inf"))

    def _drop(self, before: float) -> None:
        for client, way in list(self.ways.items()):
            if way.done() and (way.cancelled() or way.exception() is not None or way.result()[1].used < before):
                del self.ways[client]
                if not way.cancelled() and way.exception() is None:
                    way.result()[0].close()


def _pass_on(way: asyncio.Future[tuple[asyncio.DatagramTransport, _Back]], data: bytes) -> None:
    if not way.cancelled() and way.exception() is None:
        transport, back = way.result()
        back.used = time.monotonic()
        transport.sendto(data)


class HostPorts:
    """The open host ports of one pod."""

    def __init__(self) -> None:
        self._servers: list[asyncio.Server | asyncio.DatagramTransport] = []

    async def open(self, pod: Obj, node_address: str, localhost: str, target: Target) -> None:
        """``localhost`` is where the node has what a pod on its network calls so."""
        for protocol, host, port, inner in wanted(pod):
            address = node_address if host in ("", "0.0.0.0") else localhost if host == "127.0.0.1" else host
            try:
                if protocol == "TCP":
                    server = await asyncio.start_server(self._connection(target, inner), address, target.real_port(port))
                    self._servers.append(server)
                elif protocol == "UDP":
                    self._servers.append(await self._datagrams(address, target.real_port(port), target, inner))
            except OSError as error:
                log.warning("host port %s:%d of pod %s: %s", address, port, pod["metadata"]["name"], error)

    async def _datagrams(self, address: str, port: int, target: Target, inner: int) -> asyncio.DatagramTransport:
        front = _Front((target.address, target.real_port(inner)))
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: front, local_addr=(address, port))
        return transport

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
