"""OpenAPI documents: what kubectl looks for in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from halab.cluster.kube import openapi
from halab.cluster.kube.kinds import BUILTIN
from halab.cluster.kube.openapi import gnostic


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
