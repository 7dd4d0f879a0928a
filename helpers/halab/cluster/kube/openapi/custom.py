"""Custom resources in OpenAPI documents: their own schemas, with what every object has beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from halab.cluster.kube.kinds import Kind
from halab.cluster.kube.openapi.operations import META, definition_of, list_definition_of
from halab.cluster.kube.types import Obj

PREFIX = "#/$defs/"
_PRESERVE, _EMBEDDED = "x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"
_JUNCTORS = frozenset({"allOf", "oneOf", "anyOf", "not"})

Convert = Callable[[Obj], Obj]


def custom_definitions(kinds: Sequence[Kind], prune: Convert | None = None) -> dict[str, Obj]:
    """Definitions of the custom resources among the kinds, and of their lists; ``prune`` is for what version 2 cannot hold."""
    from halab.cluster.kube import crd

    found: dict[str, Obj] = {}
    for kind in kinds:
        if not kind.custom:
            continue
        own = crd.openapi_schema(kind)
        name = definition_of(kind)
        if prune and own.get(_PRESERVE):
            found[name] = {"type": "object"}  # with properties, kubectl would refuse all others
        else:
            found[name] = _with_meta(_embedded(prune(own) if prune else own, prune is not None), _TYPE_META)
        found[name]["x-kubernetes-group-version-kind"] = [gvk(kind, kind.kind)]
        found[list_definition_of(kind)] = {
            "description": f"{kind.list_kind} is a list of {kind.kind}",
            "type": "object",
            "required": ["items"],
            "properties": {
                "apiVersion": {"description": _API_VERSION, "type": "string"},
                "items": {
                    "description": f"List of {kind.plural}. {_CONVENTIONS}",
                    "type": "array",
                    "items": {"$ref": PREFIX + name},
                },
                "kind": {"description": _KIND, "type": "string"},
                "metadata": {"$ref": PREFIX + META + "ListMeta", "description": _LIST_METADATA},
            },
            "x-kubernetes-group-version-kind": [gvk(kind, kind.list_kind)],
        }
    return found


def prune_for_version_two(raw: Obj) -> Obj:
    """A custom resource's schema without what kubectl cannot read in version 2: alternatives, null, and members of objects that take any.

    From ToStructuralOpenAPIV2 of k8s.io/apiextensions-apiserver.
    """
    pruned = {key: value for key, value in raw.items() if key not in _JUNCTORS}
    preserve = pruned.get(_PRESERVE)
    if pruned.pop("nullable", False):
        _drop(pruned, "type", "items", "properties")
    if preserve:
        _drop(pruned, "items", "properties")
    if (pruned.get("type") == "array" and "items" not in pruned) or (preserve and pruned.get("type") == "object"):
        del pruned["type"]
    nullable = {name for name, child in (pruned.get("properties") or {}).items() if child.get("nullable")}
    required = [name for name in pruned.get("required") or () if name not in nullable]
    more = pruned.get("additionalProperties")
    if not required or (isinstance(more, dict) and more.get("nullable")):
        _drop(pruned, "required")
    else:
        pruned["required"] = required
    return _inside(pruned, prune_for_version_two)


def gvk(kind: Kind, name: str) -> Obj:
    return {"group": kind.group, "kind": name, "version": kind.version}


def _drop(schema: Obj, *names: str) -> None:
    for name in names:
        schema.pop(name, None)


def _inside(schema: Obj, change: Convert) -> Obj:
    """The schema with its members', items' and values' schemas changed."""
    result = dict(schema)
    if result.get("properties"):
        result["properties"] = {name: change(child) for name, child in result["properties"].items()}
    for name in ("items", "additionalProperties"):
        if isinstance(result.get(name), dict):
            result[name] = change(result[name])
    return result


def _embedded(schema: Obj, version_two: bool) -> Obj:
    """The schema with the type and metadata of the whole objects in it."""
    result = _inside(schema, lambda child: _embedded(child, version_two))
    if not result.get(_EMBEDDED) or (version_two and result.get(_PRESERVE)):
        return result
    result = _with_meta(result, _EMBEDDED_TYPE_META)
    required = list(result.get("required") or ())
    return {**result, "required": required + [name for name in ("kind", "apiVersion") if name not in required]}


def _with_meta(schema: Obj, types: dict[str, str]) -> Obj:
    properties: dict[str, Any] = dict(schema.get("properties") or {})
    for name, about in types.items():
        properties[name] = {"description": about, "type": "string"}
    properties["metadata"] = {"$ref": PREFIX + META + "ObjectMeta", "description": _METADATA}
    return {**schema, "type": "object", "properties": properties}


_CONVENTIONS = "More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md"
_API_VERSION = (
    "APIVersion defines the versioned schema of this representation of an object. Servers should convert recognized schemas to the latest internal value, "
    "and may reject unrecognized values. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources"
)
_KIND = (
    "Kind is a string value representing the REST resource this object represents. Servers may infer this from the endpoint the client submits requests to. "
    "Cannot be updated. In CamelCase. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds"
)
_METADATA = "Standard object's metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"
_LIST_METADATA = f"Standard list metadata. {_CONVENTIONS}#types-kinds"
_TYPE_META = {"apiVersion": _API_VERSION, "kind": _KIND}
_EMBEDDED_TYPE_META = {
    "apiVersion": f"apiVersion defines the versioned schema of this representation of an object. {_CONVENTIONS}#resources",
    "kind": f"kind is a string value representing the type of this object. In CamelCase. {_CONVENTIONS}#types-kinds",
}
