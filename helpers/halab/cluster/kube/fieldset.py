"""Sets of fields in the form that ``managedFields`` carry them (``fieldsV1``), and their algebra.

A set is the JSON object itself: ``{"f:data": {".": {}, "f:a": {}}}`` holds ``.data`` and ``.data.a``; ``{"f:data": {"f:a": {}}}``
only the latter. So nothing is decoded or encoded on a write. A node that is empty, or has the key ``.``, is a member; its other
keys are its children. Sets are values: the functions here never change their arguments and may share parts with them.

Keys are path elements: ``f:NAME`` a field, ``k:{...}`` an item of a list by its key fields, ``v:VALUE`` an item of a set, ``i:N``
an index (https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import orjson

from halab.cluster.kube.gotext import quote, to_json

FieldSet = dict[str, Any]
SELF = "."
_LEAF: FieldSet = {}
_KINDS = {"f": 0, "k": 1, "v": 2, "i": 3}


def is_member(node: FieldSet) -> bool:
    """Whether the field that this node of a set stands for is itself in the set."""
    return not node or SELF in node


def union(a: FieldSet, b: FieldSet) -> FieldSet:
    """The fields in either."""
    if not a:
        return b
    if not b:
        return a
    result = dict(a)
    for key, right in b.items():
        if key == SELF:
            result[SELF] = _LEAF
            continue
        left = result.get(key)
        if left is None:
            result[key] = right
        elif left is not right:
            result[key] = _node(union(_children(left), _children(right)), is_member(left) or is_member(right))
    return result


def intersection(a: FieldSet, b: FieldSet) -> FieldSet:
    """The fields in both."""
    result: FieldSet = {}
    for key, left in a.items():
        right = b.get(key)
        if right is None or key == SELF:
            continue
        children = intersection(left, right) if left and right else {}
        member = is_member(left) and is_member(right)
        if member or children:
            result[key] = _node(children, member)
    return result


def difference(a: FieldSet, b: FieldSet) -> FieldSet:
    """The fields of ``a`` that are not in ``b``; a parent in ``b`` does not take its children along."""
    if not b or not a:
        return a
    result: FieldSet = {}
    for key, left in a.items():
        if key == SELF:
            continue
        right = b.get(key)
        if right is None:
            result[key] = left
            continue
        if not left:  # a leaf: nothing below it to look at
            if not is_member(right):
                result[key] = left
            continue
        children = difference(_children(left), _children(right))
        member = is_member(left) and not is_member(right)
        if member or children:
            result[key] = _node(children, member)
    return result


def without_subtrees(a: FieldSet, roots: FieldSet) -> FieldSet:
    """``a`` without the members of ``roots`` and all that is below them."""
    if not roots or not a:
        return a
    result: FieldSet = {}
    for key, left in a.items():
        root = roots.get(key)
        if key == SELF or root is None:
            result[key] = left
        elif not is_member(root):
            children = without_subtrees(_children(left), _children(root))
            if children or is_member(left):
                result[key] = _node(children, is_member(left))
    return result


def has(fields: FieldSet, path: tuple[str, ...]) -> bool:
    """Whether the path, as keys, is a member."""
    for key in path:
        if key not in fields:
            return False
        fields = fields[key]
    return is_member(fields)


def from_path(path: tuple[str, ...]) -> FieldSet:
    """The set of this one path."""
    node: FieldSet = {}
    for key in reversed(path):
        node = {key: node}
    return node


def paths(fields: FieldSet) -> Iterator[tuple[str, ...]]:
    """All members in Kubernetes' order: at each level the members, sorted, then what lies below, sorted."""
    keys = sorted((key for key in fields if key != SELF), key=_sort_key)
    for key in keys:
        if is_member(fields[key]):
            yield (key,)
    for key in keys:
        for rest in paths(fields[key]):
            yield (key, *rest)


def path_text(path: tuple[str, ...]) -> str:
    """A path as messages write it: ``.spec.ports[port=80,protocol="TCP"].name``."""
    return "".join(map(element_text, path))


def element_text(key: str) -> str:
    kind, _, rest = key.partition(":")
    match kind:
        case "f":
            return f".{rest}"
        case "k":
            return "[" + ",".join(f"{name}={_value_text(value)}" for name, value in sorted(json.loads(rest).items())) + "]"
        case "v":
            return f"[={_value_text(json.loads(rest))}]"
        case _:
            return f"[{rest}]"


def key_element(values: dict[str, Any]) -> str:
    """The path element of a list item with these key fields."""
    if len(values) == 1:
        ((name, value),) = values.items()
        if isinstance(value, str) and value.isalnum():
            return f'k:{{"{name}":"{value}"}}'
    return "k:" + to_json({name: values[name] for name in sorted(values)})


def value_element(value: Any) -> str:
    """The path element of a set's item."""
    return "v:" + to_json(value)


def valid(fields: Any) -> bool:
    """Whether ``fields`` has the form of a set (what clients send may not)."""
    return isinstance(fields, dict) and all(key == SELF or (_is_element(key) and valid(child)) for key, child in fields.items())


@lru_cache(maxsize=4096)
def _is_element(key: str) -> bool:
    """A step of a path: ``f:name``, ``k:{"name":"x"}`` (keys of a list), ``v:3`` (a member of a set), ``i:0`` (an index)."""
    kind, colon, rest = key[:1], key[1:2], key[2:]
    if colon != ":" or kind not in ("f", "k", "v", "i"):
        return False
    if kind == "f":
        return True
    try:
        value = orjson.loads(rest)
    except orjson.JSONDecodeError:
        return False
    if kind == "k":
        return isinstance(value, dict)
    return kind == "v" or (isinstance(value, int) and not isinstance(value, bool))


def _children(node: FieldSet) -> FieldSet:
    return {key: child for key, child in node.items() if key != SELF} if SELF in node else node


def _node(children: FieldSet, member: bool) -> FieldSet:
    """A node of these children; one that is no member must have some."""
    return {SELF: _LEAF, **children} if member and children else children


def _sort_key(key: str) -> tuple[int, Any]:
    kind, _, rest = key.partition(":")
    if kind == "k":
        return _KINDS["k"], [(name, _order(value)) for name, value in sorted(json.loads(rest).items())]
    if kind == "v":
        return _KINDS["v"], _order(json.loads(rest))
    if kind == "i":
        return _KINDS["i"], int(rest)
    return _KINDS["f"], rest


def _order(value: Any) -> tuple[int, Any]:
    """Values of different types in Kubernetes' order: numbers, strings, booleans, null."""
    if value is None:
        return 3, 0
    if isinstance(value, bool):
        return 2, value
    if isinstance(value, int | float):
        return 0, value
    return 1, str(value)


def _value_text(value: Any) -> str:
    if isinstance(value, str):
        return quote(value)
    return to_json(value)
