"""Custom resources: kinds, defaults, validation, columns, status."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from halab.cluster.kube import crd, exact, gateway, schema, table
from halab.cluster.kube.apply import server_side_apply
from halab.cluster.kube.crd_columns import find
from halab.cluster.kube.kinds import Kind
from halab.cluster.kube.parse import parse_json
from halab.cluster.kube.types import Obj

PORTS = {
    "type": "array",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["port"],
    "items": {"type": "object", "required": ["port"], "properties": {"port": {"type": "integer"}, "name": {"type": "string"}}},
}
SPEC = {
    "type": "object",
    "required": ["size"],
    "properties": {
        "size": {"type": "integer", "minimum": 1, "maximum": 10},
        "color": {"type": "string", "default": "red", "enum": ["red", "blue"]},
        "name": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 3},
        "limit": {"x-kubernetes-int-or-string": True},
        "ports": PORTS,
    },
}
DEFINITION: Obj = {
    "metadata": {"name": "widgets.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"]},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"}},
                "additionalPrinterColumns": [
                    {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'}
                ],
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "required": ["spec"],
                        "properties": {"spec": SPEC, "status": {"type": "object"}},
                    }
                },
            },
            {"name": "v0", "served": False, "storage": False},
        ],
    },
}


@pytest.fixture
def kind() -> Iterator[Kind]:
    kinds = crd.register(DEFINITION)
    yield kinds[0]
    crd.unregister(kinds)


def widget(**spec: Any) -> Obj:
    return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec}


def faults(kind: Kind, **spec: Any) -> list[str]:
    return [str(error) for error in crd.validate(kind, widget(**spec))]


def test_only_served_versions_become_kinds(kind: Kind) -> None:
    assert [k.api_version for k in crd.kinds_of(DEFINITION)] == ["example.com/v1"]
    assert (kind.list_kind, kind.singular, kind.has_status) == ("WidgetList", "widget", True)
    assert crd.scale_paths(kind)["specReplicasPath"] == ".spec.size"


def test_defaults_fill_what_is_absent(kind: Kind) -> None:
    obj = widget(size=1)
    crd.apply_defaults(kind, obj)
    assert obj["spec"] == {"size": 1, "color": "red"}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({}, "spec.size: Required value"),
        ({"size": 0}, "spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1"),
        ({"size": "x"}, 'spec.size: Invalid value: "string": spec.size in body must be of type integer: "string"'),
        ({"size": 1, "color": "green"}, 'spec.color: Unsupported value: "green": supported values: "red", "blue"'),
        ({"size": 1, "name": "A"}, "spec.name: Invalid value: \"A\": spec.name in body should match '^[a-z]+$'"),
        ({"size": 1, "name": "abcd"}, "spec.name: Too long: may not be more than 3 bytes"),
        (
            {"size": 1, "limit": True},
            'spec.limit: Invalid value: "boolean": spec.limit in body must be of type integer,string: "boolean"',
        ),
        ({"size": 1, "ports": [{"port": 1}, {"port": 1}]}, 'spec.ports[1]: Duplicate value: {"port":1}'),
    ],
)
def test_validation_speaks_as_the_api_server_does(kind: Kind, spec: Any, message: str) -> None:
    assert faults(kind, **spec) == [message]


def test_columns_follow_their_paths(kind: Kind) -> None:
    obj = widget(size=1) | {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    shown = table.table(kind, [obj], "None", datetime.now(UTC))
    assert [column["name"] for column in shown["columnDefinitions"]] == ["Name", "Ready"]
    assert shown["rows"][0]["cells"] == ["w", "True"]


def test_paths_reach_into_lists_and_odd_names() -> None:
    obj = {"a": [{"b": 1}, {"b": 2}], "m": {"x.y/z": "v"}}
    assert find(obj, ".a[*].b") == [1, 2]
    assert find(obj, ".a[-1].b") == [2]
    assert find(obj, ".m['x.y/z']") == ["v"]
    assert find(obj, ".m.x\\.y/z") == ["v"]
    assert find(obj, ".nothing.here") == []


def test_an_apply_of_a_custom_resource_owns_items_by_its_keys(kind: Kind) -> None:
    node = schema.node_for(kind)
    made = server_side_apply(
        None, widget(size=1, ports=[{"port": 1}]), node, "m", kind="Widget", api_version="example.com/v1", now="t"
    )
    assert made["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]["f:ports"] == {'k:{"port":1}': {".": {}, "f:port": {}}}


def test_names_are_accepted_once_in_a_group() -> None:
    first = DEFINITION | {"status": crd.accepted_status(DEFINITION, [], "t1")}
    assert [c["status"] for c in first["status"]["conditions"]] == ["True", "True"]
    assert crd.accepted_status(first, [], "t2") == first["status"]
    second = DEFINITION | {"metadata": {"name": "others.example.com"}}
    refused = crd.accepted_status(second, [first], "t2")["conditions"]
    assert [(c["type"], c["status"], c["reason"]) for c in refused] == [
        ("NamesAccepted", "False", "PluralConflict"),
        ("Established", "False", "NotAccepted"),
    ]


def test_the_gateway_kinds_default_and_validate() -> None:
    kinds = [kind for definition in gateway.definitions() for kind in crd.register(definition)]
    route = next(kind for kind in kinds if kind.kind == "HTTPRoute")
    obj: Obj = {"spec": {"parentRefs": [{"name": "g"}], "rules": [{"backendRefs": [{"name": "a", "port": 80}]}]}}
    crd.apply_defaults(route, obj)
    rule = obj["spec"]["rules"][0]
    assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/"}}]
    assert rule["backendRefs"][0]["weight"] == 1
    assert crd.validate(route, obj) == []
    rule["backendRefs"][0]["port"] = 0
    assert len(crd.validate(route, obj)) == 1
    crd.unregister(kinds)


def test_repeated_keys_and_embedded_metadata_are_faults_of_custom_resources() -> None:
    embedded = {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True}
    open_ended = {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {"pod": embedded}}
    root = {"type": "object", "properties": {"spec": open_ended, "other": {"type": "object"}}}
    body = (
        b'{"metadata":{"name":"a","odd":1},"spec":{"x":1,"x":2,"pod":{"kind":"Pod","metadata":{"name":"b","strange":1}}},'
        b'"other":{"z":1,"y":1}}'
    )
    node, meta = crd.node_of(root), schema.definition_node(schema.OBJECT_META)
    document = parse_json(body)
    assert exact.examine_custom(document, node, meta) == [
        'duplicate field "spec.x"',
        'unknown field "metadata.odd"',
        'unknown field "other.y"',
        'unknown field "other.z"',
        'unknown field "spec.pod.metadata.strange"',
    ]
    assert document.value["spec"]["pod"]["metadata"] == {"name": "b"}
