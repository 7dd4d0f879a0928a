"""The shape of every kind, as a tree of ``Node`` values.

Everything that walks objects is driven by it: decoding, strategic merge, server-side apply, OpenAPI. The shapes come from
``definitions.json`` (written by ``tools/kube_definitions.py``); a kind's tree is built when first asked for, and shared parts are
built once. Descriptions stay on disk until ``describe`` or ``openapi_definitions`` wants them. Custom resources' schemas become
the same ``Node`` class (in ``crd``), so that walkers need not know the difference.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson

from halab.cluster.kube.kinds import Kind

# What a node's value is, for walkers that dispatch on it
STRUCT, LIST, MAP, STRING, INT32, INT64, BOOL, FLOAT, QUANTITY, INT_OR_STRING, TIME, MICRO_TIME, DURATION, BYTES, ANY = range(15)

_SCALARS = {
    "s": (STRING, "string", ""),
    "i": (INT32, "integer", "int32"),
    "l": (INT64, "integer", "int64"),
    "b": (BOOL, "boolean", ""),
    "d": (FLOAT, "number", "double"),
    "q": (QUANTITY, "string", "quantity"),
    "x": (INT_OR_STRING, "", "int-or-string"),
    "t": (TIME, "string", "date-time"),
    "m": (MICRO_TIME, "string", "date-time"),
    "u": (DURATION, "string", "duration"),
    "y": (BYTES, "string", "byte"),
    "a": (ANY, "", ""),
}
_ZERO: dict[int, Any] = {STRING: "", INT32: 0, INT64: 0, BOOL: False, FLOAT: 0, QUANTITY: "0", INT_OR_STRING: 0, DURATION: "0s"}


class Node:
    """What may stand at one place of an object.

    ``type`` is JSON's name (``object``, ``array``, ``string``, ``integer``, ``number``, ``boolean``; empty: anything) and ``code`` one of this
    module's constants. A struct has ``properties``; a map ``additional`` (its values); a list ``items``. ``merge_key``,
    ``patch_strategy`` (``merge``, ``retainKeys`` or ``merge,retainKeys``), ``list_type`` (``atomic``, ``set``, ``map``), ``list_map_keys`` and
    ``map_type`` (``atomic``, ``granular``) say how values merge. ``omitted`` tells that a zero value is left out of the wire form,
    ``pointer`` that an explicit zero differs from none, ``always`` lists the properties that are there even when nobody set them:
    (name, zero value, node). ``go_type`` is what Go's errors call the type. ``raw`` is a custom resource's own schema.
    """

    __slots__ = (
        "additional", "always", "code", "default", "definition", "embedded_resource", "enum", "format", "go_type", "int_or_string",
        "items", "list_map_keys", "list_type", "map_type", "merge_key", "nullable", "omitted", "patch_strategy", "pointer",
        "preserve_unknown", "properties", "raw", "required", "type",
    )  # fmt: skip

    def __init__(
        self,
        type: str = "",
        *,
        code: int = ANY,
        format: str = "",
        properties: dict[str, Node] | None = None,
        items: Node | None = None,
        additional: Node | None = None,
        required: frozenset[str] = frozenset(),
        enum: tuple[Any, ...] = (),
        merge_key: str = "",
        patch_strategy: str = "",
        list_type: str = "",
        list_map_keys: tuple[str, ...] = (),
        map_type: str = "",
        int_or_string: bool = False,
        preserve_unknown: bool = False,
        embedded_resource: bool = False,
        nullable: bool = False,
        default: Any = None,
        definition: str = "",
        go_type: str = "",
        pointer: bool = False,
        omitted: bool = True,
        raw: Any = None,
    ) -> None:
        self.type, self.code, self.format = type, code, format
        self.properties, self.items, self.additional, self.required, self.enum = properties, items, additional, required, enum
        self.merge_key, self.patch_strategy = merge_key, patch_strategy
        self.list_type, self.list_map_keys, self.map_type = list_type, list_map_keys, map_type
        self.int_or_string, self.preserve_unknown, self.embedded_resource = int_or_string, preserve_unknown, embedded_resource
        self.nullable, self.default, self.raw = nullable, default, raw
        self.definition, self.go_type, self.pointer, self.omitted = definition, go_type, pointer, omitted
        self.always: list[tuple[str, Any, Node]] = []

    def __repr__(self) -> str:
        return f"<Node {self.definition or self.go_type or self.type or 'any'}>"

    def at(self, *path: str) -> Node | None:
        """The node under the given property names; ``[]`` steps into a list or a map. None where the schema knows nothing."""
        node: Node | None = self
        for step in path:
            if node is None:
                return None
            listed = step == "[]"
            node = (node.items or node.additional) if listed else ((node.properties or {}).get(step) or node.additional)
        return node

    def zero(self) -> Any:
        """What Go writes for a value that nobody set."""
        if self.code == STRUCT and not self.pointer:
            return {name: node.zero() for name, _, node in self.always}
        return None if self.pointer else _ZERO.get(self.code)


@cache
def _definitions() -> dict[str, Any]:
    raw: dict[str, Any] = orjson.loads((Path(__file__).parent / "definitions.json").read_bytes())
    found: dict[str, Any] = raw["definitions"]
    return found


_structs: dict[str, Node] = {}


def definition_node(definition: str) -> Node:
    """The node of an OpenAPI definition (``io.k8s.api.core.v1.PodSpec``). Raises KeyError for one that no served kind uses."""
    node = _structs.get(definition)
    if node is None:
        go_type, extras, fields = _definitions()[definition]
        properties: dict[str, Node] = {}
        node = Node("object", code=STRUCT, definition=definition, go_type=go_type, properties=properties)
        node.map_type = extras.get("mt", "")
        node.required = frozenset(f[0] for f in fields if len(f) > 4 and "r" in f[4])
        _structs[definition] = node  # before its fields: definitions may contain themselves
        for field in fields:
            properties[field[0]] = child = _field_node(field)
            if field[2] == "n":
                child.omitted = False
                zero = None if child.code == STRUCT else child.zero()
                node.always.append((field[0], zero, child))
    return node


def _field_node(field: list[Any]) -> Node:
    extras: dict[str, Any] = field[4] if len(field) > 4 else {}
    node = _typed(field[1], field[3])
    node.pointer = "p" in extras
    node.merge_key = extras.get("mk", "")
    node.patch_strategy = extras.get("ps", "")
    node.list_type = extras.get("lt", "")
    node.list_map_keys = tuple(extras.get("lk", ()))
    node.map_type = extras.get("mt", node.map_type)
    node.enum = tuple(extras.get("e", ()))
    return node


def _typed(encoded: str, go_type: str) -> Node:
    """A fresh node; the property that holds it adds its own marks."""
    first = encoded[0]
    if first == "=":
        shared = definition_node(encoded[1:])
        node = Node("object", code=STRUCT, properties=shared.properties, definition=shared.definition, go_type=shared.go_type)
        node.required, node.always, node.map_type = shared.required, shared.always, shared.map_type
        return node
    if first == "[":
        return Node("array", code=LIST, items=_typed(encoded[1:], go_type.removeprefix("[]")), go_type=go_type)
    if first == "{":
        return Node("object", code=MAP, additional=_typed(encoded[1:], go_type.partition("]")[2] or go_type), go_type=go_type)
    code, kind, form = _SCALARS[first]
    node = Node(kind, code=code, format=form, go_type=go_type)
    node.int_or_string = code == INT_OR_STRING
    node.preserve_unknown = code == ANY
    return node


_custom: dict[Kind, Node] = {}


def register(kind: Kind, node: Node | None) -> None:
    """Set the shape of a custom resource's version, or forget it (None); ``crd`` makes it."""
    if node is None:
        _custom.pop(kind, None)
    else:
        _custom[kind] = node


