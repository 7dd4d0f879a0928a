from __future__ import annotations

from typing import Any

from scheduler_objects import names, node, place, pod, refusal, snapshot

WEB = {"app": "web"}


def constraint(**fields: Any) -> dict[str, Any]:
    return {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": WEB},
        **fields,
    }


def web(**fields: Any) -> Any:
    return pod(labels=WEB, topologySpreadConstraints=[constraint(**fields)])


def test_hard_spreading_places_six_pods_two_a_node() -> None:
    where = snapshot(node("a"), node("b"), node("c"))
    placed = [place(web(), where) for _ in range(6)]
    assert sorted(placed) == ["a", "a", "b", "b", "c", "c"]


def test_a_skew_that_would_be_too_large_is_refused_in_kubernetes_words() -> None:
    where = snapshot(node("a", web()), node("b", unschedulable=True))
    text = refusal(web(), where)
    assert "1 node(s) didn't match pod topology spread constraints, 1 node(s) were unschedulable." in text


def test_nodes_without_the_label_are_refused_for_good() -> None:
    where = snapshot(node("a"), node("b"))
    text = refusal(web(topologyKey="zone"), where)
    assert "2 node(s) didn't match pod topology spread constraints (missing required label)." in text


def test_min_domains_counts_missing_places_as_empty() -> None:
    where = snapshot(node("a", web()), node("b", web()))
    assert names(web(), where) == ["a", "b"]
    assert "2 node(s) didn't match pod topology spread constraints." in refusal(web(minDomains=3), where)


def test_tainted_nodes_count_as_places_unless_the_policy_honors_taints() -> None:
    taint = {"key": "x", "effect": "NoSchedule"}
    where = snapshot(node("a", web()), node("b", taints=[taint]))
    assert "1 node(s) didn't match pod topology spread constraints" in refusal(web(), where)
    assert names(web(nodeTaintsPolicy="Honor"), where) == ["a"]


def test_nodes_that_the_selector_excludes_count_only_when_the_policy_ignores_it() -> None:
    where = snapshot(node("a", web(), labels={"pool": "x"}), node("b"))
    wanted = pod(labels=WEB, nodeSelector={"pool": "x"}, topologySpreadConstraints=[constraint()])
    assert names(wanted, where) == ["a"]
    ignoring = pod(labels=WEB, nodeSelector={"pool": "x"}, topologySpreadConstraints=[constraint(nodeAffinityPolicy="Ignore")])
    assert "1 node(s) didn't match pod topology spread constraints" in refusal(ignoring, where)


def test_match_label_keys_spread_each_revision_by_itself() -> None:
    old = {**WEB, "pod-template-hash": "1"}
    where = snapshot(node("a", pod(labels=old)), node("b", pod(labels=old), pod(labels=old)))
    new = {**WEB, "pod-template-hash": "2"}
    spread = [constraint(matchLabelKeys=["pod-template-hash"])]
    assert names(pod(labels=new, topologySpreadConstraints=spread), where) == ["a", "b"]


def test_pods_that_are_being_deleted_do_not_count() -> None:
    where = snapshot(node("a", pod(labels=WEB, terminating=True)), node("b", web()))
    assert names(web(), where) == ["a"]


def test_soft_spreading_prefers_the_emptiest_place() -> None:
    where = snapshot(node("a", web()), node("b"), node("c", pod(requests={"cpu": "1"})))
    assert place(web(whenUnsatisfiable="ScheduleAnyway"), where) == "b"


def test_replicas_without_any_wish_are_spread_by_default() -> None:
    where = snapshot(node("a"), node("b"), node("c"), selectors=[lambda labels: labels.get("app") == "web"])
    placed = [place(pod(labels=WEB, requests={"cpu": "100m"}), where) for _ in range(6)]
    assert sorted(placed) == ["a", "a", "b", "b", "c", "c"]


def test_default_spreading_outweighs_a_busier_node() -> None:
    busy = [pod(requests={"cpu": "200m"}) for _ in range(3)]
    where = snapshot(node("a", pod(labels=WEB)), node("b", *busy), selectors=[lambda labels: labels.get("app") == "web"])
    assert place(pod(labels=WEB, requests={"cpu": "100m"}), where) == "b"
