"""Why the outcome of a strategic merge patch is no object of its kind, in the words of Kubernetes' converter.

A body is read by Go's JSON decoder, and ``exact`` speaks like that. The outcome of a strategic merge is a tree already, and goes
through another reader, which has words of its own, names no field and stops at the first mismatch
(k8s.io/apimachinery/pkg/runtime/converter.go, fromUnstructured).
"""

from __future__ import annotations

from typing import Any

from halab.cluster.kube import exact, schema
from halab.cluster.kube.schema import Node
from halab.cluster.kube.types import Obj

_GO_KIND = {schema.STRING: "string", schema.INT32: "int32", schema.INT64: "int64", schema.BOOL: "bool", schema.FLOAT: "float64"}


def misfit(node: Node, obj: Obj) -> str | None:
    """The first value that does not fit, as the converter puts it (``cannot restore map from string``); None if all fit."""
    return next((fault for name, child in (node.properties or {}).items() if (fault := _misfit(child, obj.get(name)))), None)


def _misfit(node: Node, value: Any) -> str | None:
    if value is None:
        return None
    code = node.code
    if code == schema.STRUCT:
        return misfit(node, value) if isinstance(value, dict) else f"cannot restore struct from: {_kind(value)}"
    if code == schema.MAP:
        return (
            _members(node.additional, list(value.values()))
            if isinstance(value, dict)
            else f"cannot restore map from {_kind(value)}"
        )
    if code == schema.LIST:
        return _members(node.items, value) if isinstance(value, list) else f"cannot restore slice from {_kind(value)}"
    if code in _GO_KIND:
        return _scalar(code, node, value)
    if code == schema.BYTES and not isinstance(value, str):
        return f"cannot restore slice from {_kind(value)}"
    return exact.misread(node, value)


def _members(node: Node | None, values: list[Any]) -> str | None:
    assert node is not None
    return next((fault for value in values if (fault := _misfit(node, value))), None)


def _scalar(code: int, node: Node, value: Any) -> str | None:
    """Go converts numbers to each other and integers even to strings; where it cannot, the converter finds no way to go on."""
    given, wanted = _kind(value), _GO_KIND[code]
    numeric = {"int32", "int64", "float64"}
    if (
        given == wanted
        or (given == "int64" and wanted in numeric)
        or (given == "float64" and wanted in numeric and value == int(value))
    ):
        return None
    if (given in numeric and wanted in numeric) or (given == "int64" and wanted == "string"):
        return f"cannot convert {given} to {node.go_type}"
    return f"unrecognized type: {wanted}"


def _kind(value: Any) -> str:
    """Go's kind of a value in an unstructured tree."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int64"
    if isinstance(value, float):
        return "float64"
    if isinstance(value, str):
        return "string"
    return "map" if isinstance(value, dict) else "slice"
