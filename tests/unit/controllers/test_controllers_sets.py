"""Replica sets, stateful sets and daemon sets: which pods they make and which they give up."""

from __future__ import annotations

from typing import Any

import pytest
from controller_objects import NOW, made, owned, pod

from halab.cluster.controllers import daemon_set_plan, replica_set, stateful_set_plan
from halab.cluster.controllers.revisions import history
from halab.cluster.kube.kinds import STATEFUL_SETS
from halab.cluster.kube.types import Obj


def set_of(replicas: int, status: Obj | None = None) -> Obj:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    return made("ReplicaSet", "web", "apps/v1", spec=spec, status=status or {})


def names(pods: list[Obj]) -> list[str]:
    return [each["metadata"]["name"] for each in pods]


def test_a_replica_set_makes_what_is_missing() -> None:
    assert replica_set.plan(set_of(3), [pod("a")], [], NOW).create == 2


def test_pods_go_in_the_order_of_their_worth() -> None:
    pods = [
        pod("old", ready=True, since=10_000),
        pod("young", ready=True, since=10),
        pod("unready"),
        pod("pending", phase="Pending"),
        pod("homeless", phase="Pending", node=""),
        pod("cheap", ready=True, since=10_000),
    ]
    pods[-1]["metadata"]["annotations"] = {"controller.kubernetes.io/pod-deletion-cost": "-5"}
    chosen = replica_set.plan(set_of(1), pods, pods, NOW).delete
    assert names(chosen) == ["homeless", "pending", "unready", "cheap", "young"]


def test_of_equal_pods_the_one_on_the_crowded_node_goes() -> None:
    pods = [pod("a", ready=True, node="one"), pod("b", ready=True, node="two"), pod("c", ready=True, node="two")]
    assert names(replica_set.plan(set_of(2), pods, pods, NOW).delete) == ["b"]


def test_a_replica_set_that_is_deleted_does_nothing() -> None:
    rs = set_of(3)
    rs["metadata"]["deletionTimestamp"] = "2024-01-01T00:00:00Z"
    assert replica_set.plan(rs, [], [], NOW) == replica_set.Plan(0, [])


def test_min_ready_seconds_hold_back_availability() -> None:
    rs = set_of(1)
    rs["spec"]["minReadySeconds"] = 60
    made_status = replica_set.status(rs, [pod("a", ready=True, since=50)], None, NOW)
    assert made_status["readyReplicas"] == 1 and "availableReplicas" not in made_status


def test_a_failure_is_a_condition_while_it_lasts() -> None:
    failed = replica_set.status(set_of(1), [], ("FailedCreate", "no room"), NOW)
    assert failed["conditions"][0]["reason"] == "FailedCreate"
    assert "conditions" not in replica_set.status(set_of(1, failed), [], None, NOW)


# Stateful sets


def db(replicas: int = 3, *, image: str = "one", status: Obj | None = None, **spec: Any) -> Obj:
    template = {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "main", "image": image}]}}
    body = {"replicas": replicas, "serviceName": "peers", "selector": {"matchLabels": {"app": "db"}}, "template": template}
    return made("StatefulSet", "db", "apps/v1", spec=body | spec, status=status or {})


def member(owner: Obj, ordinal: int, revision: Obj, *, ready: bool = True, **more: Any) -> Obj:
    each = stateful_set_plan.new_pod(owner, revision, ordinal)
    shown = pod(f"db-{ordinal}", ready=ready, labels=each["metadata"]["labels"], **more)
    shown["spec"] |= {key: value for key, value in each["spec"].items() if key == "volumes"}
    return owned(shown, owner)


def revision(owner: Obj) -> Obj:
    return history(owner, STATEFUL_SETS, []).current


def test_an_ordered_set_makes_one_pod_and_waits_for_it() -> None:
    owner = db()
    now = revision(owner)
    first = stateful_set_plan.plan(owner, [], now, now, NOW)
    assert names(first.create) == ["db-0"]
    assert names(stateful_set_plan.plan(owner, [member(owner, 0, now, ready=False)], now, now, NOW).create) == []
    assert names(stateful_set_plan.plan(owner, [member(owner, 0, now)], now, now, NOW).create) == ["db-1"]


def test_what_the_server_refuses_is_not_counted_but_the_revisions_are_told() -> None:
    owner = db()
    now = revision(owner)
    todo = stateful_set_plan.plan(owner, [], now, now, NOW)
    assert (todo.status["replicas"], todo.standing["replicas"]) == (1, 0)
    assert todo.standing["updateRevision"] == now["metadata"]["name"]


def test_a_parallel_set_makes_all_at_once() -> None:
    owner = db(podManagementPolicy="Parallel")
    now = revision(owner)
    assert names(stateful_set_plan.plan(owner, [], now, now, NOW).create) == ["db-0", "db-1", "db-2"]


def test_members_have_names_labels_and_claims_that_stay() -> None:
    claim = {"metadata": {"name": "data", "labels": {"kind": "disk"}}, "spec": {"accessModes": ["ReadWriteOnce"]}}
    owner = db(volumeClaimTemplates=[claim])
    each = stateful_set_plan.new_pod(owner, revision(owner), 2)
    assert each["metadata"]["labels"] == {
        "app": "db",
        "controller-revision-hash": revision(owner)["metadata"]["name"],
        "statefulset.kubernetes.io/pod-name": "db-2",
        "apps.kubernetes.io/pod-index": "2",
    }
    assert (each["spec"]["hostname"], each["spec"]["subdomain"]) == ("db-2", "peers")
    assert each["spec"]["volumes"] == [{"name": "data", "persistentVolumeClaim": {"claimName": "data-db-2"}}]
    wanted = stateful_set_plan.claims_of(owner, 2)[0]["metadata"]
    assert (wanted["name"], wanted["labels"]) == ("data-db-2", {"kind": "disk", "app": "db"})


