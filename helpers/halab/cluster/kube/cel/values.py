"""What a rule sees of an object: its values along the structural schema, in CEL's types.

Numbers of ``type: number`` are doubles, strings of the format ``byte`` are bytes; fields that the schema does not have are not visible; names
are escaped.
"""

from __future__ import annotations

import base64
from typing import Any

from halab.cluster.kube.cel.fields import escape
from halab.cluster.kube.types import Obj

_SCALARS = {"integer": "int", "number": "double", "boolean": "bool"}


def type_of(schema: Obj) -> str:
    """The declared type of a value: what the compiler may rely on. Objects are dynamic: their fields are checked apart (``rules``)."""
    if schema.get("x-kubernetes-int-or-string") or schema.get("nullable"):
        return "dyn"
    kind = schema.get("type", "")
    if kind == "string":
        return "bytes" if schema.get("format") == "byte" else "string"
    if kind == "array":
        return f"list({type_of(schema.get('items') or {})})"
    if kind == "object" and not schema.get("properties") and isinstance(schema.get("additionalProperties"), dict):
        return f"map({type_of(schema['additionalProperties'])})"
    return _SCALARS.get(kind, "dyn")


def visible(value: Any, schema: Obj, root: bool = False) -> Any:
    """``value`` as rules see it. ``root``: it is a whole resource, whose type, name and generateName are always there."""
    if isinstance(value, dict):
        return _object(value, schema, root or bool(schema.get("x-kubernetes-embedded-resource")))
    if isinstance(value, list):
        items = schema.get("items") or {}
        return [visible(item, items) for item in value]
    if isinstance(value, str) and schema.get("type") == "string":
        return _text(value, schema.get("format", ""))
    if schema.get("type") == "number" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if schema.get("type") == "integer" and isinstance(value, float):
        return int(value)
    return value


def _object(value: Obj, schema: Obj, resource: bool) -> Obj:
    properties, additional = schema.get("properties") or {}, schema.get("additionalProperties")
    if not properties and isinstance(additional, dict):
        return {name: visible(item, additional) for name, item in value.items()}
    seen: Obj = {}
    for name, child in properties.items():
        if name in value and (spelled := escape(name)) and not (value[name] is None and not child.get("nullable")):
            seen[spelled] = visible(value[name], child)
    if resource:
        seen |= {name: value[name] for name in ("apiVersion", "kind") if name in value}
        meta = value.get("metadata") or {}
        seen["metadata"] = {name: meta[name] for name in ("name", "generateName") if name in meta}
    return seen


def _text(value: str, form: str) -> Any:
    """Times and durations stay texts, which the engine can be given anywhere; ``rules`` puts ``timestamp(...)`` around their mention."""
    if form == "byte":
        try:
            return base64.b64decode(value)
        except ValueError:
            pass  # schema validation has said so
    if form == "date" and len(value) == 10:
        return f"{value}T00:00:00Z"
    return value
