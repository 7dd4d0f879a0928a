"""Merging an applied value over a live one, and taking fields out again, along the shape of the schema (see ``typed``)."""

from __future__ import annotations

from typing import Any

from halab.cluster.kube.fieldset import SELF, FieldSet, is_member
from halab.cluster.kube.typed import ABSENT, DEDUCED, DEDUCED_SHAPE, LIST, MAP, Shape, item_key, nullable

_LEAF: FieldSet = {}


def merge(live: Any, applied: Any, shape: Shape) -> Any:
    """``live`` with the applied value merged over it. Raises KeyProblem for applied lists with duplicate keys."""
    kind = shape.kind
    if kind == DEDUCED and isinstance(live, dict) and isinstance(applied, dict):
        kind = MAP
    if not shape.atomic:
        if kind == MAP and nullable(live, dict) and nullable(applied, dict) and (live or applied):
            result = dict(live) if live else {}
            for name, value in (applied or {}).items():
                former = result.get(name, ABSENT)
                merged = (
                    value
                    if former is ABSENT and not isinstance(value, dict | list)
                    else _merged(former, value, shape.child(name))
                )
                if merged is ABSENT:
                    result.pop(name, None)
                else:
                    result[name] = merged
            return result
        if kind == LIST and nullable(live, list) and nullable(applied, list) and (live or applied):
            return _merge_lists(live or [], applied or [], shape)
    return applied


def _merged(live: Any, applied: Any, shape: Shape) -> Any:
    if live is ABSENT:
        return applied
    return merge(live, applied, shape)


def _merge_lists(live: list[Any], applied: list[Any], shape: Shape) -> list[Any]:
    """Both lists' order is kept as far as they agree; where they do not, the applied list's order wins.

    Live duplicates stay until they are applied.
    """
    left = [(item_key(shape, item), item) for item in live]
    right = [(item_key(shape, item), item) for item in applied]
    mine = dict(right)
    theirs: dict[str, Any] = {}
    for key, item in left:
        theirs[key] = ABSENT if key in theirs else item
    element = shape.element or DEDUCED_SHAPE
    shared = [key for key, _ in right if key in theirs]
    next_shared = 0
    done: set[str] = set()
    result: list[Any] = []

    def take(key: str, item: Any) -> None:
        former = theirs.get(key, ABSENT)
        result.append(item if former is ABSENT else merge(former, item, element))
        done.add(key)

    i = j = 0
    while i < len(left) or j < len(right):
        if i < len(left) and j < len(right):
            key = left[i][0]
            if key == right[j][0]:
                take(key, right[j][1])
                i, j, next_shared = i + 1, j + 1, next_shared + 1
                continue
            if key in mine and next_shared < len(shared) and shared[next_shared] != key:
                i += 1
                continue
        if i < len(left):
            key = left[i][0]
            if key not in mine:
                result.append(left[i][1])
                i += 1
                continue
            if key in done:
                i += 1
        if j < len(right):
            key, item = right[j]
            take(key, item)
            j += 1
            if next_shared < len(shared) and shared[next_shared] == key:
                next_shared += 1
    return result


def remove(value: Any, unwanted: FieldSet, shape: Shape) -> Any:
    """``value`` without the members of ``unwanted``; what is emptied by that is ABSENT."""
    if not value or not unwanted or shape.atomic or not isinstance(value, dict | list):
        return ABSENT if value and shape.atomic and isinstance(value, dict | list) else value
    if isinstance(value, list):
        if shape.kind != LIST:
            return value
        return _remove_items(value, unwanted, shape)
    if shape.kind not in (MAP, DEDUCED):
        return value
    kept: dict[str, Any] = {}
    for name, item in value.items():
        node = unwanted.get("f:" + name)
        if node is None:
            kept[name] = item
        elif not is_member(node):
            rest = remove(item, node, shape.child(name))
            if rest is not ABSENT:
                kept[name] = rest
    return kept or ABSENT


def _remove_items(items: list[Any], unwanted: FieldSet, shape: Shape) -> Any:
    element = shape.element or DEDUCED_SHAPE
    kept = []
    for item in items:
        node = unwanted.get(item_key(shape, item))
        if node is None:
            kept.append(item)
        elif not is_member(node):
            rest = remove(item, node, element)
            kept.append({} if rest is ABSENT else rest)
    return kept or ABSENT


def with_named_fields(fields: FieldSet, shape: Shape) -> FieldSet:
    """The set with every declared struct field on the way to a member made a member too; list items and map entries are not."""
    result: FieldSet = {}
    for key, node in fields.items():
        if key == SELF or not node:
            result[key] = node
            continue
        if key.startswith("f:"):
            declared = shape.field(key[2:])
            below = with_named_fields(node, shape.child(key[2:]))
            result[key] = {SELF: _LEAF, **below} if declared is not None else below
        else:
            result[key] = with_named_fields(node, shape.element or DEDUCED_SHAPE)
    return result
