"""Silent nodes, tolerated taints, budgets, quotas, autoscaling, volumes."""

from __future__ import annotations

from typing import Any

import pytest
from controller_objects import NOW, made, pod

from halab.cluster.client import rfc3339
from halab.cluster.controllers import disruption, quota, volume_match
from halab.cluster.controllers.hpa_behavior import History, limit
from halab.cluster.controllers.hpa_metrics import Measure, MetricError, measures, propose
from halab.cluster.controllers.hpa_words import failure, unregistered
from halab.cluster.controllers.node_health import may_evict, silent_conditions, taints, unready_pod_conditions
from halab.cluster.controllers.taint_eviction import stays_for
from halab.cluster.controllers.volume_protection import claims_of, in_use
from halab.cluster.kube.kinds import CONFIG_MAPS, PODS
from halab.cluster.kube.types import Obj


def node(name: str = "n", ready: str = "True", **spec: Any) -> Obj:
    heartbeat = {"lastHeartbeatTime": rfc3339(NOW - 60), "lastTransitionTime": rfc3339(NOW - 90)}
    conditions = [{"type": "Ready", "status": ready, "reason": "KubeletReady", "message": "", **heartbeat}] if ready else []
    return made("Node", name, spec=spec, status={"conditions": conditions})


def effects(each: Obj, *, evict: bool = True) -> list[str]:
    return [f"{taint['key'].split('/')[1]}:{taint['effect']}" for taint in taints(each, evict=evict, now=NOW)]


def test_silence_makes_every_condition_unknown() -> None:
    found = {each["type"]: each for each in silent_conditions(node(), NOW)}
    assert found["Ready"]["reason"] == "NodeStatusUnknown" and found["Ready"]["status"] == "Unknown"
    assert found["Ready"]["lastHeartbeatTime"] == rfc3339(NOW - 60)
    assert found["DiskPressure"]["reason"] == "NodeStatusNeverUpdated"


def test_taints_follow_the_conditions_and_leave_others_alone() -> None:
    assert effects(node(ready="Unknown")) == ["unreachable:NoExecute", "unreachable:NoSchedule"]
    assert effects(node(ready="False"), evict=False) == ["not-ready:NoSchedule"]
    assert effects(node(unschedulable=True)) == ["unschedulable:NoSchedule"]
    theirs = {"key": "a/b", "effect": "NoExecute"}
    ours = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
    assert effects(node(taints=[theirs, ours])) == ["b:NoExecute"]
    assert effects(node(ready="")) == []


@pytest.mark.parametrize(("ready", "expected"), [("TTU", True), ("UUU", False), ("U", False), ("TUUU", False), ("TTTU", True)])
def test_nobody_is_driven_away_when_most_nodes_are_silent(ready: str, expected: bool) -> None:
    assert may_evict([node(ready="True" if each == "T" else "Unknown") for each in ready]) is expected


def test_pods_of_a_lost_node_become_unready_once() -> None:
    changed = unready_pod_conditions(pod("a", ready=True), NOW)
    assert changed is not None and changed[0]["status"] == "False"
    assert unready_pod_conditions(pod("a", ready=False), NOW) is None


def test_a_pod_stays_as_long_as_it_tolerates() -> None:
    taint = {"key": "down", "effect": "NoExecute"}
    assert stays_for(pod("a"), [taint]) == 0.0
    assert stays_for(pod("a", tolerations=[{"operator": "Exists"}]), [taint]) is None
    limited = {"key": "down", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30}
    assert stays_for(pod("a", tolerations=[limited]), [taint]) == 30.0
    assert stays_for(pod("a"), []) is None


# Budgets


def budget(status: Obj | None = None, **spec: Any) -> Obj:
    return made(
        "PodDisruptionBudget", "b", "policy/v1", spec={"selector": {"matchLabels": {"app": "web"}}} | spec, status=status or {}
    )


@pytest.mark.parametrize(
    ("spec", "allowed", "desired"),
    [
        ({"minAvailable": 2}, 1, 2),
        ({"minAvailable": "50%"}, 1, 2),
        ({"maxUnavailable": 1}, 1, 2),
        ({"maxUnavailable": "30%"}, 1, 2),
    ],
)
def test_a_budget_allows_what_is_beyond_the_minimum(spec: Obj, allowed: int, desired: int) -> None:
    found = disruption.status(budget(**spec), [pod(f"p{i}", ready=True) for i in range(3)], 3, NOW)
    assert (found["disruptionsAllowed"], found["desiredHealthy"], found["expectedPods"]) == (allowed, desired, 3)
    assert found["conditions"][0]["reason"] == "SufficientPods"


