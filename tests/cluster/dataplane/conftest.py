"""A real API server and a real data plane; the test plays the controllers and the pods (small HTTP servers on pod addresses)."""

from __future__ import annotations

import asyncio
import http.client
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from cluster.api_alone import START_SECONDS, api_server
from cluster.bare_cluster import make
from halab.cluster.client import Client
from halab.cluster.dataplane.main import run
from halab.cluster.kube.kinds import ENDPOINT_SLICES, NODES, SERVICES
from halab.cluster.kube.types import Obj
from halab.settings import ClusterConfig


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[ClusterConfig]:
    with api_server(tmp_path) as config:
        yield config


async def eventually(check: Callable[[], Any], *, within: float = 5.0, every: float = 0.005) -> float:
    """Until ``check`` (a function or coroutine function) is true; the seconds that took. The last failure is raised after ``within``."""
    began = time.monotonic()
    while True:
        try:
            found = check()
            if isinstance(found, Awaitable):
                found = await found
            if found:
                return time.monotonic() - began
            problem: Exception = AssertionError(f"still {found!r}")
        except (AssertionError, OSError, http.client.HTTPException) as error:
            problem = error
        if time.monotonic() - began > within:
            raise problem
        await asyncio.sleep(every)


class Plane:
    """A running data plane, and what a test does to it."""

    def __init__(self, config: ClusterConfig, client: Client, stack: AsyncExitStack) -> None:
        self.config, self.client, self._stack = config, client, stack
        self._slices: dict[tuple[str, str], list[Obj]] = {}

    def pod_address(self, number: int) -> str:
        return f"{self.config.addresses.prefix}.1.{number}"

    async def pod(self, number: int, port: int = 80) -> str:
        """A server on the pod's address that answers with its name and the path; the address."""
        address = self.pod_address(number)

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while request := await reader.readuntil(b"\r\n\r\n"):
                    line = request.split(b"\r\n", 1)[0].decode()
                    headers = request.decode("latin-1").lower()
                    body = f"pod-{number} {line.split(' ')[1]}\n"
                    if "x-echo:" in headers:
                        body += headers
                    writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
                    await writer.drain()
            except (asyncio.IncompleteReadError, ConnectionError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(serve, address, self.config.port(port))
        self._stack.callback(server.close)
        return address

    async def service(self, name: str, ports: list[Obj] | None = None, namespace: str = "default", **spec: Any) -> Obj:
        body = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": namespace, "annotations": spec.pop("annotations", {})},
            "spec": {"ports": ports or [{"port": 80}], **spec},
        }
        return await self.client.create(SERVICES, body)

    async def endpoints(
        self,
        name: str,
        addresses: list[str],
        port: int = 80,
        namespace: str = "default",
        conditions: Obj | None = None,
        **extra: Any,
    ) -> None:
        """Set the Service's only EndpointSlice."""
        state = conditions or {"ready": True, "serving": True, "terminating": False}
        found = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": f"{name}-1", "namespace": namespace, "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [address], "conditions": state, **extra} for address in addresses],
            "ports": [{"name": "", "port": port, "protocol": "TCP"}],
        }
        if (namespace, name) in self._slices:
            patch = {"endpoints": found["endpoints"]}
            await self.client.patch(ENDPOINT_SLICES, f"{name}-1", namespace, patch)
        else:
            self._slices[(namespace, name)] = [await self.client.create(ENDPOINT_SLICES, found)]

    async def nodes(self) -> None:
        for index, name in enumerate(self.config.nodes):
            spec = {"podCIDR": self.config.addresses.pod_cidr(index)}
            await self.client.create(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": spec})
            addresses = [{"type": "InternalIP", "address": self.config.addresses.node(index)}]
            await self.client.patch(NODES, name, None, {"status": {"addresses": addresses}}, subresource="status")

    def get(
        self, address: str, port: int = 80, path: str = "/", *, host: str = "", headers: dict[str, str] | None = None
    ) -> tuple[int, str, dict[str, str]]:
        """One request on a connection of its own: status, body, headers."""
        return request(address, self.config.port(port), path, host=host, headers=headers)

    async def fetch(self, *arguments: Any, **options: Any) -> tuple[int, str, dict[str, str]]:
        """``get`` without holding up the servers of this process."""
        return await asyncio.to_thread(self.get, *arguments, **options)

    async def ingress(
        self, path: str = "/", *, host: str = "", headers: dict[str, str] | None = None
    ) -> tuple[int, str, dict[str, str]]:
        return await self.fetch(self.config.addresses.ingress, 80, path, host=host, headers=headers)


def request(
    address: str, port: int, path: str = "/", *, host: str = "", headers: dict[str, str] | None = None, source: str = ""
) -> tuple[int, str, dict[str, str]]:
    connection = http.client.HTTPConnection(address, port, timeout=5, source_address=(source, 0) if source else None)
    try:
        connection.request("GET", path, headers={**({"Host": host} if host else {}), **(headers or {})})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), {name.lower(): value for name, value in answer.getheaders()}
    finally:
        connection.close()


@pytest.fixture
async def plane(cluster: ClusterConfig) -> AsyncIterator[Plane]:
    ready = asyncio.Event()
    work = asyncio.create_task(run(cluster, ready=ready.set))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait({work, waiting}, timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if work.done():
        work.result()
    assert ready.is_set()
    client = Client.from_config(cluster, "admin")
    async with AsyncExitStack() as stack:
        yield Plane(cluster, client, stack)
    client.close()
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)


@pytest.fixture
def certificates(tmp_path: Path) -> tuple[str, str]:
    """PEM chain and key of a certificate that somebody signed."""
    config = make(tmp_path / "pki" / "test", 7)
    return config.certificate.read_text(), config.key.read_text()
