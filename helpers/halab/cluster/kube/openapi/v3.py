"""OpenAPI version 3: one document a group version."""

from __future__ import annotations

from collections.abc import Sequence

from halab.cluster.kube.kinds import Kind
from halab.cluster.kube.openapi import schemas
from halab.cluster.kube.openapi.operations import BODY_TYPES, Operation, Parameter, PathItem, paths
from halab.cluster.kube.types import Obj
from halab.settings import KUBERNETES_VERSION

_PREFIX = "#/components/schemas/"


def document(kinds: Sequence[Kind]) -> Obj:
    """The document of kinds that share a group version."""
    items = [item for kind in kinds for item in paths(kind)]
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": KUBERNETES_VERSION},
        "paths": {item.path: _path(item) for item in items},
        "components": {"schemas": schemas.collect(kinds, items, convert)},
    }


def convert(raw: Obj) -> Obj:
    """A published schema in the form of this version: references with siblings become ``allOf``, the type null goes."""
    result: Obj = {}
    reference = raw.get("$ref")
    if isinstance(reference, str):
        target = {"$ref": _PREFIX + reference.rpartition("/")[2]}
        if len(raw) == 1:
            return target
        result["allOf"] = [target]
    for key, value in raw.items():
        match key:
            case "$ref":
                pass
            case "type":
                if kind := schemas.plain_type(raw):
                    result["type"] = kind
            case "properties":
                result[key] = {name: convert(child) for name, child in value.items()}
            case "items" | "additionalProperties" | "not" if isinstance(value, dict):
                result[key] = convert(value)
            case "oneOf" | "anyOf" | "allOf":
                result[key] = [*result.get(key, ()), *(convert(child) for child in value)]
            case _:
                result[key] = value
    return result


def _path(item: PathItem) -> Obj:
    return {**{op.method: _operation(op) for op in item.operations}, "parameters": [_parameter(p) for p in item.parameters]}


def _operation(op: Operation) -> Obj:
    group, version, kind = op.gvk
    answer = {"description": "Created" if op.status == 201 else "OK", "content": _content(BODY_TYPES, op.answer)}
    result: Obj = {"description": op.description, "operationId": op.id, "parameters": [_parameter(p) for p in op.parameters]}
    if op.body:
        required = op.method != "delete"
        result["requestBody"] = {"content": _content(op.consumes, op.body), **({"required": True} if required else {})}
    result["responses"] = {"200": {"description": "OK", "content": _content(BODY_TYPES, op.answer)}}
    if op.status != 200:
        result["responses"][str(op.status)] = answer
    result["responses"]["401"] = {"description": "Unauthorized"}
    result["x-kubernetes-action"] = op.action
    result["x-kubernetes-group-version-kind"] = {"group": group, "kind": kind, "version": version}
    return result


def _content(types: Sequence[str], definition: str) -> Obj:
    return {media: {"schema": {"$ref": _PREFIX + definition}} for media in types}


def _parameter(parameter: Parameter) -> Obj:
    result: Obj = {"name": parameter.name, "in": parameter.place, "description": parameter.description}
    if parameter.place == "path":
        result["required"] = True
    return {**result, "schema": {"type": parameter.type, "uniqueItems": True}}
