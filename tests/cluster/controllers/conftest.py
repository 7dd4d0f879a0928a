"""An API server and the controller manager in this process; nodes and kubelets are played by the tests."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from cluster.api_alone import api_server
from halab.cluster.client import Client, Informer, rfc3339
from halab.cluster.controllers.main import run
from halab.cluster.kube.kinds import NAMESPACES, PODS, Kind
from halab.cluster.kube.status import ApiError
from halab.cluster.kube.types import Obj
from halab.settings import ClusterConfig

WITHIN = 15.0  # seconds; far more than anything here takes on an idle machine


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[ClusterConfig]:
    with api_server(tmp_path) as config:
        yield config


class World:
    """What a test sees of the cluster: caches to wait on, and a client to act with."""

    namespace = "test"

    def __init__(self, client: Client) -> None:
        self.client = client
        self._informers: dict[Kind, Informer] = {}
        self._changed = asyncio.Event()

    async def watch(self, kind: Kind) -> Informer:
        if kind not in self._informers:
            informer = self._informers[kind] = Informer(self.client, kind)
            informer.add_handler(lambda old, new: self._changed.set())
            await informer.start().synced()
        return self._informers[kind]

    async def until(self, kind: Kind, condition: Callable[[list[Obj]], bool], *, namespace: str | None = None) -> list[Obj]:
        """The objects of the namespace, once ``condition`` holds of them."""
        informer = await self.watch(kind)
        try:
            async with asyncio.timeout(WITHIN):
                while True:
                    self._changed.clear()
                    found = [
                        each
                        for each in informer.objects()
                        if each["metadata"].get("namespace", "") in ("", namespace or self.namespace)
                    ]
                    if condition(found):
                        return sorted(found, key=lambda each: each["metadata"]["name"])
                    await self._changed.wait()
        except TimeoutError:
            shown = [(each["metadata"]["name"], each.get("status")) for each in found]
            raise AssertionError(f"{kind.plural} did not become as they should: {shown}") from None

    async def count(self, kind: Kind, number: int) -> list[Obj]:
        return await self.until(kind, lambda found: len(found) == number)

    async def gone(self, kind: Kind, name: str) -> None:
        await self.until(kind, lambda found: name not in [each["metadata"]["name"] for each in found])

    async def make(self, kind: Kind, name: str, **parts: object) -> Obj:
        meta: Obj = {"name": name, **(parts.pop("metadata", {}) or {})}  # type: ignore[dict-item]
        if kind.namespaced:
            meta["namespace"] = self.namespace
        return await self.client.create(kind, {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": meta, **parts})

    async def report(self, pod: Obj, phase: str = "Running", *, ready: bool = True, ip: str = "") -> None:
        """What a node agent would report of a pod."""
        ready_now = {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": rfc3339()}
        status: Obj = {"phase": phase, "conditions": [ready_now]}
        if ip:
            status |= {"podIP": ip, "podIPs": [{"ip": ip}]}
        with contextlib.suppress(ApiError):
            await self.client.patch(
                PODS,
                pod["metadata"]["name"],
                pod["metadata"]["namespace"],
                {"status": status},
                type="strategic",
                subresource="status",
            )

    async def play_kubelets(self) -> None:
        """Every pod runs as soon as it is there; for tests that ask about the end, not the way."""
        informer = await self.watch(PODS)
        tasks: set[asyncio.Task[None]] = set()

        def changed(old: Obj | None, new: Obj | None) -> None:
            if new is not None and (new.get("status") or {}).get("phase") == "Pending":
                task = asyncio.create_task(self.report(new))
                tasks.add(task)
                task.add_done_callback(tasks.discard)

        informer.add_handler(changed)

    async def close(self) -> None:
        await asyncio.gather(*(informer.stop() for informer in self._informers.values()))
        self.client.close()


@contextlib.asynccontextmanager
async def manager(config: ClusterConfig) -> AsyncIterator[None]:
    """The controller manager, running."""
    ready = asyncio.Event()
    task = asyncio.create_task(run(config, ready=ready.set))
    try:
        async with asyncio.timeout(WITHIN):
            await ready.wait()
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def world(cluster: ClusterConfig) -> AsyncIterator[World]:
    async with manager(cluster):
        made = World(Client.from_config(cluster, "admin"))
        await made.client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": World.namespace}})
        yield made
        await made.close()