def test_an_evicted_pod_counts_as_gone_until_it_should_be() -> None:
    pods = [pod(f"p{i}", ready=True) for i in range(3)]
    noted = budget({"disruptedPods": {"p0": rfc3339(NOW - 10), "left": rfc3339(NOW)}}, minAvailable=2)
    found = disruption.status(noted, pods, 0, NOW)
    assert (found["disruptionsAllowed"], list(found["disruptedPods"])) == (0, ["p0"])
    _, recheck, late = disruption.disrupted(noted, pods, NOW)
    assert recheck == 110 and late == []
    assert disruption.disrupted(noted, pods, NOW + 200)[2] == [pods[0]]


def test_a_quota_counts_what_is_there_in_whole_numbers_and_quantities() -> None:
    cap = made("ResourceQuota", "cap", spec={"hard": {"pods": "5", "requests.cpu": "2", "configmaps": "1"}})
    busy = pod("a", containers=[{"name": "m", "resources": {"requests": {"cpu": "300m"}}}])
    objects = [(PODS, busy), (PODS, pod("b", phase="Succeeded")), (CONFIG_MAPS, made("ConfigMap", "c"))]
    assert quota.used(cap, objects, NOW) == {"pods": "1", "requests.cpu": "300m", "configmaps": "1"}
    assert quota.used(cap, [], NOW) == {"pods": "0", "requests.cpu": "0", "configmaps": "0"}


# Autoscaling


def busy(count: int, request: str = "100m") -> list[Obj]:
    resources = {"requests": {"cpu": request}}
    return [pod(f"p{i}", ready=True, since=5000, containers=[{"name": "m", "resources": resources}]) for i in range(count)]


def use(count: int, milli: int) -> dict[str, Measure]:
    return {f"p{i}": Measure(milli, NOW, 15) for i in range(count)}


@pytest.mark.parametrize(("milli", "expected"), [(100, 4), (50, 2), (54, 2), (20, 1), (0, 0)])
def test_replicas_follow_use_beyond_the_tolerance(milli: int, expected: int) -> None:
    assert propose(2, busy(2), use(2, milli), "cpu", NOW, utilization=50).replicas == expected


def test_a_pod_without_metrics_never_makes_the_number_swing() -> None:
    assert propose(3, busy(3), use(2, 60), "cpu", NOW, utilization=50).replicas == 3
    assert propose(3, busy(3), use(2, 10), "cpu", NOW, utilization=50).replicas == 3


def test_a_raw_target_needs_no_requests() -> None:
    assert propose(1, [pod("p0", ready=True, since=5000)], use(1, 300), "cpu", NOW, average=100).replicas == 3


def test_what_is_missing_is_said_in_kubernetes_words() -> None:
    with pytest.raises(MetricError, match="missing request for cpu in container main of Pod p0"):
        propose(1, [pod("p0", ready=True)], use(1, 1), "cpu", NOW, utilization=50)
    with pytest.raises(MetricError, match="did not receive metrics for targeted pods"):
        propose(1, busy(1), {}, "cpu", NOW, utilization=50)


def test_metrics_are_read_per_container_and_pod() -> None:
    containers = [{"name": "a", "usage": {"cpu": "250m"}}, {"name": "b", "usage": {"cpu": "1500000n"}}]
    item = {"metadata": {"name": "p"}, "timestamp": rfc3339(NOW), "window": "1m10.5s", "containers": containers}
    assert measures([item], "cpu") == {"p": Measure(252, NOW, 70.5)}
    assert measures([item], "cpu", "a")["p"].value == 250


