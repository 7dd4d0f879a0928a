"""OpenAPI version 2 (Swagger): one document of everything. Kubectls before 1.27 read nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from halab.cluster.kube.kinds import Kind
from halab.cluster.kube.openapi import schemas
from halab.cluster.kube.openapi.custom import prune_for_version_two
from halab.cluster.kube.openapi.operations import BODY_TYPES, Operation, Parameter, PathItem, paths
from halab.cluster.kube.types import Obj
from halab.settings import KUBERNETES_VERSION

_PREFIX = "#/definitions/"
_UNKNOWN_HERE = frozenset({"oneOf", "anyOf", "not", "nullable", "x-kubernetes-validations"})  # what version 2 lacks


def document(kinds: Sequence[Kind]) -> Obj:
    items = [item for kind in kinds for item in paths(kind)]
    return {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": KUBERNETES_VERSION},
        "paths": {item.path: _path(item) for item in items},
        "definitions": schemas.collect(kinds, items, convert, prune_for_version_two),
    }


def convert(raw: Obj) -> Obj:
    """A published schema in the form of this version: what may be a number or text is text, the type null goes."""
    result: Obj = {}
    for key, value in raw.items():
        match key:
            case "$ref":
                result[key] = _PREFIX + value.rpartition("/")[2]
            case "type":
                if kind := schemas.plain_type(raw):
                    result["type"] = kind
            case "properties":
                result[key] = {name: convert(child) for name, child in value.items()}
            case "items" | "additionalProperties" if isinstance(value, dict):
                result[key] = convert(value)
            case "oneOf" if "type" not in raw:
                result["type"] = "string"
                if any(schemas.plain_type(choice) == "integer" for choice in value):
                    result.setdefault("format", "int-or-string")
            case "allOf":
                result[key] = [convert(child) for child in value]
            case _ if key not in _UNKNOWN_HERE:
                result[key] = value
    return result


def _path(item: PathItem) -> Obj:
    return {**{op.method: _operation(op) for op in item.operations}, "parameters": [_parameter(p) for p in item.parameters]}


def _operation(op: Operation) -> Obj:
    group, version, kind = op.gvk
    parameters = [_parameter(p) for p in op.parameters]
    if op.body:
        parameters.insert(
            0, {"in": "body", "name": "body", "required": op.method != "delete", "schema": {"$ref": _PREFIX + op.body}}
        )
    answer: Obj = {"description": "OK", "schema": {"$ref": _PREFIX + op.answer}}
    responses: Obj = {"200": answer}
    if op.status != 200:
        responses[str(op.status)] = {**answer, "description": "Created"}
    responses["401"] = {"description": "Unauthorized"}
    return {
        "description": op.description,
        "operationId": op.id,
        "consumes": list(op.consumes),
        "produces": list(BODY_TYPES),
        "schemes": ["https"],
        "parameters": parameters,
        "responses": responses,
        "x-kubernetes-action": op.action,
        "x-kubernetes-group-version-kind": {"group": group, "kind": kind, "version": version},
    }


def _parameter(parameter: Parameter) -> Obj:
    result: Obj = {
        "uniqueItems": True,
        "type": parameter.type,
        "description": parameter.description,
        "name": parameter.name,
        "in": parameter.place,
    }
    return {**result, "required": True} if parameter.place == "path" else result
