"""Definitions as they are published: those that the served kinds use, and all that those refer to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from halab.cluster.kube import schema
from halab.cluster.kube.kinds import Kind
from halab.cluster.kube.openapi.custom import PREFIX, Convert, custom_definitions, gvk
from halab.cluster.kube.openapi.operations import DELETE_OPTIONS, PATCH, STATUS, PathItem, definition_of
from halab.cluster.kube.types import Obj

_PATCH_SCHEMA: Obj = {
    "description": "Patch is provided to give a concrete name and type to the Kubernetes PATCH request body.",
    "type": "object",
}


def collect(kinds: Sequence[Kind], paths: Iterable[PathItem], convert: Convert, prune: Convert | None = None) -> dict[str, Obj]:
    """Definitions by name, converted by ``convert``, in order of names. ``prune`` takes from a custom resource's own schema what the
    document cannot hold."""
    published = schema.openapi_definitions()
    custom = custom_definitions(kinds, prune)
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
                found.append(reference.removeprefix(PREFIX))
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
        "x-kubernetes-group-version-kind": [gvk(kind, kind.kind)],
    }