def test_growth_is_limited_and_shrinking_waits() -> None:
    history = History()
    grown = limit(None, history, 2, 50, 1, 20, NOW)
    assert (grown.replicas, grown.limited[1]) == (4, "ScaleUpLimit")
    assert limit(None, history, 6, 50, 1, 20, NOW + 1).replicas == 12  # the double at once, whatever was before
    history = History()
    assert limit({}, history, 2, 50, 1, 20, NOW).replicas == 6
    history.note_scale(2, 6, NOW)
    assert limit({}, history, 6, 50, 1, 20, NOW + 1).replicas == 6  # the rate of a policy is per 15 seconds
    history = History([(NOW, 6)])
    shrunk = limit(None, history, 6, 1, 1, 20, NOW + 60)
    assert (shrunk.replicas, shrunk.able[1]) == (6, "ScaleDownStabilized")
    assert limit(None, history, 6, 0, 1, 20, NOW + 1000).limited[1] == "TooFewReplicas"
    assert limit(None, History(), 15, 90, 1, 20, NOW).limited[1] == "TooManyReplicas"


def test_a_policy_may_forbid_shrinking() -> None:
    behavior = {"scaleDown": {"selectPolicy": "Disabled", "stabilizationWindowSeconds": 0}}
    assert limit(behavior, History(), 6, 1, 1, 20, NOW).replicas == 6


# Volumes


def volume(name: str, size: str, **spec: Any) -> Obj:
    body = {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "storageClassName": "c"}
    return made("PersistentVolume", name, spec=body | spec)


def a_claim(size: str = "1Gi", **spec: Any) -> Obj:
    body = {"resources": {"requests": {"storage": size}}, "accessModes": ["ReadWriteOnce"], "storageClassName": "c"}
    return made("PersistentVolumeClaim", "data", spec=body | spec)


def test_the_smallest_volume_that_suits_is_taken() -> None:
    volumes = [
        volume("big", "5Gi"),
        volume("small", "512Mi"),
        volume("right", "2Gi"),
        volume("other", "1Gi", storageClassName="x"),
    ]
    found = volume_match.best(volumes, a_claim())
    assert found is not None and found["metadata"]["name"] == "right"
    assert volume_match.best(volumes, a_claim(accessModes=["ReadWriteMany"])) is None


def test_a_volume_made_for_a_claim_goes_to_it_alone() -> None:
    reserved = volume("reserved", "9Gi", claimRef={"namespace": "ns", "name": "data"})
    taken = volume("taken", "1Gi", claimRef={"namespace": "ns", "name": "other", "uid": "u"})
    found = volume_match.best([volume("free", "1Gi"), reserved, taken], a_claim())
    assert found is reserved


def test_binding_marks_both_sides() -> None:
    bound = volume_match.bound_volume(volume("v", "2Gi"), a_claim())
    assert bound["spec"]["claimRef"]["uid"] == "uid-data"
    assert bound["metadata"]["annotations"] == {"pv.kubernetes.io/bound-by-controller": "yes"}
    assert volume_match.bound_volume(bound, a_claim()) is bound
    claimed = volume_match.bound_claim(a_claim(), bound)
    assert claimed["spec"]["volumeName"] == "v" and volume_match.bound_claim(claimed, bound) is claimed


def test_a_claim_is_in_use_while_a_pod_with_a_node_has_it() -> None:
    user = pod("a", volumes=[{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}, {"name": "s", "ephemeral": {}}])
    assert claims_of(user) == {"data", "a-s"} and in_use("data", [user])
    assert not in_use("data", [{**user, "status": {"phase": "Succeeded"}}])


def test_a_metric_that_no_api_serves_is_told_as_such() -> None:
    missing = "unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered"
    pods = {"type": "Pods", "pods": {"metric": {"name": "rps"}}}
    assert unregistered(pods, "ns") == f"unable to get metric rps: {missing}"
    described = {"kind": "Service", "name": "web"}
    of_object = {"type": "Object", "object": {"metric": {"name": "rps"}, "describedObject": described}}
    assert unregistered(of_object, "ns") == f"unable to get metric rps: Service on ns web/{missing}"
    external = {"type": "External", "external": {"metric": {"name": "queue", "selector": {"matchLabels": {"q": "a"}}}}}
    assert unregistered(external, "ns").startswith(
        "unable to get external metric ns/queue/&LabelSelector{MatchLabels:map[string]string{q: a,},"
        "MatchExpressions:[]LabelSelectorRequirement{},}: unable to fetch metrics from external metrics API: "
    )
    assert failure(external, "x") == ("FailedGetExternalMetric", "x", "failed to get queue external metric value: x")
