from __future__ import annotations

from typing import Any

from scheduler_objects import names, node, pod, refusal, snapshot, victims

GPU = {"example.com/gpu": "1"}


def low(name: str, priority: int = 10, started: str = "2026-01-01T00:00:00Z", **fields: Any) -> Any:
    fields.setdefault("requests", {"cpu": "2"})
    return pod(name, priority=priority, status={"startTime": started}, **fields)


def test_the_lower_one_goes_when_that_makes_room() -> None:
    where = snapshot(node("a", low("x", requests=GPU), allocatable=GPU), node("b"))
    assert victims(pod(priority=1000, requests=GPU), where) == ("a", ["x"])
    assert refusal(pod(priority=1000, requests=GPU), where) == "0/2 nodes are available: 2 Insufficient example.com/gpu."


def test_nobody_goes_for_a_pod_of_the_same_priority() -> None:
    where = snapshot(node("a", low("x", requests=GPU), allocatable=GPU), node("b"), node("c"))
    assert refusal(pod(priority=10, requests=GPU), where) == (
        "0/3 nodes are available: 3 Insufficient example.com/gpu. preemption: 0/3 nodes are available: "
        "1 No preemption victims found for incoming pod, 2 Preemption is not helpful for scheduling."
    )


def test_a_pod_that_may_not_preempt_says_so() -> None:
    where = snapshot(node("a", low("x", requests=GPU), allocatable=GPU))
    assert refusal(pod(priority=1000, requests=GPU, preemptionPolicy="Never"), where) == (
        "0/1 nodes are available: 1 Insufficient example.com/gpu. preemption: not eligible due to preemptionPolicy=Never."
    )


def test_only_as_many_go_as_must_and_the_important_stay() -> None:
    where = snapshot(node("a", low("old", 10, "2025-01-01T00:00:00Z"), low("new", 10, "2026-01-01T00:00:00Z")))
    assert victims(pod(priority=1000, requests={"cpu": "2"}), where) == ("a", ["new"])


def test_the_node_with_the_least_important_victims_is_chosen() -> None:
    where = snapshot(node("a", low("x", 20), low("y", 20)), node("b", low("z", 10), low("w", 10)))
    assert victims(pod(priority=1000, requests={"cpu": "4"}), where)[0] == "b"


def test_a_budget_protects_where_there_is_another_way() -> None:
    budget = {
        "metadata": {"namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": "db"}}},
        "status": {"disruptionsAllowed": 0},
    }
    where = snapshot(
        node("a", low("db", 5, labels={"app": "db"}), low("db2", 5, labels={"app": "db"})), node("b", low("x", 50), low("y", 50))
    )
    wanted = pod(priority=1000, requests={"cpu": "4"})
    assert victims(wanted, where)[0] == "a"
    assert victims(wanted, where, [budget])[0] == "b"


def test_victims_that_already_leave_are_waited_for() -> None:
    leaving = pod(
        "x",
        priority=10,
        requests=GPU,
        terminating=True,
        status={"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}]},
    )
    where = snapshot(node("a", leaving, allocatable=GPU))
    wanted = pod(priority=1000, requests=GPU, status={"nominatedNodeName": "a"})
    assert refusal(wanted, where).endswith("preemption: not eligible due to a terminating pod on the nominated node.")


def test_room_that_was_made_for_another_is_not_taken() -> None:
    from halab.cluster.scheduler.filters import feasible
    from halab.cluster.scheduler.status import Unfit

    where = snapshot(node("a", allocatable=GPU))
    nominated = {"a": [pod("high", priority=1000, requests=GPU)]}
    try:
        feasible(pod(priority=10, requests=GPU), where, nominated)
    except Unfit as unfit:
        assert unfit.message() == "0/1 nodes are available: 1 Insufficient example.com/gpu."
    else:
        raise AssertionError("it took the room")
    assert names(pod(priority=2000, requests=GPU), where) == ["a"]


def test_anti_affinity_can_be_solved_by_preemption() -> None:
    term = {"labelSelector": {"matchLabels": {"app": "db"}}, "topologyKey": "kubernetes.io/hostname"}
    affinity = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    where = snapshot(node("a", low("db", labels={"app": "db"})))
    assert victims(pod(priority=1000, affinity=affinity), where) == ("a", ["db"])