def node_for(kind: Kind) -> Node:
    """The shape of a kind's objects; a kind without a definition (metrics) takes anything."""
    if kind.definition:
        return definition_node(kind.definition)
    return _custom.get(kind) or _ANYTHING


_ANYTHING = Node("object", code=ANY, preserve_unknown=True)


OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
DELETE_OPTIONS = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"


def openapi_definitions() -> dict[str, Any]:
    """The OpenAPI definitions as Kubernetes publishes them, descriptions included. 1.5 MB: read anew each time, do not keep."""
    package = find_spec("kubernetes_validate")  # only its data is wanted: importing it takes a second
    if package is None or package.origin is None:
        return {}
    folder = Path(package.origin).parent / "kubernetes-json-schema" / "v1.34.0-local"
    raw: dict[str, Any] = orjson.loads((folder / "_definitions.json").read_bytes())
    found: dict[str, Any] = raw["$defs"]
    return found


def describe(definition: str, name: str = "") -> str:
    """The description of a definition, or of its property ``name``; empty if there is none."""
    schema = openapi_definitions().get(definition) or {}
    if name:
        schema = schema.get("properties", {}).get(name) or {}
    return str(schema.get("description") or "")


def in_order(node: Node | None, value: Any) -> Any:
    """``value`` with its keys in the order in which Go prints them: struct fields as declared, map keys sorted."""
    if isinstance(value, dict):
        if node is not None and node.properties:
            return {n: in_order(p, value[n]) for n, p in node.properties.items() if n in value}
        child = node.additional if node is not None else None
        return {n: in_order(child, value[n]) for n in sorted(value)}
    if isinstance(value, list):
        child = node.items if node is not None else None
        return [in_order(child, v) for v in value]
    return value
