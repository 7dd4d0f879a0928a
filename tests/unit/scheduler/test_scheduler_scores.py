from __future__ import annotations

from scheduler_objects import node, place, pod, snapshot

from halab.cluster.scheduler import scores


def test_the_node_with_most_left_is_best() -> None:
    where = snapshot(node("a", pod(requests={"cpu": "2"})), node("b", pod(requests={"cpu": "1"})))
    assert place(pod(requests={"cpu": "1"}), where) == "b"


def test_pods_without_requests_count_as_small_ones() -> None:
    where = snapshot(node("a", pod(), pod()), node("b"))
    assert place(pod(), where) == "b"


def test_the_preferred_node_affinity_decides_among_the_allowed() -> None:
    preferred = [{"weight": 100, "preference": {"matchExpressions": [{"key": "x", "operator": "In", "values": ["b"]}]}}]
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}
    where = snapshot(node("a", labels={"x": "a"}), node("b", labels={"x": "b"}))
    assert place(pod(affinity=affinity), where) == "b"


def test_soft_taints_are_avoided() -> None:
    where = snapshot(node("a", taints=[{"key": "old", "effect": "PreferNoSchedule"}]), node("b", pod(requests={"cpu": "500m"})))
    assert place(pod(), where) == "b"


def test_preferred_anti_affinity_goes_elsewhere_and_affinity_comes_near() -> None:
    term = {"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "kubernetes.io/hostname"}
    wish = [{"weight": 50, "podAffinityTerm": term}]
    web = pod(labels={"app": "web"})
    apart = pod(affinity={"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": wish}})
    near = pod(affinity={"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": wish}})
    assert place(apart, snapshot(node("a", web), node("b"))) == "b"
    assert place(near, snapshot(node("a"), node("b", web))) == "b"


def test_an_image_that_is_there_already_is_worth_something() -> None:
    image = {"names": ["big:1"], "sizeBytes": 900 * 1024 * 1024}
    where = snapshot(node("a"), node("b", images=[image]))
    assert place(pod(containers=[{"name": "main", "image": "big:1"}]), where) == "b"


def test_equal_nodes_are_chosen_by_chance() -> None:
    from halab.cluster.scheduler.filters import feasible

    where = snapshot(node("a"), node("b"), node("c"))
    cycle, nodes = feasible(pod(), where)
    seen: list[str] = []
    scores.best(cycle, nodes, lambda equals: seen.extend(equals) or equals[0])
    assert seen == ["a", "b", "c"]


def test_balance_matters_where_the_free_share_is_equal() -> None:
    skewed = pod(requests={"cpu": "2", "memory": "0"})
    assert scores.balanced(pod(requests={"memory": "4Gi"}), node("a", skewed)) == 100
    assert scores.balanced(pod(requests={"cpu": "2"}), node("a", skewed)) == 50
