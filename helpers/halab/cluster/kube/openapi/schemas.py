"""Definitions as they are published: those that the served kinds use, and all that those refer to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from halab.cluster.kube import schema
from halab.cluster.kube.kinds import Kind
from halab.cluster.kube.openapi.operations import (
    DELETE_OPTIONS,
    META,
    PATCH,
    STATUS,
    PathItem,
    definition_of,
    list_definition_of,
)
from halab.cluster.kube.types import Obj

_PREFIX = "#/$defs/"
_PATCH_SCHEMA: Obj = {
    "description": "Patch is provided to give a concrete name and type to the Kubernetes PATCH request body.",
    "type": "object",
}
_LIST_META, OBJECT_META = META + "ListMeta", META + "ObjectMeta"

Convert = Callable[[Obj], Obj]


def collect(kinds: Sequence[Kind], paths: Iterable[PathItem], convert: Convert) -> dict[str, Obj]:
    """Definitions by name, converted by ``convert``, in order of names."""
    published = schema.openapi_definitions()
    custom = _custom(kinds)
    metrics = {definition_of(kind): kind for kind in kinds if not kind.definition and not kind.custom}
    wanted = [name for item in paths for operation in item.operations for name in (operation.answer, operation.body) if name]
    found: dict[str, Obj] = {}
    pending = [*wanted, STATUS, DELETE_OPTIONS]
    while pending:
        name = pending.pop()
        if name in found or not name:
            continue
        if name == PATCH:
            raw = _PATCH_SCHEMA
        elif name in custom:
            raw = custom[name]
        elif name in published:
            raw = published[name]
        elif name in metrics:
            raw = _open(metrics[name])
        else:
            raw = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        found[name] = convert(_marked(raw))
        pending += references(raw)
    return {name: found[name] for name in sorted(found)}


def references(raw: Any) -> list[str]:
    """Names of the definitions that a published schema refers to."""
    found: list[str] = []
    stack = [raw]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            reference = value.get("$ref")
            if isinstance(reference, str):
                found.append(reference.removeprefix(_PREFIX))
            stack += value.values()
        elif isinstance(value, list):
            stack += value
    return found


def plain_type(raw: Obj) -> str:
    """The JSON type of a published schema, which allows null beside it."""
    kind = raw.get("type", "")
    if isinstance(kind, list):
        kind = next((k for k in kind if k != "null"), "")
    return str(kind)


def _marked(raw: Obj) -> Obj:
    """The schema without the enumerations of apiVersion and kind, which only that publication has."""
    properties = raw.get("properties")
    if "x-kubernetes-group-version-kind" not in raw or not properties:
        return raw
    cleaned = {
        name: ({k: v for k, v in p.items() if k != "enum"} if name in ("apiVersion", "kind") else p)
        for name, p in properties.items()
    }
    return {**raw, "properties": cleaned}


def _open(kind: Kind) -> Obj:
    return {
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": True,
        "x-kubernetes-group-version-kind": [_gvk(kind, kind.kind)],
    }


def _gvk(kind: Kind, name: str) -> Obj:
    return {"group": kind.group, "kind": name, "version": kind.version}


def _custom(kinds: Sequence[Kind]) -> dict[str, Obj]:
    """Definitions of the custom resources among the kinds, and of their lists."""
    from halab.cluster.kube import crd

    found: dict[str, Obj] = {}
    for kind in kinds:
        if not kind.custom:
            continue
        own = dict(crd.openapi_schema(kind))
        properties = dict(own.get("properties") or {})
        for name, about in (("apiVersion", _API_VERSION), ("kind", _KIND)):
            properties[name] = {"description": about, "type": "string"}
        properties["metadata"] = {"$ref": _PREFIX + OBJECT_META, "description": _METADATA}
        own.update({"type": "object", "properties": properties, "x-kubernetes-group-version-kind": [_gvk(kind, kind.kind)]})
        name = definition_of(kind)
        found[name] = own
        found[list_definition_of(kind)] = {
            "description": f"{kind.list_kind} is a list of {kind.kind}",
            "type": "object",
            "required": ["items"],
            "properties": {
                "apiVersion": {"description": _API_VERSION, "type": "string"},
                "items": {"description": f"List of {kind.plural}.", "type": "array", "items": {"$ref": _PREFIX + name}},
                "kind": {"description": _KIND, "type": "string"},
                "metadata": {"$ref": _PREFIX + _LIST_META, "description": "Standard list metadata."},
            },
            "x-kubernetes-group-version-kind": [_gvk(kind, kind.list_kind)],
        }
    return found


_API_VERSION = (
    "APIVersion defines the versioned schema of this representation of an object. Servers should convert recognized schemas to the latest internal value, "
    "and may reject unrecognized values. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources"
)
_KIND = (
    "Kind is a string value representing the REST resource this object represents. Servers may infer this from the endpoint the client submits requests to. "
    "Cannot be updated. In CamelCase. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds"
)
_METADATA = "Standard object's metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"
