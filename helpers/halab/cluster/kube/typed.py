"""Objects seen through their schema as trees of owned fields: what server-side apply and the tracking of managers compute with.

The schema says which lists are maps by key (``k:``), which are sets (``v:``), and what is atomic, that is, owned as a whole. This
module turns values into sets and compares them in those terms, following sigs.k8s.io/structured-merge-diff; ``fieldset`` holds
the sets' algebra, ``typed_merge`` merges and prunes, ``typed_check`` validates.
"""

from __future__ import annotations

from typing import Any

from halab.cluster.kube.fieldset import SELF, FieldSet, key_element, union, value_element
from halab.cluster.kube.schema import Node

ABSENT: Any = object()
_LEAF: FieldSet = {}
SCALAR, LIST, MAP, DEDUCED, UNTYPED = range(5)
_SCALARS = {"string": "string", "integer": "numeric", "number": "numeric", "boolean": "boolean"}
_PORT_DEFAULTS = {"protocol": "TCP"}  # of Service and container ports: the only built-in merge keys with a default


class Shape:
    """How a node of the schema is owned. Built once a node and kept; children are built when first met.

    ``kind`` SCALAR, LIST, MAP, DEDUCED (any value, maps are granular) or UNTYPED (any value, owned as a whole); ``atomic`` lists
    and maps are owned as a whole; ``keys`` name the key fields of a list of maps, empty for a set.
    """

    __slots__ = ("_children", "_node", "atomic", "element", "key_defaults", "keys", "kind", "scalar")

    def __init__(self, node: Node | None) -> None:
        self._node = node
        self._children: dict[str, Any] = {}
        self.kind, self.atomic, self.scalar = DEDUCED, False, ""
        self.keys: tuple[str, ...] = ()
        self.key_defaults: dict[str, Any] = {}
        self.element: Shape | None = None
        if node is None:
            return
        if node.int_or_string or (node.type == "string" and node.format in ("date-time", "quantity")):
            self.kind, self.scalar = SCALAR, "untyped"
        elif node.type in _SCALARS:
            self.kind, self.scalar = SCALAR, _SCALARS[node.type]
        elif node.type == "array":
            self._list(node)
        elif node.properties or node.additional is not None:
            self.kind, self.atomic = MAP, node.map_type == "atomic"
            if node.additional is not None:
                self.element = shape_of(node.additional)
            elif node.preserve_unknown:
                self.element = DEDUCED_SHAPE
        elif not node.preserve_unknown or (not node.type and node.raw is None):
            self.kind, self.atomic = UNTYPED, True

    def _list(self, node: Node) -> None:
        self.kind, self.atomic = LIST, True
        self.element = shape_of(node.items) if node.items is not None else DEDUCED_SHAPE
        if node.list_type in ("map", "set"):
            self.atomic, self.keys = False, tuple(node.list_map_keys or ())
            members = (node.items.properties if node.items is not None else None) or {}
            given = {key: members[key].default for key in self.keys if key in members and members[key].raw is not None}
            self.key_defaults = given or {key: _PORT_DEFAULTS[key] for key in self.keys if key in _PORT_DEFAULTS}
        elif not node.list_type and "merge" in (node.patch_strategy or "").split(","):
            self.atomic, self.keys = False, (node.merge_key,) if node.merge_key else ()

    def field(self, name: str) -> Shape | None:
        """The shape of a declared field; None if there is no such field."""
        found = self._children.get(name, ABSENT)
        if found is ABSENT:
            child = self._node.properties.get(name) if self._node is not None and self._node.properties else None
            found = self._children[name] = shape_of(child) if child is not None else None
        return found  # type: ignore[no-any-return]

    def child(self, name: str) -> Shape:
        """The shape of whatever is under ``name``: a declared field, else the map's element, else anything."""
        return self.field(name) or self.element or DEDUCED_SHAPE


_shapes: dict[int, Shape] = {}


