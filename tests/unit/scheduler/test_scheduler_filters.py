from __future__ import annotations

import pytest
from scheduler_objects import names, node, pod, refusal, snapshot

HELPLESS = "Preemption is not helpful for scheduling."
NO_VICTIMS = "No preemption victims found for incoming pod."
TAINT = {"key": "gpu", "value": "a", "effect": "NoSchedule"}
APART = {
    "podAntiAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": [
            {"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "kubernetes.io/hostname"}
        ]
    }
}
TOGETHER = {"podAffinity": APART["podAntiAffinity"]}


def test_a_pod_that_asks_for_more_than_any_node_has_cannot_be_helped_by_preemption() -> None:
    where = snapshot(node("a"), node("b"), node("c"))
    assert refusal(pod(requests={"cpu": "1k"}), where) == (
        f"0/3 nodes are available: 3 Insufficient cpu. preemption: 0/3 nodes are available: 3 {HELPLESS}"
    )


def test_each_lacking_resource_is_named_with_the_number_of_nodes() -> None:
    where = snapshot(
        node("a", pod(requests={"cpu": "3"})), node("b", pod(requests={"memory": "7Gi"}), allocatable={"pods": "1"}), node("c")
    )
    wanted = pod(requests={"cpu": "2", "memory": "2Gi", "example.com/gpu": "1"})
    assert refusal(wanted, where) == (
        "0/3 nodes are available: 1 Insufficient cpu, 1 Insufficient memory, 1 Too many pods, 3 Insufficient example.com/gpu. "
        f"preemption: 0/3 nodes are available: 3 {HELPLESS}"
    )


def test_init_containers_count_by_the_largest_and_sidecars_in_full() -> None:
    containers = [{"name": "main", "resources": {"requests": {"cpu": "1"}}}]
    sidecar = {"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "500m"}}}
    init = {"name": "i", "resources": {"requests": {"cpu": "3"}}}
    assert pod(containers=containers, initContainers=[sidecar, init]).requests == {"cpu": 3500}
    assert pod(containers=containers, initContainers=[sidecar], overhead={"cpu": "100m"}).requests == {"cpu": 1600}
    assert pod(containers=containers, resources={"requests": {"cpu": "2"}}).requests == {"cpu": 2000}


def test_a_cordoned_node_and_the_selector_are_told_apart() -> None:
    cordon = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
    where = snapshot(node("a", unschedulable=True, taints=[cordon]), node("b"), node("c"))
    wanted = pod(nodeSelector={"kubernetes.io/hostname": "a"})
    assert refusal(wanted, where) == (
        "0/3 nodes are available: 1 node(s) were unschedulable, 2 node(s) didn't match Pod's node affinity/selector. "
        f"preemption: 0/3 nodes are available: 3 {HELPLESS}"
    )


@pytest.mark.parametrize(
    ("toleration", "fits"),
    [
        ({"key": "gpu", "operator": "Equal", "value": "a", "effect": "NoSchedule"}, True),
        ({"key": "gpu", "operator": "Exists"}, True),
        ({"operator": "Exists"}, True),
        ({"key": "gpu", "value": "b"}, False),
        ({"key": "gpu", "operator": "Exists", "effect": "NoExecute"}, False),
    ],
)
def test_a_taint_is_tolerated_by_key_value_and_effect(toleration: dict[str, str], fits: bool) -> None:
    where = snapshot(node("a", taints=[TAINT]))
    wanted = pod(tolerations=[toleration])
    if fits:
        assert names(wanted, where) == ["a"]
    else:
        assert "1 node(s) had untolerated taint(s)." in refusal(wanted, where)


def test_node_affinity_terms_are_alternatives_and_their_expressions_all_hold() -> None:
    where = snapshot(node("a", labels={"disk": "ssd", "size": "5"}), node("b", labels={"disk": "hdd"}), node("c"))

    def wanted(*terms: list[dict[str, object]]) -> dict[str, object]:
        return {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchExpressions": term} for term in terms]
                }
            }
        }

    ssd = {"key": "disk", "operator": "In", "values": ["ssd"]}
    none = {"key": "disk", "operator": "DoesNotExist"}
    assert names(pod(affinity=wanted([ssd], [none])), where) == ["a", "c"]
    assert names(pod(affinity=wanted([ssd, {"key": "size", "operator": "Gt", "values": ["4"]}])), where) == ["a"]
    assert names(pod(affinity=wanted([{"key": "disk", "operator": "NotIn", "values": ["ssd"]}])), where) == ["b", "c"]


