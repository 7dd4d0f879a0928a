"""The scheduler against a real API server; nodes are objects only, so a pod is done when it is bound."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.api_alone import api_server
from halab.cluster.client import Client, Informer
from halab.cluster.kube.kinds import (
    EVENTS,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    PRIORITY_CLASSES,
    SERVICE_ACCOUNTS,
    STORAGE_CLASSES,
)
from halab.cluster.kube.types import Obj
from halab.cluster.scheduler.main import run
from halab.settings import ClusterConfig

WITHIN = 5.0


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[ClusterConfig]:
    with api_server(tmp_path) as config:
        yield config


class Desk:
    """Pods in, nodes out."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.pods = Informer(client, PODS).start()
        self._changed = asyncio.Event()
        self.pods.add_handler(lambda old, new: self._changed.set())

    async def node(self, name: str, **allocatable: str) -> None:
        labels = {"kubernetes.io/hostname": name}
        await self.client.create(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}})
        # A new node is tainted not-ready; the node life cycle controller would take that away.
        await self.client.patch(NODES, name, None, {"spec": {"taints": None}})
        amounts = {"cpu": "4", "memory": "8Gi", "pods": "110", **allocatable}
        await self.client.patch(
            NODES, name, None, {"status": {"allocatable": amounts, "capacity": amounts}}, subresource="status"
        )

    async def pod(self, name: str, *, labels: dict[str, str] | None = None, requests: Obj | None = None, **spec: Any) -> Obj:
        container = {
            "name": "main",
            "image": "busybox:1.36",
            "resources": {"requests": requests or {}, "limits": spec.pop("limits", {})},
        }
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default", "labels": labels or {}}}
        return await self.client.create(PODS, {**body, "spec": {"containers": [container], **spec}})

    async def until(self, name: str, check: Callable[[Obj], Any]) -> Any:
        """Until ``check`` of the pod is true; its value."""
        async with asyncio.timeout(WITHIN):
            while True:
                self._changed.clear()
                pod = self.pods.get("default", name)
                if pod is not None and (found := check(pod)):
                    return found
                await self._changed.wait()

    async def placed(self, name: str) -> str:
        found: str = await self.until(name, lambda pod: pod["spec"].get("nodeName"))
        return found

    async def message(self, name: str) -> str:
        """Why the pod cannot be scheduled."""

        def check(pod: Obj) -> str:
            conditions = (pod.get("status") or {}).get("conditions") or ()
            return next(
                (c["message"] for c in conditions if c["type"] == "PodScheduled" and c.get("reason") == "Unschedulable"), ""
            )

        found: str = await self.until(name, check)
        return found

    async def events(self, name: str, reason: str) -> list[Obj]:
        async with asyncio.timeout(WITHIN):
            while True:
                found, _ = await self.client.list(EVENTS, "default", field_selector=f"involvedObject.name={name},reason={reason}")
                if found:
                    return found
                await asyncio.sleep(0.02)


@pytest.fixture
async def desk(cluster: ClusterConfig) -> AsyncIterator[Desk]:
    work = asyncio.create_task(run(cluster, ready=lambda: None))
    client = Client.from_config(cluster, "admin")
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "default"}}
    await client.create(SERVICE_ACCOUNTS, account)
    yield Desk(client)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    client.close()


async def test_a_pod_is_bound_and_told_so_within_milliseconds(desk: Desk) -> None:
    await desk.node("a")
    await desk.pod("warm")
    await desk.placed("warm")
    began = time.monotonic()
    await desk.pod("p")
    assert await desk.placed("p") == "a"
    assert time.monotonic() - began < 0.5
    pod = desk.pods.get("default", "p")
    assert pod is not None
    condition = next(c for c in pod["status"]["conditions"] if c["type"] == "PodScheduled")
    assert condition["status"] == "True"
    event = (await desk.events("p", "Scheduled"))[0]
    assert event["message"] == "Successfully assigned default/p to a"
    assert event["reportingComponent"] == "default-scheduler"


async def test_a_claim_that_does_not_exist_is_told_in_the_words_of_the_plugin_that_was_not_asked(desk: Desk) -> None:
    await desk.node("a")
    await desk.pod("lost", volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "nope"}}])
    assert await desk.message("lost") == '0/1 nodes are available: persistentvolumeclaim "nope" not found. not found'


async def test_a_pod_that_fits_nowhere_waits_for_the_event_that_helps(desk: Desk) -> None:
    await desk.node("a")
    await desk.pod("picky", nodeSelector={"disk": "ssd"})
    text = await desk.message("picky")
    assert text == (
        "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. no new claims to deallocate, preemption: "
        "0/1 nodes are available: 1 Preemption is not helpful for scheduling."
    )
    event = (await desk.events("picky", "FailedScheduling"))[0]
    assert (event["message"], event["type"]) == (text, "Warning")
    await desk.client.patch(NODES, "a", None, {"metadata": {"labels": {"disk": "ssd"}}})
    assert await desk.placed("picky") == "a"


