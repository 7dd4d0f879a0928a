"""Server-side apply and the tracking of managers."""

from __future__ import annotations

from typing import Any

import pytest

from halab.cluster.kube import kinds, managed_fields_scale
from halab.cluster.kube.apply import LAST_APPLIED, server_side_apply
from halab.cluster.kube.managed_fields import ANCIENT, keep_times, track
from halab.cluster.kube.schema import node_for
from halab.cluster.kube.status import ApiError
from halab.cluster.kube.types import Obj

CONFIG_MAP, DEPLOYMENT, SERVICE = node_for(kinds.CONFIG_MAPS), node_for(kinds.DEPLOYMENTS), node_for(kinds.SERVICES)


def at(second: int) -> str:
    return f"2026-01-01T00:00:{second:02}Z"


def config(data: Any, **metadata: Any) -> Obj:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", **metadata}, "data": data}


def apply(live: Obj | None, applied: Any, manager: str, second: int = 1, **more: Any) -> Obj:
    return server_side_apply(live, applied, CONFIG_MAP, manager, kind="ConfigMap", api_version="v1", now=at(second), **more)


def owners(obj: Obj) -> dict[str, Any]:
    return {entry["manager"]: entry["fieldsV1"] for entry in obj["metadata"].get("managedFields", [])}


def test_an_apply_owns_its_leaves_and_none_of_the_identity() -> None:
    made = apply(None, config({"a": "1"}, labels={"x": "y"}), "one")
    assert made["metadata"]["managedFields"] == [
        {
            "manager": "one",
            "operation": "Apply",
            "apiVersion": "v1",
            "time": at(1),
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:metadata": {"f:labels": {"f:x": {}}}, "f:data": {"f:a": {}}},
        }
    ]


def test_an_apply_of_the_same_changes_nothing_not_even_a_time() -> None:
    made = apply(None, config({"a": "1"}), "one", 1)
    assert apply(made, config({"a": "1"}), "one", 9) == made


def test_what_is_left_out_goes_unless_another_owns_it() -> None:
    made = apply(None, config({"a": "1", "b": "2", "c": "3"}, labels={"l": "1"}), "one", 1)
    shared = apply(made, config({"c": "3"}), "two", 2)
    assert [entry.get("time") for entry in shared["metadata"]["managedFields"]] == [None, at(1)]
    less = apply(shared, config({"a": "1"}), "one", 3)
    assert less["data"] == {"a": "1", "c": "3"}
    assert "labels" not in less["metadata"]


def test_a_conflict_names_every_field_and_manager() -> None:
    made = apply(None, config({"a": "1", "b": "1"}), "one")
    with pytest.raises(ApiError) as caught:
        apply(made, config({"a": "2", "b": "2"}), "two")
    assert caught.value.message == 'Apply failed with 2 conflicts: conflicts with "one":\n- .data.a\n- .data.b'
    assert caught.value.causes[0] == {"reason": "FieldManagerConflict", "message": 'conflict with "one"', "field": ".data.a"}
    forced = apply(made, config({"a": "2"}), "two", 2, force=True)
    assert owners(forced) == {"one": {"f:data": {"f:b": {}}}, "two": {"f:data": {"f:a": {}}}}


def test_an_update_takes_ownership_and_conflicts_name_its_version() -> None:
    made = apply(None, config({"a": "1"}), "one")
    changed = config({"a": "2"})
    changed["metadata"]["managedFields"] = track(made, changed, CONFIG_MAP, "hand", api_version="v1", now=at(2))
    assert owners(changed) == {"hand": {"f:data": {"f:a": {}}}}
    with pytest.raises(ApiError) as caught:
        apply(changed, config({"a": "1"}), "one")
    assert caught.value.message == 'Apply failed with 1 conflict: conflict with "hand" using v1: .data.a'


def test_what_the_schema_lacks_is_refused_with_its_path() -> None:
    with pytest.raises(ApiError) as caught:
        apply(None, config({"a": "1"}) | {"bogus": 1}, "one")
    assert (
        caught.value.message
        == "failed to create typed patch object (/c; /v1, Kind=ConfigMap): .bogus: field not declared in schema"
    )
    assert (caught.value.code, caught.value.reason) == (500, "")
    with pytest.raises(ApiError, match="invalid object type: /v1, Kind=Pod"):
        apply(None, {"apiVersion": "v1", "kind": "Pod"}, "one")
    with pytest.raises(ApiError, match=r"metadata\.managedFields must be nil"):
        apply(None, config({}, managedFields=[]), "one")


def service(*ports: Obj) -> Obj:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": list(ports)}}


def test_list_items_are_owned_by_their_keys_defaults_included() -> None:
    made = server_side_apply(None, service({"port": 80}), SERVICE, "one", kind="Service", api_version="v1", now=at(1))
    (ports,) = owners(made)["one"]["f:spec"].values()
    assert ports == {'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:port": {}}}
    more = server_side_apply(made, service({"port": 81}), SERVICE, "two", kind="Service", api_version="v1", now=at(2))
    assert [p["port"] for p in more["spec"]["ports"]] == [80, 81]
    with pytest.raises(ApiError, match=r'duplicate entries for key \[port=80,protocol="TCP"\]'):
        server_side_apply(None, service({"port": 80}, {"port": 80}), SERVICE, "one", kind="Service", api_version="v1", now=at(1))


def test_a_manager_that_applies_nothing_any_more_leaves_with_its_items() -> None:
    made = server_side_apply(None, service({"port": 80}), SERVICE, "one", kind="Service", api_version="v1", now=at(1))
    more = server_side_apply(made, service({"port": 81}), SERVICE, "two", kind="Service", api_version="v1", now=at(2))
    empty = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}}
    less = server_side_apply(more, empty, SERVICE, "two", kind="Service", api_version="v1", now=at(3))
    assert [p["port"] for p in less["spec"]["ports"]] == [80]
    assert list(owners(less)) == ["one"]


