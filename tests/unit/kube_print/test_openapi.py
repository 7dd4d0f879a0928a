"""OpenAPI documents: what kubectl looks for in them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from halab.cluster.kube import crd, openapi
from halab.cluster.kube.kinds import BUILTIN, Kind
from halab.cluster.kube.openapi import gnostic
from halab.cluster.kube.openapi.custom import custom_definitions, prune_for_version_two


def apps(tmp_path: Path) -> Any:
    body = openapi.document(BUILTIN, "apis/apps/v1", tmp_path)
    assert body is not None
    return json.loads(body)


def test_the_index_names_each_group_version_with_a_url_of_its_content() -> None:
    paths = openapi.index(BUILTIN)["paths"]
    assert paths["apis/apps/v1"]["serverRelativeURL"].startswith("/openapi/v3/apis/apps/v1?hash=")
    assert "api/v1" in paths
    assert openapi.document(BUILTIN, "apis/nothing/v1") is None


def test_a_patch_tells_its_kind_and_that_fields_are_validated(tmp_path: Path) -> None:
    patch = apps(tmp_path)["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]
    assert patch["x-kubernetes-group-version-kind"] == {"group": "apps", "kind": "Deployment", "version": "v1"}
    assert {"fieldValidation", "dryRun", "fieldManager"} <= {p["name"] for p in patch["parameters"] if p["in"] == "query"}
    assert "application/strategic-merge-patch+json" in patch["requestBody"]["content"]


def test_every_reference_leads_to_a_schema_with_its_description(tmp_path: Path) -> None:
    document = apps(tmp_path)
    schemas = document["components"]["schemas"]
    text = json.dumps(document)
    for reference in {part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]}:
        assert reference in schemas
    spec = schemas["io.k8s.api.apps.v1.DeploymentSpec"]
    assert spec["properties"]["replicas"]["description"].startswith("Number of desired pods.")
    assert spec["properties"]["replicas"]["type"] == "integer"
    containers = schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
    assert containers["x-kubernetes-patch-merge-key"] == "name"


def test_documents_are_kept_as_files(tmp_path: Path) -> None:
    apps(tmp_path)
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(b'{"kept": true}')
    assert apps(tmp_path) == {"kept": True}


def test_version_two_speaks_of_text_where_numbers_are_possible_too(tmp_path: Path) -> None:
    body, content_type = openapi.v2(BUILTIN, cache=tmp_path)
    definitions = json.loads(body)["definitions"]
    assert content_type == b"application/json"
    assert definitions["io.k8s.apimachinery.pkg.util.intstr.IntOrString"]["format"] == "int-or-string"
    assert definitions["io.k8s.apimachinery.pkg.api.resource.Quantity"]["type"] == "string"


def test_the_protobuf_form_has_the_fields_of_its_message() -> None:
    document = {
        "swagger": "2.0",
        "info": {"title": "T", "version": "v"},
        "paths": {},
        "definitions": {"a.B": {"type": "object", "properties": {"c": {"$ref": "#/definitions/d"}}, "x-y": [1]}},
    }
    encoded = gnostic.encode(document)
    assert encoded.startswith(b"\x0a\x032.0\x12\x06\x0a\x01T\x12\x01v")
    for part in (b"a.B", b"object", b"#/definitions/d", b"x-y", b"[1]\n"):
        assert part in encoded


def test_what_a_custom_resource_leaves_open_is_open_in_version_two() -> None:
    """kubectl's own validation takes every property that is named as a sign that there are no others."""
    schema = {
        "type": "object",
        "required": ["size", "gone"],
        "properties": {
            "size": {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
            "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {"a": {"type": "string"}}},
            "gone": {"type": "object", "nullable": True, "properties": {"a": {"type": "string"}}},
        },
    }
    pruned = prune_for_version_two(schema)
    assert pruned["required"] == ["size"]
    assert pruned["properties"]["size"] == {"x-kubernetes-int-or-string": True}
    assert pruned["properties"]["any"] == {"x-kubernetes-preserve-unknown-fields": True}
    assert pruned["properties"]["gone"] == {}


def test_a_custom_resource_is_published_with_what_every_object_has(custom: Any) -> None:
    kind = custom({"type": "object", "x-kubernetes-preserve-unknown-fields": True})
    gvk = [{"group": "example.com", "kind": "Widget", "version": "v1"}]
    two = custom_definitions([kind], prune_for_version_two)["com.example.v1.Widget"]
    assert two == {"type": "object", "x-kubernetes-group-version-kind": gvk}
    assert set(custom_definitions([kind])["com.example.v1.Widget"]["properties"]) == {"apiVersion", "kind", "metadata"}


def test_an_object_within_a_custom_resource_has_a_type_and_metadata_too(custom: Any) -> None:
    embedded = {"type": "object", "x-kubernetes-embedded-resource": True, "properties": {"spec": {"type": "object"}}}
    kind = custom({"type": "object", "properties": {"template": embedded}})
    template = custom_definitions([kind])["com.example.v1.Widget"]["properties"]["template"]
    assert set(template["properties"]) == {"apiVersion", "kind", "metadata", "spec"}
    assert template["required"] == ["kind", "apiVersion"]


@pytest.fixture
def custom() -> Iterator[Callable[[Any], Kind]]:
    """Registers a definition with the schema given, and answers its kind."""
    kinds: list[Kind] = []

    def register(schema: Any) -> Kind:
        version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
        names = {"plural": "widgets", "kind": "Widget"}
        spec = {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]}
        kinds.extend(crd.register({"metadata": {"name": "widgets.example.com"}, "spec": spec}))
        return kinds[-1]

    yield register
    crd.unregister(kinds)
