"""Namespaces, nodes, budgets, quotas, volumes, and who leads."""

from __future__ import annotations

import asyncio

import pytest

from halab.cluster.client import Client, rfc3339
from halab.cluster.controllers.base import Context
from halab.cluster.controllers.main import run_with
from halab.cluster.kube.kinds import (
    CONFIG_MAPS,
    CUSTOM_RESOURCE_DEFINITIONS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    ENDPOINTS,
    EVENTS,
    HORIZONTAL_POD_AUTOSCALERS,
    IP_ADDRESSES,
    LEASES,
    NAMESPACES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    RESOURCE_QUOTAS,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICE_CIDRS,
    SERVICES,
    STORAGE_CLASSES,
    Kind,
)
from halab.cluster.kube.status import ApiError
from halab.cluster.kube.types import Obj
from halab.settings import ClusterConfig

from .conftest import WITHIN, World
from .test_workloads import CONTAINERS, workload


async def test_a_namespace_goes_with_all_it_holds(world: World) -> None:
    await world.make(DEPLOYMENTS, "web", spec=workload("web", 2))
    await world.make(CONFIG_MAPS, "settings", data={"a": "b"})
    await world.count(PODS, 2)
    await world.client.delete(NAMESPACES, world.namespace)
    await world.gone(NAMESPACES, world.namespace)
    for kind in (PODS, DEPLOYMENTS, CONFIG_MAPS):
        assert (await world.watch(kind)).objects(world.namespace) == []


async def test_a_namespace_waits_for_foreign_finalizers_and_says_so(world: World) -> None:
    await world.make(CONFIG_MAPS, "held", metadata={"finalizers": ["example.com/hold"]})
    await world.client.delete(NAMESPACES, world.namespace)

    def held(found: list[Obj]) -> bool:
        conditions = [
            each for ns in found if ns["metadata"]["name"] == world.namespace for each in ns["status"].get("conditions") or ()
        ]
        return any(
            each["type"] == "NamespaceFinalizersRemaining" and "example.com/hold in 1 resource instances" in each["message"]
            for each in conditions
        )

    await world.until(NAMESPACES, held)
    await world.client.patch(CONFIG_MAPS, "held", world.namespace, {"metadata": {"finalizers": None}})
    await world.gone(NAMESPACES, world.namespace)


async def test_every_namespace_has_an_account_and_the_root_certificate(world: World, cluster: ClusterConfig) -> None:
    await world.count(SERVICE_ACCOUNTS, 1)
    (found,) = await world.count(CONFIG_MAPS, 1)
    assert found["data"]["ca.crt"] == cluster.ca_file.read_text()
    await world.client.patch(CONFIG_MAPS, "kube-root-ca.crt", world.namespace, {"data": {"ca.crt": "forged"}})
    await world.until(CONFIG_MAPS, lambda found: bool(found) and found[0]["data"]["ca.crt"] == cluster.ca_file.read_text())


async def test_custom_resources_are_collected_with_their_owner(world: World) -> None:
    names = {"kind": "Widget", "plural": "widgets", "singular": "widget"}
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    await world.make(
        CUSTOM_RESOURCE_DEFINITIONS,
        "widgets.example.com",
        spec={"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]},
    )
    widgets = Kind("example.com", "v1", "Widget", "widgets", "widget", True, custom=True)
    owner = await world.make(CONFIG_MAPS, "owner")
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    async with asyncio.timeout(WITHIN):
        while True:
            try:
                await world.make(widgets, "a", metadata={"ownerReferences": [reference]})
                break
            except ApiError as exc:
                assert exc.code == 404
                await asyncio.sleep(0.05)
    await world.watch(widgets)
    await world.client.delete(CONFIG_MAPS, "owner", world.namespace)
    await world.gone(widgets, "a")


async def test_what_names_an_owner_that_never_was_is_collected(world: World) -> None:
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "nobody", "uid": "00000000-0000-4000-8000-000000000000"}
    await world.watch(SECRETS)
    await world.make(SECRETS, "orphan", metadata={"ownerReferences": [reference]})
    await world.gone(SECRETS, "orphan")


