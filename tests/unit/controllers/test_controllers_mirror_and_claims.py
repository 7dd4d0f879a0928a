"""Endpoints written by hand, claims of ephemeral volumes, and who owns a stateful set's claims."""

from __future__ import annotations

from typing import Any

from controller_objects import made, owned, pod

from halab.cluster.controllers.actions import Create, Delete, Update
from halab.cluster.controllers.endpoints import MANAGED_BY, slices_plan
from halab.cluster.controllers.endpoints_mirror import MANAGER, is_mirrored, mirror_plan
from halab.cluster.controllers.ephemeral_volumes import claims_of
from halab.cluster.controllers.stateful_set_plan import claim_owners
from halab.cluster.kube.types import Obj

SUBSET = {
    "addresses": [{"ip": "192.0.2.1", "nodeName": "n"}],
    "notReadyAddresses": [{"ip": "192.0.2.2"}],
    "ports": [{"port": 8080}],
}


def by_hand(**meta: Any) -> Obj:
    obj = made("Endpoints", "web", subsets=[SUBSET])
    obj["metadata"] |= meta
    return obj


def mirrored(endpoints: Obj) -> Obj:
    (action,) = mirror_plan(endpoints, [])
    assert isinstance(action, Create)
    return action.obj


def test_endpoints_by_hand_become_a_slice_of_their_own() -> None:
    made_slice = mirrored(by_hand(labels={"l": "1"}, annotations={"a": "b"}))
    assert made_slice["metadata"]["labels"] == {"l": "1", "kubernetes.io/service-name": "web", MANAGED_BY: MANAGER}
    assert made_slice["metadata"]["annotations"] == {"a": "b"}
    assert made_slice["endpoints"] == [
        {"addresses": ["192.0.2.1"], "conditions": {"ready": True}, "nodeName": "n"},
        {"addresses": ["192.0.2.2"], "conditions": {"ready": False}},
    ]
    assert made_slice["ports"] == [{"name": "", "protocol": "TCP", "port": 8080}]


def test_a_mirror_follows_and_goes() -> None:
    endpoints = by_hand()
    existing = mirrored(endpoints)
    assert mirror_plan(endpoints, [existing]) == []
    fewer = by_hand(labels={"l": "2"})
    (action,) = mirror_plan(fewer, [existing])
    assert isinstance(action, Update) and action.obj["metadata"]["labels"]["l"] == "2"
    (gone,) = mirror_plan(endpoints | {"subsets": []}, [existing])
    assert isinstance(gone, Delete)


def test_only_a_service_without_selector_is_mirrored() -> None:
    service = made("Service", "web", spec={"ports": [{"port": 80}]})
    assert is_mirrored(by_hand(), service)
    assert not is_mirrored(by_hand(), service | {"spec": {"selector": {"a": "b"}}})
    assert not is_mirrored(by_hand(labels={"endpointslice.kubernetes.io/skip-mirror": "true"}), service)
    assert not is_mirrored(by_hand(), None)


def test_traffic_that_should_stay_close_is_told_so() -> None:
    zone = {"metadata": {"name": "node-1", "labels": {"topology.kubernetes.io/zone": "z"}}}
    service = made("Service", "web", spec={"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 80}]})
    for wish, hints in (
        ("PreferClose", {"forZones": [{"name": "z"}]}),
        ("PreferSameNode", {"forZones": [{"name": "z"}], "forNodes": [{"name": "node-1"}]}),
    ):
        service["spec"]["trafficDistribution"] = wish
        (action,) = slices_plan(service, [pod("p", ready=True, ip="192.0.2.1")], {"node-1": zone}, [])
        assert isinstance(action, Create)
        assert action.obj["endpoints"][0]["hints"] == hints


def test_an_ephemeral_volume_is_a_claim_of_its_pod() -> None:
    template = {"metadata": {"labels": {"l": "1"}}, "spec": {"accessModes": ["ReadWriteOnce"]}}
    of = pod("p", volumes=[{"name": "v", "ephemeral": {"volumeClaimTemplate": template}}, {"name": "w", "emptyDir": {}}])
    claims = claims_of(of)
    assert list(claims) == ["v"]
    meta = claims["v"]["metadata"]
    assert (meta["name"], meta["labels"], meta["ownerReferences"][0]["kind"]) == ("p-v", {"l": "1"}, "Pod")
    assert meta["ownerReferences"][0]["controller"] is True


def _owner(scaled: str, deleted: str) -> Obj:
    policy = {"whenScaled": scaled, "whenDeleted": deleted}
    return made("StatefulSet", "db", "apps/v1", spec={"replicas": 1, "persistentVolumeClaimRetentionPolicy": policy})


def _kinds(owner: Obj, name: str, claim: Obj) -> list[str]:
    return [each["kind"] for each in claim_owners(owner, pod(name), claim)]


def test_a_claim_is_owned_by_what_it_goes_with() -> None:
    claim = made("PersistentVolumeClaim", "d-db-0")
    assert _kinds(_owner("Retain", "Retain"), "db-0", claim) == []
    assert _kinds(_owner("Retain", "Delete"), "db-0", claim) == ["StatefulSet"]
    assert _kinds(_owner("Delete", "Delete"), "db-0", claim) == ["StatefulSet"]
    assert _kinds(_owner("Delete", "Delete"), "db-1", claim) == ["Pod"]
    assert _kinds(_owner("Delete", "Retain"), "db-0", claim) == []
    assert _kinds(_owner("Delete", "Retain"), "db-1", claim) == ["Pod"]


def test_a_policy_that_was_taken_back_gives_the_claim_up_and_another_owner_keeps_it() -> None:
    kept = owned(made("PersistentVolumeClaim", "d-db-0"), _owner("Retain", "Delete"))
    assert _kinds(_owner("Retain", "Retain"), "db-0", kept) == []
    others = owned(made("PersistentVolumeClaim", "d-db-0"), made("Widget", "w", "example.com/v1"))
    assert _kinds(_owner("Delete", "Delete"), "db-0", others) == ["Widget"]