def test_scaling_down_takes_the_highest_and_waits() -> None:
    owner = db(1)
    now = revision(owner)
    pods = [member(owner, i, now) for i in range(3)]
    assert names(stateful_set_plan.plan(owner, pods, now, now, NOW).delete) == ["db-2"]
    pods[2] = member(owner, 2, now, deleting=True)
    assert stateful_set_plan.plan(owner, pods, now, now, NOW).delete == []


@pytest.mark.parametrize(("partition", "expected"), [(0, ["db-2"]), (2, ["db-2"]), (3, [])])
def test_an_update_goes_from_the_highest_down_to_the_partition(partition: int, expected: list[str]) -> None:
    before = revision(db(image="one"))
    owner = db(image="two", updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": partition}})
    pods = [member(owner, i, before) for i in range(3)]
    assert names(stateful_set_plan.plan(owner, pods, before, revision(owner), NOW).delete) == expected


def test_an_update_waits_for_the_pod_it_replaced() -> None:
    before, owner = revision(db(image="one")), db(image="two")
    after = revision(owner)
    pods = [member(owner, 0, before), member(owner, 1, before), member(owner, 2, after, ready=False)]
    assert stateful_set_plan.plan(owner, pods, before, after, NOW).delete == []


def test_a_pod_below_the_partition_comes_back_as_it_was() -> None:
    before = revision(db(image="one"))
    owner = db(image="two", updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 1}})
    created = stateful_set_plan.plan(owner, [], before, revision(owner), NOW).create
    assert created[0]["spec"]["containers"][0]["image"] == "one"


def test_a_finished_update_makes_the_new_revision_the_current_one() -> None:
    before, owner = revision(db(image="one")), db(image="two")
    after = revision(owner)
    status = stateful_set_plan.plan(owner, [member(owner, i, after) for i in range(3)], before, after, NOW).status
    assert status["currentRevision"] == status["updateRevision"] == after["metadata"]["name"]
    assert status["currentReplicas"] == 3


def test_a_rolled_back_template_finds_its_revision_again() -> None:
    one = history(db(image="one"), STATEFUL_SETS, []).current
    two = history(db(image="two"), STATEFUL_SETS, [one]).current
    assert two["revision"] == 2
    back = history(db(image="one"), STATEFUL_SETS, [one, two]).current
    assert (back["metadata"]["name"], back["revision"]) == (one["metadata"]["name"], 3)


# Daemon sets


def node(name: str, *, labels: dict[str, str] | None = None, taints: list[Obj] | None = None) -> Obj:
    obj = made("Node", name, labels=labels or {}, spec={"taints": taints or []}, status={})
    del obj["metadata"]["namespace"]
    return obj


def agent(**spec: Any) -> Obj:
    template = {"metadata": {"labels": {"app": "agent"}}, "spec": {"containers": []} | spec}
    body = {"selector": {"matchLabels": {"app": "agent"}}, "template": template}
    return made("DaemonSet", "agent", "apps/v1", spec=body, status={})


def on(name: str, hash: str = "h", **more: Any) -> Obj:
    return pod(f"agent-{name}", node=name, labels={"app": "agent", "controller-revision-hash": hash}, **more)


def test_a_daemon_set_wants_a_pod_on_every_node_that_fits() -> None:
    nodes = {
        "a": node("a", labels={"disk": "ssd"}),
        "b": node("b"),
        "c": node("c", labels={"disk": "ssd"}, taints=[{"key": "x", "effect": "NoSchedule"}]),
    }
    todo = daemon_set_plan.plan(agent(nodeSelector={"disk": "ssd"}), [on("b")], nodes, "h", NOW)
    assert todo.create == ["a"] and names([each for each, _ in todo.delete]) == ["agent-b"]
    assert (todo.status["desiredNumberScheduled"], todo.status["numberMisscheduled"]) == (1, 1)


def test_a_node_that_is_not_ready_keeps_its_daemon() -> None:
    taint = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}
    assert daemon_set_plan.fits(agent(), node("a", taints=[taint])) == (True, True)


def test_a_daemon_pod_is_bound_to_its_node_by_affinity() -> None:
    each = daemon_set_plan.new_pod(agent(), "a", "h")
    assert daemon_set_plan.node_of(each) == "a"
    assert {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"} in each["spec"]["tolerations"]


def test_a_daemon_update_takes_one_node_at_a_time() -> None:
    nodes = {name: node(name) for name in "abc"}
    ready = [on(name, "old", ready=True) for name in "abc"]
    assert len(daemon_set_plan.plan(agent(), ready, nodes, "new", NOW).delete) == 1
    ready[0] = on("a", "new")
    assert daemon_set_plan.plan(agent(), ready, nodes, "new", NOW).delete == []


def test_a_failed_daemon_is_replaced_and_said_so() -> None:
    (gone,) = daemon_set_plan.plan(agent(), [on("a", phase="Failed")], {"a": node("a")}, "h", NOW).delete
    assert gone[1] is not None and gone[1][1] == "FailedDaemonPod"


def test_a_pod_that_has_ended_on_a_node_it_should_leave_no_longer_counts_as_misplaced() -> None:
    owner, nodes = agent(nodeSelector={"disk": "ssd"}), {"a": node("a")}
    going = on("a", deleting=True)
    assert daemon_set_plan.plan(owner, [going], nodes, "h", NOW).status["numberMisscheduled"] == 1
    going["status"]["phase"] = "Succeeded"
    assert daemon_set_plan.plan(owner, [going], nodes, "h", NOW).status["numberMisscheduled"] == 0