async def test_objects_that_own_each_other_in_a_circle_go_together(world: World) -> None:
    made = {name: await world.make(CONFIG_MAPS, name) for name in ("a", "b", "c")}
    for name, owner in (("a", "c"), ("b", "a"), ("c", "b")):
        meta = made[owner]["metadata"]
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": owner, "uid": meta["uid"], "blockOwnerDeletion": True}
        await world.client.patch(CONFIG_MAPS, name, world.namespace, {"metadata": {"ownerReferences": [reference]}})
    await world.client.delete(CONFIG_MAPS, "a", world.namespace, propagation_policy="Foreground")
    for name in made:
        await world.gone(CONFIG_MAPS, name)


async def test_an_owner_in_another_place_is_said_to_be_none(world: World) -> None:
    owner = await world.make(CONFIG_MAPS, "owner")
    meta = owner["metadata"]
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": meta["uid"]}
    await world.make(PERSISTENT_VOLUMES, "stray", metadata={"ownerReferences": [reference]}, spec=volume_spec())
    found = await world.until(EVENTS, lambda events: "OwnerRefInvalidNamespace" in reasons(events), namespace="default")
    told = next(each for each in found if each["reason"] == "OwnerRefInvalidNamespace")
    assert told["message"] == (
        f'ownerRef [v1/ConfigMap, namespace: , name: owner, uid: {meta["uid"]}] does not exist in namespace ""'
    )
    assert await world.client.get(PERSISTENT_VOLUMES, "stray")


async def test_endpoints_by_hand_are_mirrored(world: World) -> None:
    await world.make(SERVICES, "manual", spec={"ports": [{"port": 80}]})
    subsets = [{"addresses": [{"ip": "192.0.2.1"}], "ports": [{"port": 8080}]}]
    await world.make(ENDPOINTS, "manual", subsets=subsets)
    (mirror,) = await world.count(ENDPOINT_SLICES, 1)
    assert mirror["endpoints"] == [{"addresses": ["192.0.2.1"], "conditions": {"ready": True}}]
    await world.client.delete(SERVICES, "manual", world.namespace)
    await world.count(ENDPOINT_SLICES, 0)


async def test_the_addresses_of_services_are_objects_too(world: World) -> None:
    service = await world.make(SERVICES, "web", spec={"ports": [{"port": 80}]})
    address = service["spec"]["clusterIP"]
    await world.make(SERVICES, "headless", spec={"clusterIP": "None", "ports": [{"port": 80}]})

    def mine(found: list[Obj]) -> list[Obj]:
        return [each for each in found if each["spec"]["parentRef"]["namespace"] == world.namespace]

    found = mine(await world.until(IP_ADDRESSES, lambda found: len(mine(found)) == 1))
    assert [(each["metadata"]["name"], each["spec"]["parentRef"]["name"]) for each in found] == [(address, "web")]
    await world.client.delete(SERVICES, "web", world.namespace)
    await world.until(IP_ADDRESSES, lambda found: not mine(found))
    await world.until(SERVICE_CIDRS, lambda found: found[0].get("status", {}).get("conditions", [{}])[0].get("status") == "True")


async def test_an_ephemeral_volume_gets_a_claim_that_goes_with_its_pod(world: World) -> None:
    template = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}}
    volumes = [{"name": "v", "ephemeral": {"volumeClaimTemplate": template}}]
    container = {"name": "main", "image": "busybox:1.36"}
    await world.make(PODS, "p", spec={"containers": [container], "volumes": volumes, "schedulerName": "nobody"})
    (claim,) = await world.count(PERSISTENT_VOLUME_CLAIMS, 1)
    assert (claim["metadata"]["name"], claim["metadata"]["ownerReferences"][0]["kind"]) == ("p-v", "Pod")
    await world.client.delete(PODS, "p", world.namespace)
    await world.count(PERSISTENT_VOLUME_CLAIMS, 0)