def test_a_pod_for_one_named_node_says_which_plugin_kept_it_from_the_others() -> None:
    named = {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["a"]}]}]
            }
        }
    }
    where = snapshot(node("a", allocatable={"cpu": "0"}), node("b"), node("c"))
    assert refusal(pod(requests={"cpu": "1"}, affinity=named), where).startswith(
        "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't satisfy plugin(s) [NodeAffinity]."
    )


def test_a_host_port_is_free_once_a_node_and_address() -> None:
    def at(address: str | None) -> list[dict[str, object]]:
        port = {"containerPort": 80, "hostPort": 8080, "protocol": "TCP", **({"hostIP": address} if address else {})}
        return [{"name": "main", "ports": [port]}]

    where = snapshot(node("a", pod(containers=at("127.0.0.1"))), node("b", pod(containers=at(None))))
    assert names(pod(containers=at("127.0.0.2")), where) == ["a"]
    assert refusal(pod(containers=at(None)), where).startswith(
        "0/2 nodes are available: 2 node(s) didn't have free ports for the requested pod ports."
    )


def test_anti_affinity_keeps_pods_apart_and_binds_both_ways() -> None:
    first = pod(labels={"app": "web"}, affinity=APART)
    where = snapshot(node("a", first), node("b"))
    assert names(pod(labels={"app": "web"}, affinity=APART), where) == ["b"]
    assert names(pod(labels={"app": "web"}), where) == ["b"]
    assert names(pod(labels={"app": "web"}, namespace="other"), where) == ["a", "b"]
    full = snapshot(node("a", first))
    assert refusal(pod(labels={"app": "web"}, affinity=APART), full) == (
        f"0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules. preemption: 0/1 nodes are available: 1 {NO_VICTIMS}"
    )
    assert "1 node(s) didn't satisfy existing pods anti-affinity rules." in refusal(pod(labels={"app": "web"}), full)


def test_affinity_follows_its_friends_and_the_first_of_a_group_may_go_anywhere() -> None:
    where = snapshot(node("a"), node("b", pod(labels={"app": "web"})))
    assert names(pod(affinity=TOGETHER), where) == ["b"]
    empty = snapshot(node("a"), node("b"))
    assert names(pod(labels={"app": "web"}, affinity=TOGETHER), empty) == ["a", "b"]
    assert "2 node(s) didn't match pod affinity rules." in refusal(pod(affinity=TOGETHER), empty)


def test_affinity_may_choose_namespaces_by_their_labels() -> None:
    term = {
        "labelSelector": {"matchLabels": {"app": "web"}},
        "topologyKey": "kubernetes.io/hostname",
        "namespaceSelector": {"matchLabels": {"team": "x"}},
    }
    affinity = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    friend = pod(labels={"app": "web"}, namespace="other")
    where = snapshot(node("a"), node("b", friend), namespaces={"other": {"team": "x"}})
    assert names(pod(affinity=affinity), where) == ["b"]


def test_pods_with_scheduling_wishes_by_label_keys_compare_their_own_value() -> None:
    term = {
        "labelSelector": {"matchLabels": {"app": "web"}},
        "topologyKey": "kubernetes.io/hostname",
        "matchLabelKeys": ["version"],
    }
    affinity = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    where = snapshot(node("a", pod(labels={"app": "web", "version": "1"})))
    assert names(pod(labels={"app": "web", "version": "2"}, affinity=affinity), where) == ["a"]


def test_without_any_node_the_message_is_short() -> None:
    from halab.cluster.scheduler.filters import feasible
    from halab.cluster.scheduler.status import Unfit

    with pytest.raises(Unfit, match=r"^no nodes available to schedule pods$"):
        feasible(pod(), snapshot())
