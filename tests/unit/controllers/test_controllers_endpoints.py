"""Which pods serve a Service, as EndpointSlices and as Endpoints."""

from __future__ import annotations

from typing import Any

from controller_objects import made, pod

from halab.cluster.controllers.actions import Create, Delete, Update
from halab.cluster.controllers.endpoints import endpoint, endpoints_plan, slices_plan, subsets
from halab.cluster.kube.types import Obj

NODES = {"node-1": made("Node", "node-1", labels={"topology.kubernetes.io/zone": "west"})}


def service(**spec: Any) -> Obj:
    ports = [{"name": "http", "port": 80, "targetPort": "web", "protocol": "TCP"}]
    body = {"selector": {"app": "web"}, "ports": ports, "clusterIP": "10.0.0.1", "ipFamilies": ["IPv4"], "type": "ClusterIP"}
    return made("Service", "web", labels={"team": "a"}, spec=body | spec)


def web(name: str, ip: str, *, ready: bool = True, port: int = 8080, **more: Any) -> Obj:
    containers = [{"name": "main", "ports": [{"name": "web", "containerPort": port, "protocol": "TCP"}]}]
    return pod(name, ready=ready, ip=ip, containers=containers, **more)


def slice_of(owner: Obj, *pods: Obj) -> Obj:
    (action,) = slices_plan(owner, pods, NODES, [])
    assert isinstance(action, Create)
    return action.obj | {"metadata": {**action.obj["metadata"], "name": "web-abcde", "uid": "u", "resourceVersion": "1"}}


def test_named_ports_are_looked_up_and_zones_told() -> None:
    made_slice = slice_of(service(), web("a", "10.1.0.1"))
    assert made_slice["ports"] == [{"name": "http", "protocol": "TCP", "port": 8080}]
    assert made_slice["endpoints"] == [
        {
            "addresses": ["10.1.0.1"],
            "conditions": {"ready": True, "serving": True, "terminating": False},
            "targetRef": {"kind": "Pod", "namespace": "ns", "name": "a", "uid": "uid-a"},
            "nodeName": "node-1",
            "zone": "west",
        }
    ]
    assert made_slice["metadata"]["labels"] == {
        "team": "a",
        "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }


def conditions(owner: Obj, each: Obj) -> tuple[bool, bool, bool]:
    found = endpoint(owner, each, None, "IPv4")
    assert found is not None
    return found["conditions"]["ready"], found["conditions"]["serving"], found["conditions"]["terminating"]


def test_a_terminating_pod_still_serves_but_is_not_ready() -> None:
    assert conditions(service(), web("a", "10.1.0.1", deleting=True)) == (False, True, True)


def test_unready_addresses_can_be_published() -> None:
    assert conditions(service(publishNotReadyAddresses=True), web("a", "10.1.0.1", ready=False)) == (True, False, False)


def test_pods_without_address_node_or_end_are_left_out() -> None:
    pods = [web("a", ""), web("b", "10.1.0.2", node=""), web("c", "10.1.0.3", phase="Succeeded")]
    assert slice_of(service(), *pods)["endpoints"] == []


def test_only_pods_of_a_subdomain_have_hostnames() -> None:
    each = web("db-0", "10.1.0.1", hostname="db-0", subdomain="web")
    found = endpoint(service(clusterIP="None"), each, None, "IPv4")
    assert found is not None and found["hostname"] == "db-0"
    assert slice_of(service(clusterIP="None"), each)["metadata"]["labels"]["service.kubernetes.io/headless"] == ""


def test_an_unchanged_slice_is_left_alone_and_a_changed_one_updated() -> None:
    owner, one = service(), web("a", "10.1.0.1")
    existing = slice_of(owner, one)
    assert slices_plan(owner, [one], NODES, [existing]) == []
    (update,) = slices_plan(owner, [one, web("b", "10.1.0.2")], NODES, [existing])
    assert isinstance(update, Update)
    assert [each["targetRef"]["name"] for each in update.obj["endpoints"]] == ["a", "b"]


def test_the_last_pod_leaves_an_empty_slice_behind() -> None:
    owner = service()
    (update,) = slices_plan(owner, [], NODES, [slice_of(owner, web("a", "10.1.0.1"))])
    assert isinstance(update, Update) and (update.obj["endpoints"], update.obj["ports"]) == ([], [])


def test_a_slice_holds_a_hundred_and_pods_with_other_ports_are_apart() -> None:
    pods = [web(f"p{i}", f"10.1.1.{i}") for i in range(120)] + [web("odd", "10.1.2.1", port=9090)]
    sizes = sorted(
        len(action.obj["endpoints"]) for action in slices_plan(service(), pods, NODES, []) if isinstance(action, Create)
    )
    assert sizes == [1, 20, 100]


def test_slices_that_are_no_longer_needed_go() -> None:
    owner, one = service(), web("a", "10.1.0.1")
    spare = slice_of(owner, web("b", "10.1.0.2"))
    spare["metadata"]["name"] = "web-spare"
    actions = slices_plan(owner, [one], NODES, [slice_of(owner, one), spare])
    assert [type(action) for action in actions] == [Delete]


def test_endpoints_part_the_ready_from_the_unready() -> None:
    (found,) = subsets(service(), [web("a", "10.1.0.1"), web("b", "10.1.0.2", ready=False), web("c", "10.1.0.3", deleting=True)])
    assert [each["ip"] for each in found["addresses"]] == ["10.1.0.1"]
    assert [each["ip"] for each in found["notReadyAddresses"]] == ["10.1.0.2"]
    assert found["ports"] == [{"name": "http", "protocol": "TCP", "port": 8080}]
    (create,) = endpoints_plan(service(), [], None)
    assert isinstance(create, Create) and "subsets" not in create.obj