async def test_a_volume_below_tmp_is_deleted_and_another_says_why_it_is_not(world: World) -> None:
    for name, path in (("tmp", "/tmp/halab-nothing"), ("data", "/data/halab-nothing")):
        await world.make(PERSISTENT_VOLUMES, name, spec=volume_spec(path, persistentVolumeReclaimPolicy="Delete"))
        claim = {"accessModes": ["ReadWriteOnce"], "storageClassName": "c", "resources": {"requests": {"storage": "1Mi"}}}
        await world.make(PERSISTENT_VOLUME_CLAIMS, name, spec=claim | {"volumeName": name})
        await world.until(PERSISTENT_VOLUME_CLAIMS, lambda found: all(phase_of(each) == "Bound" for each in found))
        await world.client.delete(PERSISTENT_VOLUME_CLAIMS, name, world.namespace)
    await world.gone(PERSISTENT_VOLUMES, "tmp")
    found = await world.until(PERSISTENT_VOLUMES, lambda volumes: [phase_of(each) for each in volumes] == ["Failed"])
    assert found[0]["status"]["message"] == "host_path deleter only supports /tmp/.+ but received provided /data/halab-nothing"
    assert found[0]["status"]["lastPhaseTransitionTime"]


async def test_a_taint_without_a_time_drives_a_pod_away_when_its_patience_is_over(world: World) -> None:
    await world.make(NODES, "one", **ready_node())
    patience = {"key": "x", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1}
    container = {"name": "main", "image": "busybox:1.36"}
    spec = {"containers": [container], "nodeName": "one", "tolerations": [patience], "terminationGracePeriodSeconds": 0}
    await world.make(PODS, "p", spec=spec)
    await world.count(PODS, 1)
    await world.client.patch(NODES, "one", None, {"spec": {"taints": [{"key": "x", "effect": "NoExecute"}]}})
    await world.gone(PODS, "p")


