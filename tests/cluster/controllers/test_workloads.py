"""Workloads from the object that a user writes to the pods that come of it."""

from __future__ import annotations

from halab.cluster.kube.kinds import (
    CONTROLLER_REVISIONS,
    DAEMON_SETS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    JOBS,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    SERVICES,
    STATEFUL_SETS,
)
from halab.cluster.kube.types import Obj

from .conftest import World

CONTAINERS = [{"name": "main", "image": "busybox:1.36", "command": ["sleep", "3600"]}]


def workload(app: str, replicas: int | None = None, **spec: object) -> Obj:
    template = {"metadata": {"labels": {"app": app}}, "spec": {"containers": CONTAINERS, "terminationGracePeriodSeconds": 0}}
    body: Obj = {"selector": {"matchLabels": {"app": app}}, "template": template}
    return body | ({"replicas": replicas} if replicas is not None else {}) | spec


def status(found: list[Obj], **wanted: int) -> bool:
    return bool(found) and all((found[0].get("status") or {}).get(key, 0) == value for key, value in wanted.items())


async def test_a_deployment_rolls_out_and_back(world: World) -> None:
    await world.play_kubelets()
    await world.make(DEPLOYMENTS, "web", spec=workload("web", 3))
    await world.until(DEPLOYMENTS, lambda found: status(found, availableReplicas=3))
    new = {"spec": {"template": {"metadata": {"labels": {"v": "2"}}}}}
    await world.client.patch(DEPLOYMENTS, "web", world.namespace, new, type="strategic")
    await world.until(
        DEPLOYMENTS, lambda found: status(found, observedGeneration=2, updatedReplicas=3, availableReplicas=3, replicas=3)
    )
    pods = await world.count(PODS, 3)
    assert {pod["metadata"]["labels"]["v"] for pod in pods} == {"2"}
    back = {"spec": {"template": {"metadata": {"labels": {"v": None}}}}}
    await world.client.patch(DEPLOYMENTS, "web", world.namespace, back, type="strategic")
    (web,) = await world.until(
        DEPLOYMENTS, lambda found: status(found, observedGeneration=3, updatedReplicas=3, availableReplicas=3, replicas=3)
    )
    assert web["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"
    assert len((await world.watch(REPLICA_SETS)).objects(world.namespace)) == 2


async def test_a_deployment_takes_its_sets_and_pods_with_it(world: World) -> None:
    await world.make(DEPLOYMENTS, "web", spec=workload("web", 2))
    await world.count(PODS, 2)
    await world.client.delete(DEPLOYMENTS, "web", world.namespace, propagation_policy="Foreground")
    await world.gone(DEPLOYMENTS, "web")
    assert (await world.watch(PODS)).objects(world.namespace) == []


async def test_orphaned_pods_stay_and_are_adopted_again(world: World) -> None:
    await world.make(REPLICA_SETS, "set", spec=workload("set", 2))
    before = {pod["metadata"]["uid"] for pod in await world.count(PODS, 2)}
    await world.client.delete(REPLICA_SETS, "set", world.namespace, propagation_policy="Orphan")
    await world.gone(REPLICA_SETS, "set")
    await world.until(PODS, lambda found: all(not pod["metadata"].get("ownerReferences") for pod in found))
    await world.make(REPLICA_SETS, "set", spec=workload("set", 2))
    pods = await world.until(PODS, lambda found: all(pod["metadata"].get("ownerReferences") for pod in found))
    assert {pod["metadata"]["uid"] for pod in pods} == before


async def test_a_replication_controller_keeps_its_count(world: World) -> None:
    template = workload("old")["template"]
    await world.make(PODS, "stray", metadata={"labels": {"app": "old"}}, spec=template["spec"])
    await world.make(REPLICATION_CONTROLLERS, "old", spec={"replicas": 2, "template": template})
    pods = await world.until(PODS, lambda found: len(found) == 2 and all(owner_kind(pod) for pod in found))
    assert [owner_kind(pod) for pod in pods] == ["ReplicationController"] * 2
    await world.client.delete(PODS, pods[0]["metadata"]["name"], world.namespace, grace_period_seconds=0)
    await world.until(PODS, lambda found: len(found) == 2 and pods[0] not in found)
    await world.until(REPLICATION_CONTROLLERS, lambda found: (found[0].get("status") or {}).get("replicas") == 2)


def owner_kind(pod: Obj) -> str:
    references = pod["metadata"].get("ownerReferences") or [{"kind": ""}]
    return str(references[0]["kind"])


async def test_a_stateful_set_comes_up_in_order_and_updates_from_the_end(world: World) -> None:
    claims = [
        {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}
    ]
    spec = workload("db", 3, serviceName="db", volumeClaimTemplates=claims)
    await world.make(STATEFUL_SETS, "db", spec=spec)
    for number in range(3):
        pods = await world.count(PODS, number + 1)
        assert pods[-1]["metadata"]["name"] == f"db-{number}"
        await world.report(pods[-1])
    await world.until(STATEFUL_SETS, lambda found: status(found, readyReplicas=3))
    assert [claim["metadata"]["name"] for claim in await world.count(PERSISTENT_VOLUME_CLAIMS, 3)] == [
        "data-db-0",
        "data-db-1",
        "data-db-2",
    ]
    new = {"spec": {"template": {"metadata": {"labels": {"v": "2"}}}}}
    await world.client.patch(STATEFUL_SETS, "db", world.namespace, new, type="strategic")

    def updated(found: list[Obj]) -> list[str]:
        return [pod["metadata"]["name"] for pod in found if pod["metadata"]["labels"].get("v") == "2"]

    for last in ("db-2", "db-1", "db-0"):
        pods = await world.until(PODS, lambda found, last=last: len(found) == 3 and last in updated(found))  # type: ignore[misc]
        await world.report(next(pod for pod in pods if pod["metadata"]["name"] == last))
    (db,) = await world.until(STATEFUL_SETS, lambda found: status(found, updatedReplicas=3, currentReplicas=3, readyReplicas=3))
    assert db["status"]["currentRevision"] == db["status"]["updateRevision"]
    assert len((await world.watch(CONTROLLER_REVISIONS)).objects(world.namespace)) == 2


async def test_a_daemon_set_follows_the_nodes(world: World) -> None:
    for name in ("one", "two"):
        await world.make(NODES, name, metadata={"labels": {"disk": "ssd"}})
        await world.client.patch(NODES, name, None, {"spec": {"taints": None}})
    spec = workload("agent")
    spec["template"]["spec"]["nodeSelector"] = {"disk": "ssd"}
    await world.make(DAEMON_SETS, "agent", spec=spec)
    await world.count(PODS, 2)
    await world.client.patch(NODES, "two", None, {"metadata": {"labels": {"disk": None}}})
    await world.count(PODS, 1)
    await world.until(DAEMON_SETS, lambda found: status(found, desiredNumberScheduled=1, currentNumberScheduled=1))


async def test_a_job_runs_to_its_end(world: World) -> None:
    template = {"spec": {"restartPolicy": "Never", "containers": CONTAINERS}}
    await world.make(JOBS, "work", spec={"completions": 3, "parallelism": 2, "template": template})
    seen: set[str] = set()
    for round in range(2):
        pods = await world.until(
            PODS, lambda found: len([p for p in found if p["metadata"]["name"] not in seen]) == (2 if not seen else 1)
        )
        for pod in [pod for pod in pods if pod["metadata"]["name"] not in seen]:
            seen.add(pod["metadata"]["name"])
            await world.report(pod, "Succeeded", ready=False)
        assert len(seen) == 2 + round
    (job,) = await world.until(JOBS, lambda found: status(found, succeeded=3))
    assert [each["type"] for each in job["status"]["conditions"]] == ["SuccessCriteriaMet", "Complete"]
    assert all("finalizers" not in pod["metadata"] for pod in await world.count(PODS, 3))


async def test_a_service_has_its_pods_as_endpoints_while_they_are_ready(world: World) -> None:
    await world.make(NODES, "one")
    await world.make(SERVICES, "web", spec={"selector": {"app": "web"}, "ports": [{"port": 80}]})
    body = {"containers": CONTAINERS, "nodeName": "one", "terminationGracePeriodSeconds": 0}
    pod = await world.make(PODS, "a", metadata={"labels": {"app": "web"}}, spec=body)

    def ready(found: list[Obj]) -> list[bool]:
        return [each["conditions"]["ready"] for part in found for each in part.get("endpoints") or ()]

    await world.report(pod, ip="192.0.2.1")
    await world.until(ENDPOINT_SLICES, lambda found: ready(found) == [True])
    await world.report(pod, ready=False, ip="192.0.2.1")
    await world.until(ENDPOINT_SLICES, lambda found: ready(found) == [False])
    await world.client.delete(PODS, "a", world.namespace, grace_period_seconds=0)
    await world.until(ENDPOINT_SLICES, lambda found: len(found) == 1 and ready(found) == [])
    await world.client.delete(SERVICES, "web", world.namespace)
    await world.count(ENDPOINT_SLICES, 0)