async def test_cordon_and_uncordon(desk: Desk) -> None:
    await desk.node("a")
    await desk.client.patch(NODES, "a", None, {"spec": {"unschedulable": True}})
    await desk.pod("p")
    assert "1 node(s) were unschedulable" in await desk.message("p")
    await desk.client.patch(NODES, "a", None, {"spec": {"unschedulable": None}})
    assert await desk.placed("p") == "a"


async def test_pods_created_at_once_do_not_share_what_only_one_can_have(desk: Desk) -> None:
    await desk.node("a")
    await asyncio.gather(*(desk.pod(f"p{number}", requests={"cpu": "2"}) for number in range(3)))

    async def state(name: str) -> str:
        return str(
            await desk.until(
                name, lambda pod: pod["spec"].get("nodeName") or (pod["status"].get("conditions") or [{}])[0].get("reason")
            )
        )

    states = sorted([await state(f"p{number}") for number in range(3)])
    assert states == ["Unschedulable", "a", "a"]


async def test_a_deleted_pod_makes_room_for_one_that_waits(desk: Desk) -> None:
    await desk.node("a")
    await desk.pod("first", requests={"cpu": "3"})
    await desk.placed("first")
    await desk.pod("second", requests={"cpu": "3"})
    assert "1 Insufficient cpu" in await desk.message("second")
    await desk.client.delete(PODS, "first", "default", grace_period_seconds=0)
    assert await desk.placed("second") == "a"


async def test_a_pod_of_higher_priority_preempts(desk: Desk) -> None:
    for name, value in (("low", 10), ("high", 1000)):
        body = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": value}
        await desk.client.create(PRIORITY_CLASSES, body)
    gpu = {"example.com/gpu": "1"}
    await desk.node("a", **gpu)
    await desk.node("b")
    await desk.pod("victim", limits=gpu, priorityClassName="low", terminationGracePeriodSeconds=1)
    assert await desk.placed("victim") == "a"
    await desk.pod("lower", limits=gpu, priorityClassName="low")
    assert "No preemption victims found for incoming pod" in await desk.message("lower")
    await desk.pod("high", limits=gpu, priorityClassName="high")
    going = await desk.until("victim", lambda pod: pod if "deletionTimestamp" in pod["metadata"] else None)
    target = next(c for c in going["status"]["conditions"] if c["type"] == "DisruptionTarget")
    assert target["reason"] == "PreemptionByScheduler"
    assert target["message"] == "default-scheduler: preempting to accommodate a higher priority pod"
    assert await desk.until("high", lambda pod: (pod.get("status") or {}).get("nominatedNodeName")) == "a"
    high = desk.pods.get("default", "high")
    assert high is not None
    event = (await desk.events("victim", "Preempted"))[0]
    assert event["message"] == f"Preempted by pod {high['metadata']['uid']} on node a"
    await desk.client.delete(PODS, "victim", "default", grace_period_seconds=0)  # what its node would do
    assert await desk.placed("high") == "a"
    assert not (desk.pods.get("default", "lower") or {})["spec"].get("nodeName")


async def test_a_gated_pod_waits_until_its_gates_are_gone(desk: Desk) -> None:
    await desk.node("a")
    await desk.pod("gated", schedulingGates=[{"name": "example.com/wait"}])
    await desk.pod("after")
    await desk.placed("after")
    pod = desk.pods.get("default", "gated")
    assert pod is not None and not pod["spec"].get("nodeName")
    await desk.client.patch(PODS, "gated", "default", {"spec": {"schedulingGates": None}}, type="merge")
    assert await desk.placed("gated") == "a"


async def test_pods_of_other_schedulers_are_left_alone(desk: Desk) -> None:
    await desk.node("a")
    await desk.pod("other", schedulerName="nobody")
    await desk.pod("mine")
    await desk.placed("mine")
    other = desk.pods.get("default", "other")
    assert other is not None and not other["spec"].get("nodeName")


async def test_a_claim_that_waits_for_its_consumer_is_told_the_node_before_the_pod_is_bound(desk: Desk) -> None:
    await desk.node("a")
    storage = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "wait"},
        "provisioner": "example.com/p",
        "volumeBindingMode": "WaitForFirstConsumer",
    }
    await desk.client.create(STORAGE_CLASSES, storage)
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "namespace": "default"},
        "spec": {"storageClassName": "wait", "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    await desk.pod("p", volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}])
    assert 'persistentvolumeclaim "data" not found' in await desk.message("p")
    await desk.client.create(PERSISTENT_VOLUME_CLAIMS, claim)
    async with asyncio.timeout(WITHIN):
        while True:
            found = await desk.client.get(PERSISTENT_VOLUME_CLAIMS, "data", "default")
            if "volume.kubernetes.io/selected-node" in (found["metadata"].get("annotations") or {}):
                break
            await asyncio.sleep(0.02)
    assert found["metadata"]["annotations"]["volume.kubernetes.io/selected-node"] == "a"
    assert not (desk.pods.get("default", "p") or {})["spec"].get("nodeName")
    bound = {"metadata": {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}}, "spec": {"volumeName": "pv"}}
    await desk.client.patch(PERSISTENT_VOLUME_CLAIMS, "data", "default", bound)  # what the provisioner does
    assert await desk.placed("p") == "a"