def shape_of(node: Node | None) -> Shape:
    """The shape of a node, shared by all who ask. None stands for an unknown schema."""
    if node is None:
        return DEDUCED_SHAPE
    found = _shapes.get(id(node))
    if found is None or found._node is not node:
        found = _shapes[id(node)] = Shape(node)
    return found


DEDUCED_SHAPE = Shape(None)
DEDUCED_SHAPE.element = None


# --- path elements of lists -----------------------------------------------------------------------------------------------------


class KeyProblem(ValueError):
    """A list item that has no usable key."""


def item_key(shape: Shape, item: Any) -> str:
    """The path element of a list item. Raises KeyProblem with the words of the real one."""
    if shape.keys:
        if item is None:
            raise KeyProblem("associative list with keys may not have a null element")
        if not isinstance(item, dict):
            raise KeyProblem("associative list with keys may not have non-map elements")
        values = {}
        for name in shape.keys:
            value = item.get(name, shape.key_defaults.get(name))
            if value is not None:
                values[name] = value
        if not values:
            names = "[" + " ".join(f'"{name}"' for name in shape.keys) + "]"
            raise KeyProblem(
                f"associative list with keys has an element that omits all key fields {names} (and doesn't have default values for any key fields)"
            )
        return key_element(values)
    if isinstance(item, dict):
        raise KeyProblem("associative list without keys has an element that's a map type")
    if isinstance(item, list):
        raise KeyProblem("not supported: associative list with lists as elements")
    if item is None:
        raise KeyProblem("associative list without keys has an element that's an explicit null")
    return value_element(item)


def _indexed(shape: Shape, items: list[Any] | None) -> dict[str, list[Any]]:
    """Items by path element; more than one under a key is a duplicate. Items without a key are passed over."""
    found: dict[str, list[Any]] = {}
    for item in items or ():
        try:
            found.setdefault(item_key(shape, item), []).append(item)
        except KeyProblem:
            continue
    return found


# --- sets of values -------------------------------------------------------------------------------------------------------------


def whole(value: Any, shape: Shape) -> FieldSet:
    """The node of a set that holds ``value`` and everything below it: what appears or vanishes with it."""
    if isinstance(value, dict):
        if not value or shape.atomic or shape.kind not in (MAP, DEDUCED):
            return _LEAF
        result: FieldSet = {SELF: _LEAF}
        for name, item in value.items():
            result["f:" + name] = whole(item, shape.child(name)) if isinstance(item, dict | list) else _LEAF
        return result
    if isinstance(value, list) and value and shape.kind == LIST and not shape.atomic:
        result = {SELF: _LEAF}
        element = shape.element or DEDUCED_SHAPE
        for key, items in _indexed(shape, value).items():
            result[key] = whole(items[0], element) if len(items) == 1 else _LEAF
        return result
    return _LEAF


def to_set(value: Any, shape: Shape) -> FieldSet:
    """The fields that an applied value claims: leaves, atomic wholes, list items, entries of maps.

    Not the structs that hold them.
    """
    result: FieldSet = {}
    if isinstance(value, dict) and shape.kind in (MAP, DEDUCED) and not shape.atomic:
        for name, item in value.items():
            declared = shape.field(name) if shape.kind == MAP else None
            child = declared or shape.element or DEDUCED_SHAPE
            node = _claimed(item, child)
            if item is None or item == {} or declared is None:
                node = {SELF: _LEAF, **node} if node else _LEAF
            if node is not None:
                result["f:" + name] = node
    elif isinstance(value, list) and shape.kind == LIST and not shape.atomic:
        element = shape.element or DEDUCED_SHAPE
        for key, items in _indexed(shape, value).items():
            node = _claimed(items[0], element) if len(items) == 1 else _LEAF
            result[key] = {SELF: _LEAF, **node} if node else _LEAF
    return result