def volume_spec(path: str = "/tmp/halab-nothing", **more: object) -> Obj:
    spec: Obj = {"capacity": {"storage": "1Mi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "c"}
    return spec | {"hostPath": {"path": path}} | more


def reasons(events: list[Obj]) -> set[str]:
    return {each.get("reason", "") for each in events}


def phase_of(obj: Obj) -> str:
    return str((obj.get("status") or {}).get("phase"))


def ready_node(ready: str = "True") -> Obj:
    condition = {"type": "Ready", "status": ready, "reason": "KubeletReady", "message": "", "lastHeartbeatTime": rfc3339()}
    return {"status": {"conditions": [condition | {"lastTransitionTime": rfc3339()}]}}


async def test_a_silent_node_is_lost_and_its_pods_go_elsewhere(world: World) -> None:
    for name in ("one", "two"):
        await world.make(NODES, name)
        lease = {
            "metadata": {"name": name, "namespace": "kube-node-lease"},
            "spec": {"leaseDurationSeconds": 1 if name == "one" else 60},
        }
        await world.client.create(LEASES, lease)
        await world.client.patch(NODES, name, None, ready_node(), subresource="status")
    short = [
        {"key": f"node.kubernetes.io/{taint}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 0}
        for taint in ("unreachable", "not-ready")
    ]
    spec = {"containers": CONTAINERS, "nodeName": "one", "terminationGracePeriodSeconds": 0, "tolerations": short}
    pod = await world.make(PODS, "a", spec=spec)
    await world.report(pod)
    nodes = await world.until(
        NODES, lambda found: any(each["key"].endswith("unreachable") for each in (found[0]["spec"].get("taints") or ()) if found)
    )
    assert {each["effect"] for each in nodes[0]["spec"]["taints"]} == {"NoSchedule", "NoExecute"}
    await world.until(PODS, lambda found: not found or bool(found[0]["metadata"].get("deletionTimestamp")))
    await world.client.patch(NODES, "one", None, ready_node(), subresource="status")
    await world.until(NODES, lambda found: not found[0]["spec"].get("taints"))


async def test_a_budget_counts_and_an_eviction_is_held_to_it(world: World) -> None:
    await world.play_kubelets()
    await world.make(DEPLOYMENTS, "web", spec=workload("web", 2))
    await world.make(POD_DISRUPTION_BUDGETS, "web", spec={"minAvailable": 2, "selector": {"matchLabels": {"app": "web"}}})
    await world.until(POD_DISRUPTION_BUDGETS, lambda found: bool(found) and found[0].get("status", {}).get("currentHealthy") == 2)
    name = (await world.count(PODS, 2))[0]["metadata"]["name"]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": world.namespace}}
    with pytest.raises(ApiError) as refused:
        await world.client.create(PODS, eviction, world.namespace, name=name, subresource="eviction")
    assert refused.value.code == 429


async def test_a_quota_is_free_again_when_a_pod_is_gone(world: World) -> None:
    await world.make(RESOURCE_QUOTAS, "cap", spec={"hard": {"pods": "1", "count/secrets": "5"}})

    def used(found: list[Obj], pods: str) -> bool:
        return bool(found) and (found[0].get("status") or {}).get("used") == {"pods": pods, "count/secrets": "0"}

    await world.until(RESOURCE_QUOTAS, lambda found: used(found, "0"))
    await world.make(PODS, "a", spec={"containers": CONTAINERS})
    await world.until(RESOURCE_QUOTAS, lambda found: used(found, "1"))
    await world.client.delete(PODS, "a", world.namespace, grace_period_seconds=0)
    await world.until(RESOURCE_QUOTAS, lambda found: used(found, "0"))


async def test_the_default_class_makes_a_folder_for_a_claim_and_takes_it_back(world: World, cluster: ClusterConfig) -> None:
    await world.until(STORAGE_CLASSES, lambda found: [each["metadata"]["name"] for each in found] == ["standard"])
    await world.make(NODES, "one")
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    claim = await world.make(PERSISTENT_VOLUME_CLAIMS, "data", spec=spec)
    assert claim["spec"]["storageClassName"] == "standard"
    placed = {"metadata": {"annotations": {"volume.kubernetes.io/selected-node": "one"}}}  # what the scheduler says
    await world.client.patch(PERSISTENT_VOLUME_CLAIMS, "data", world.namespace, placed)
    await world.until(PERSISTENT_VOLUME_CLAIMS, lambda found: bool(found) and found[0]["status"]["phase"] == "Bound")
    (volume,) = await world.count(PERSISTENT_VOLUMES, 1)
    (folder,) = (cluster.directory / "volumes").iterdir()
    assert volume["spec"]["hostPath"]["path"] == str(folder)
    with pytest.raises(ApiError, match="only dynamically provisioned pvc can be resized"):
        larger = {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}
        await world.client.patch(PERSISTENT_VOLUME_CLAIMS, "data", world.namespace, larger)
    await world.client.delete(PERSISTENT_VOLUME_CLAIMS, "data", world.namespace)
    await world.count(PERSISTENT_VOLUMES, 0)
    assert not folder.exists()


async def test_an_autoscaler_says_that_it_has_no_metrics(world: World) -> None:
    await world.make(DEPLOYMENTS, "web", spec=workload("web", 1))
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    await world.make(HORIZONTAL_POD_AUTOSCALERS, "web", spec={"maxReplicas": 5, "scaleTargetRef": target})

    def conditions(found: list[Obj]) -> dict[str, str]:
        return {each["type"]: each["reason"] for hpa in found for each in hpa.get("status", {}).get("conditions") or ()}

    found = await world.until(HORIZONTAL_POD_AUTOSCALERS, lambda found: "ScalingActive" in conditions(found))
    assert conditions(found) == {"AbleToScale": "SucceededGetScale", "ScalingActive": "FailedGetResourceMetric"}


async def test_a_second_manager_takes_over_when_the_first_stops(cluster: ClusterConfig) -> None:
    """Also the way to run against any cluster: a client of a kubeconfig and a name of one's own."""

    async def start(name: str) -> tuple[asyncio.Task[None], asyncio.Event]:
        ready = asyncio.Event()
        context = Context(Client.from_kubeconfig(cluster.kubeconfig))
        return asyncio.create_task(run_with(context, name, ready=ready.set)), ready

    first, leads = await start("first")
    await asyncio.wait_for(leads.wait(), WITHIN)
    second, follows = await start("second")
    client = Client.from_config(cluster, "admin")
    try:
        for _ in range(20):
            await client.get(LEASES, "kube-controller-manager", "kube-system")
        assert not follows.is_set()
        first.cancel()
        await asyncio.wait_for(follows.wait(), 5.0)  # released, not run out: that would take 15
        lease = await client.get(LEASES, "kube-controller-manager", "kube-system")
        assert (lease["spec"]["holderIdentity"], lease["spec"]["leaseTransitions"]) == ("second", 1)
    finally:
        for task in (first, second):
            task.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
        client.close()
