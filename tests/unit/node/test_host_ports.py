"""Host ports: datagrams find their way to the pod and back, each client's to itself."""

from __future__ import annotations

import asyncio
import socket

from halab.cluster.node.checks import Target
from halab.cluster.node.hostports import HostPorts


class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.transport.sendto(b"for " + data, addr)


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_datagrams_pass_both_ways_and_the_hosts_localhost_is_the_nodes_own() -> None:
    loop = asyncio.get_running_loop()
    pod, _ = await loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
    inner, outer = pod.get_extra_info("sockname")[1], free_port()
    ports = [{"containerPort": inner, "hostPort": outer, "hostIP": "127.0.0.1", "protocol": "UDP"}]
    host_ports = HostPorts()
    await host_ports.open(
        {"metadata": {"name": "p"}, "spec": {"containers": [{"ports": ports}]}}, "127.9.9.1", "127.9.9.2", Target("127.0.0.1", 0)
    )
    try:
        for word in (b"one", b"two", b"one again"):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.settimeout(10)
                client.sendto(word, ("127.9.9.2", outer))
                answer, sender = await asyncio.to_thread(client.recvfrom, 100)
                assert (answer, sender) == (b"for " + word, ("127.9.9.2", outer))
    finally:
        host_ports.close()
        pod.close()
