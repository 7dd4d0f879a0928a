"""One real cluster with two nodes for all tests of this folder; each test has a namespace of its own."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from halab.cluster.client import Client
from halab.cluster.kube.kinds import NAMESPACES, PODS
from halab.cluster.kube.status import ApiError
from halab.cluster.kube.types import Obj
from halab.cluster.supervisor import manage
from halab.settings import ClusterConfig, cluster_directory
from homes import at_home

SECONDS = 20.0
FOREVER = "trap 'exit 0' TERM; while :; do sleep 0.1; done"


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterConfig]:
    home = tmp_path_factory.mktemp("node-home")
    (home / "cache").symlink_to(_cache())
    with at_home(home):
        manage.up("default", nodes=2, without=("dataplane",))
        config = ClusterConfig.load((cluster_directory("default") / "cluster.json").read_text())
    yield config
    with at_home(home):
        manage.down("default", purge=True)


@pytest.fixture(autouse=True)
def _at_home(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "cluster" in request.fixturenames:
        monkeypatch.setenv("HALAB_HOME", str(request.getfixturevalue("cluster").directory.parents[1]))


def _cache() -> Path:
    cache = Path(__file__).resolve().parents[3] / ".tools" / "test-cache"
    cache.mkdir(parents=True, exist_ok=True)
    return cache


@dataclass
class Space:
    """A namespace, and what tests do in it."""

    config: ClusterConfig
    client: Client
    name: str

    async def create(
        self, name: str = "p", command: str = FOREVER, *, container: Obj | None = None, meta: Obj | None = None, **spec: Any
    ) -> Obj:
        """A pod with one busybox container, ``main``, unless ``container`` changes it or ``containers`` is given."""
        main = {"name": "main", "image": "busybox:1.36", "command": ["sh", "-c", command], **(container or {})}
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, **(meta or {})},
            "spec": {"containers": [main], "terminationGracePeriodSeconds": 1, **spec},
        }
        return await self.client.create(PODS, body, self.name)

    async def until(self, check: Callable[[Obj], Any], name: str = "p", *, within: float = SECONDS) -> Obj:
        """The pod as soon as ``check`` holds."""
        end = time.monotonic() + within
        while True:
            pod = await self.client.get(PODS, name, self.name)
            if check(pod):
                return pod
            assert time.monotonic() < end, pod.get("status")
            await asyncio.sleep(0.02)

    async def ready(self, name: str = "p") -> Obj:
        return await self.until(lambda pod: condition(pod, "Ready") == "True", name)

    async def gone(self, name: str = "p", *, within: float = SECONDS) -> None:
        end = time.monotonic() + within
        while True:
            try:
                await self.client.get(PODS, name, self.name)
            except ApiError as error:
                assert error.code == 404
                return
            assert time.monotonic() < end
            await asyncio.sleep(0.02)

    async def log(self, name: str = "p", container: str = "main", **query: Any) -> str:
        path = PODS.path(self.name, name, "log")
        status, _, body = await self.client.request("GET", path, query={"container": container, **query})
        assert status == 200, body
        return body.decode()

    async def kubectl(self, *arguments: str, stdin: bytes | None = None, **environment: str) -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            "kubectl",
            f"--kubeconfig={self.config.kubeconfig}",
            f"--namespace={self.name}",
            *arguments,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **environment},
        )
        out, error = await asyncio.wait_for(process.communicate(stdin), SECONDS)
        return process.returncode or 0, out.decode(), error.decode()

    async def told(self, reason: str, message: str, name: str = "p") -> None:
        """Until that event has been recorded."""
        end = time.monotonic() + SECONDS
        while True:
            seen = await self.events(name)
            if (reason, message) in seen:
                return
            assert time.monotonic() < end, seen
            await asyncio.sleep(0.05)

    async def events(self, name: str = "p") -> list[tuple[str, str]]:
        status, _, body = await self.client.request(
            "GET", f"/api/v1/namespaces/{self.name}/events", query={"fieldSelector": f"involvedObject.name={name}"}
        )
        assert status == 200
        return [(item["reason"], item["message"]) for item in json.loads(body)["items"]]


def condition(pod: Obj, kind: str) -> str:
    found = {item["type"]: item["status"] for item in (pod.get("status") or {}).get("conditions") or ()}
    return str(found.get(kind, ""))


def container_status(pod: Obj, name: str = "main") -> Obj:
    for item in (pod.get("status") or {}).get("containerStatuses") or ():
        if item["name"] == name:
            return dict(item)
    return {"state": {}, "lastState": {}, "restartCount": 0, "ready": False}


_numbers = iter(range(1, 10_000))


@pytest.fixture
async def space(cluster: ClusterConfig) -> AsyncIterator[Space]:
    client = Client.from_config(cluster, "admin")
    name = f"t{os.getpid()}-{next(_numbers)}"
    await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    found = Space(cluster, client, name)
    end = time.monotonic() + SECONDS
    while (await client.request("GET", f"/api/v1/namespaces/{name}/serviceaccounts/default"))[0] != 200:
        assert time.monotonic() < end
        await asyncio.sleep(0.01)
    yield found
    await client.delete(NAMESPACES, name)
    client.close()
