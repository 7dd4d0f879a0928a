from __future__ import annotations

from typing import Any

from scheduler_objects import names, node, pod, refusal, snapshot

from halab.cluster.scheduler.filters import Cycle

WAIT = {"wait": {"provisioner": "example.com/p", "volumeBindingMode": "WaitForFirstConsumer"}}
STATIC = {"wait": {"provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer"}}


def claim(
    name: str = "data", *, storage_class: str = "wait", volume: str = "", bound: bool = False, **meta: Any
) -> dict[str, Any]:
    annotations = {"pv.kubernetes.io/bind-completed": "yes"} if bound else {}
    return {
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": name,
            "annotations": {**annotations, **meta.pop("annotations", {})},
            **meta,
        },
        "spec": {
            "storageClassName": storage_class,
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            **({"volumeName": volume} if volume else {}),
        },
    }


def volume(name: str, on: str = "", size: str = "1Gi") -> dict[str, Any]:
    spec: dict[str, Any] = {"storageClassName": "wait", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": size}}
    if on:
        term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [on]}]}
        spec["nodeAffinity"] = {"required": {"nodeSelectorTerms": [term]}}
    return {"metadata": {"name": name, "labels": {}}, "spec": spec, "status": {"phase": "Available"}}


def user(name: str = "data") -> Any:
    return pod(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": name}}])


def test_a_claim_that_does_not_exist_is_named() -> None:
    assert refusal(user(), snapshot(node("a"))) == ('0/1 nodes are available: persistentvolumeclaim "data" not found. not found')


def test_an_immediate_claim_must_be_bound_first() -> None:
    where = snapshot(node("a"), claims={"data": claim(storage_class="other")})
    assert "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims." in refusal(user(), where)


def test_a_bound_volume_holds_the_pod_on_its_node() -> None:
    claims = {"data": claim(volume="pv", bound=True)}
    where = snapshot(node("a"), node("b"), claims=claims, volumes={"pv": volume("pv", on="b")})
    assert names(user(), where) == ["b"]
    gone = snapshot(node("a"), node("b", unschedulable=True), claims=claims, volumes={"pv": volume("pv", on="b")})
    assert "1 node(s) didn't match PersistentVolume's node affinity, 1 node(s) were unschedulable." in refusal(user(), gone)


def test_a_waiting_claim_takes_the_smallest_volume_that_fits_on_the_node() -> None:
    pvs = {
        each["metadata"]["name"]: each
        for each in (volume("big", "a", "9Gi"), volume("small", "a", "2Gi"), volume("tiny", "a", "1Mi"))
    }
    where = snapshot(node("a"), node("b"), claims={"data": claim()}, volumes=pvs, classes=STATIC)
    wanted = user()
    assert names(wanted, where) == ["a"]
    choice = Cycle(wanted, where).volumes.choose(where.nodes["a"])
    assert choice is not None
    assert [(owner["metadata"]["name"], found["metadata"]["name"]) for owner, found in choice.volumes] == [("data", "small")]


def test_a_waiting_claim_is_provisioned_on_the_chosen_node() -> None:
    where = snapshot(node("a"), claims={"data": claim()}, classes=WAIT)
    choice = Cycle(user(), where).volumes.choose(where.nodes["a"])
    assert choice is not None
    assert [owner["metadata"]["name"] for owner in choice.provision] == ["data"]


def test_without_a_provisioner_and_a_volume_no_node_will_do() -> None:
    where = snapshot(node("a"), node("b"), claims={"data": claim()}, classes=STATIC)
    assert "0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind." in refusal(user(), where)


def test_a_claim_that_was_promised_to_a_node_stays_with_it() -> None:
    promised = claim(annotations={"volume.kubernetes.io/selected-node": "b"})
    where = snapshot(node("a"), node("b"), claims={"data": promised}, classes=WAIT)
    assert names(user(), where) == ["b"]


def test_a_read_write_once_pod_claim_has_one_user() -> None:
    alone = claim(volume="pv", bound=True)
    alone["spec"]["accessModes"] = ["ReadWriteOncePod"]
    where = snapshot(node("a", user()), claims={"data": alone}, volumes={"pv": volume("pv")})
    assert "1 node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode." in refusal(
        user(), where
    )