def _claimed(value: Any, shape: Shape) -> FieldSet | None:
    """The node of ``value`` in an applied set: a leaf, the children's sets, or None if nothing is claimed."""
    granular = not shape.atomic and (
        (isinstance(value, dict) and shape.kind in (MAP, DEDUCED)) or (isinstance(value, list) and shape.kind == LIST)
    )
    if granular:
        return to_set(value, shape) or None
    if value is None and shape.kind in (MAP, LIST) and not shape.atomic:
        return None
    return _LEAF


# --- comparison -----------------------------------------------------------------------------------------------------------------


class Comparison:
    """What differs between two objects: fields removed, modified and added, as sets."""

    __slots__ = ("added", "modified", "removed")

    def __init__(self, removed: FieldSet, modified: FieldSet, added: FieldSet) -> None:
        self.removed, self.modified, self.added = removed, modified, added

    @property
    def changed(self) -> FieldSet:
        return union(self.modified, self.added)

    @property
    def same(self) -> bool:
        return not (self.removed or self.modified or self.added)


def compare(old: Any, new: Any, shape: Shape) -> Comparison:
    """How ``new`` differs from ``old``. Parts that are equal cost one comparison."""
    comparison = Comparison({}, {}, {})
    if old != new:
        _compare(old, new, shape, comparison)
    return comparison


def _compare(old: Any, new: Any, shape: Shape, out: Comparison) -> bool:
    """Fill ``out`` with the differences below this value. True if the value itself is a leaf that differs."""
    kind = shape.kind
    if kind == DEDUCED:
        if not (isinstance(old, dict) and isinstance(new, dict)):
            return True
        kind = MAP
    if kind == MAP and not shape.atomic and nullable(old, dict) and nullable(new, dict) and (old or new):
        _compare_maps(old or {}, new or {}, shape, out)
        return False
    if kind == LIST and not shape.atomic and nullable(old, list) and nullable(new, list) and (old or new):
        _compare_lists(old, new, shape, out)
        return False
    return True


def nullable(value: Any, expected: type) -> bool:
    return value is None or isinstance(value, expected)


def _compare_maps(old: dict[str, Any], new: dict[str, Any], shape: Shape, out: Comparison) -> None:
    for name, value in new.items():
        former = old.get(name, ABSENT)
        if former is ABSENT:
            out.added["f:" + name] = whole(value, shape.child(name)) if isinstance(value, dict | list) else _LEAF
        elif former != value:
            if isinstance(value, dict | list) or isinstance(former, dict | list):
                _descend("f:" + name, former, value, shape.child(name), out)
            else:
                out.modified["f:" + name] = _LEAF
    for name, former in old.items():
        if name not in new:
            out.removed["f:" + name] = whole(former, shape.child(name)) if isinstance(former, dict | list) else _LEAF


def _compare_lists(old: list[Any] | None, new: list[Any] | None, shape: Shape, out: Comparison) -> None:
    before, after = _indexed(shape, old), _indexed(shape, new)
    element = shape.element or DEDUCED_SHAPE
    for key in before.keys() | after.keys():
        former, items = before.get(key, []), after.get(key, [])
        if len(former) <= 1 and len(items) <= 1:
            if not former:
                out.added[key] = whole(items[0], element)
            elif not items:
                out.removed[key] = whole(former[0], element)
            elif former[0] != items[0]:
                _descend(key, former[0], items[0], element, out)
        elif len(former) >= 2 and len(items) >= 2:
            if former != items:
                out.modified[key] = _LEAF
        elif len(former) >= 2:
            if items:
                out.added[key] = whole(items[0], element)
            out.removed[key] = _LEAF
        else:
            if former:
                out.removed[key] = whole(former[0], element)
            out.added[key] = _LEAF


def _descend(key: str, old: Any, new: Any, shape: Shape, out: Comparison) -> None:
    below = Comparison({}, {}, {})
    if _compare(old, new, shape, below):
        out.modified[key] = _LEAF
        return
    if below.removed:
        out.removed[key] = below.removed
    if below.modified:
        out.modified[key] = below.modified
    if below.added:
        out.added[key] = below.added