def test_status_and_spec_are_tracked_apart() -> None:
    spec = {
        "replicas": 1,
        "selector": {"matchLabels": {"a": "b"}},
        "strategy": {},
        "template": {"metadata": {}, "spec": {"containers": []}},
    }
    old: Obj = {"metadata": {"name": "d", "uid": "u"}, "spec": spec, "status": {}}
    old["metadata"]["managedFields"] = track(None, old, DEPLOYMENT, "maker", api_version="apps/v1", now=at(1))
    new = {**old, "spec": {**spec, "replicas": 5}, "status": {"replicas": 3}}
    through_status = track(old, new, DEPLOYMENT, "judge", api_version="apps/v1", subresource="status", now=at(2))
    assert {e["manager"]: e.get("subresource") for e in through_status} == {"maker": None, "judge": "status"}
    assert through_status[1]["fieldsV1"] == {"f:status": {"f:replicas": {}}}
    plain = track(old, new, DEPLOYMENT, "editor", api_version="apps/v1", now=at(2))
    assert plain[1]["fieldsV1"] == {"f:spec": {"f:replicas": {}}}


def test_a_new_object_s_structs_belong_to_nobody_and_its_maps_to_its_maker() -> None:
    made = track(None, config({"a": "1"}), CONFIG_MAP, "maker", api_version="v1", now=at(1))
    assert made[0]["fieldsV1"] == {"f:data": {".": {}, "f:a": {}}}


def test_an_object_without_managers_stays_so_until_an_apply() -> None:
    live = config({"a": "1"}, uid="u")
    assert track(live, config({"a": "2"}, uid="u"), CONFIG_MAP, "hand", api_version="v1", now=at(2)) == []
    assert set(owners(apply(live, config({"b": "2"}), "one"))) == {"before-first-apply", "one"}


def test_managed_fields_can_be_reset_by_an_empty_list() -> None:
    live = apply(None, config({"a": "1"}, uid="u"), "one")
    assert track(live, config({"a": "1"}, uid="u", managedFields=[]), CONFIG_MAP, "hand", api_version="v1", now=at(2)) == []


def test_the_oldest_updaters_are_folded_into_one() -> None:
    live = config({}, uid="u")
    live["metadata"]["managedFields"] = track(None, config({"x": "y"}), CONFIG_MAP, "m00", api_version="v1", now=at(0))
    for number in range(1, 12):
        new = config(live["data"] | {f"k{number}": "v"}, uid="u")
        new["metadata"]["managedFields"] = track(live, new, CONFIG_MAP, f"m{number:02}", api_version="v1", now=at(number))
        live = new
    names = [entry["manager"] for entry in live["metadata"]["managedFields"]]
    assert len(names) == 10
    assert names[0] == ANCIENT


def test_a_client_side_apply_is_taken_over_by_kubectl() -> None:
    annotation = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"},"data":{"a":"1"}}'
    live = config({"a": "1"}, uid="u", annotations={LAST_APPLIED: annotation})
    live["metadata"]["managedFields"] = track(None, live, CONFIG_MAP, "kubectl-client-side-apply", api_version="v1", now=at(1))
    taken = apply(live, config({"a": "2"}), "kubectl", 2)
    assert taken["data"] == {"a": "2"}
    assert '"a":"2"' in taken["metadata"]["annotations"][LAST_APPLIED]
    with pytest.raises(ApiError):
        apply(live, config({"a": "2"}), "other", 2)


def test_times_alone_are_no_change() -> None:
    old = apply(None, config({"a": "1"}), "one", 1)
    new = apply(None, config({"a": "1"}), "one", 5)
    keep_times(old, new)
    assert new == old


def test_a_write_of_the_scale_takes_the_replicas() -> None:
    spec = {"replicas": 1, "selector": {}, "strategy": {}, "template": {"metadata": {}, "spec": {"containers": []}}}
    parent = track(None, {"metadata": {}, "spec": spec, "status": {}}, DEPLOYMENT, "app", api_version="apps/v1", now=at(1))
    scale = managed_fields_scale.to_scale(parent)
    assert [(e["manager"], e["apiVersion"]) for e in scale] == [("app", "autoscaling/v1")]
    written = [{**scale[0], "manager": "scaler", "subresource": "scale"}]
    after = {e["manager"]: e for e in managed_fields_scale.to_parent(parent, written, "apps/v1")}
    assert "f:replicas" not in after["app"]["fieldsV1"]["f:spec"]
    assert after["scaler"] == {
        "manager": "scaler",
        "operation": "Update",
        "apiVersion": "apps/v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {"f:replicas": {}}},
        "subresource": "scale",
    }
