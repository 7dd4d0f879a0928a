"""Strategic merge patch: a merge patch that knows from the schema which lists merge by a key, and obeys directives.

The rules are those of apimachinery's ``strategicpatch``
(https://kubernetes.io/docs/tasks/manage-kubernetes-objects/update-api-object-kubectl-patch/):

- a list with patch strategy ``merge`` is merged by its merge key, or as a set where its items are plain values; others are replaced;
- ``$patch: replace | delete`` on a map or on an item of a merged list; ``$retainKeys`` clears a map's other keys;
- ``$setElementOrder/LIST`` orders a merged list, ``$deleteFromPrimitiveList/LIST`` takes plain items out.

Order of a merged list: items of the patch keep their order, items only the server has keep theirs, and server items go in front
of the first patch item that came after them before.

The object that is patched is never changed; unchanged parts are shared with the result.
"""

from __future__ import annotations

from typing import Any

from halab.cluster.kube.schema import Node
from halab.cluster.kube.status import ApiError, bad_request, unclassified
from halab.cluster.kube.types import Obj

_DIRECTIVE = "$patch"
_RETAIN = "$retainKeys"
_ORDER = "$setElementOrder/"
_DELETE = "$deleteFromPrimitiveList/"


def strategic_merge(obj: Obj, patch: Any, node: Node | None) -> Obj:
    """``obj`` with the patch applied; ``node`` is the schema of ``obj``.

    Raises ApiError: 400 for a patch that is no object or whose directives are malformed, 422 for lists of lists, 500 where
    Kubernetes has no better answer (an item of a merged list without its merge key, an unknown directive).
    """
    if not isinstance(patch, dict):
        raise bad_request("invalid JSON document")
    return _merge_map(obj, patch, node)


def _merge_map(original: Obj, patch: Obj, node: Node | None) -> Obj:
    if _DIRECTIVE in patch:
        return _directed(patch)
    result = _retain(original, patch)
    ordered = {key.removeprefix(_ORDER) for key in patch if key.startswith(_ORDER)}
    for name in ordered:
        _merge_ordered(result, patch, name, node)
    for key, value in patch.items():
        if key == _RETAIN or key in ordered or key.startswith(_ORDER):
            continue
        if key.startswith(_DELETE):
            _delete_plain(result, key.removeprefix(_DELETE), value)
        elif value is None:
            result.pop(key, None)
        else:
            _merge_key(result, key, value, node)
    return result


def _directed(patch: Obj) -> Obj:
    directive = patch[_DIRECTIVE]
    if directive == "replace":
        return {key: value for key, value in patch.items() if key != _DIRECTIVE}
    if directive == "delete":
        return {}
    raise unclassified(f"unknown patch type: {go_text(directive)} in map: {go_text(patch)}")


def _retain(original: Obj, patch: Obj) -> Obj:
    """A copy of ``original``, with only the keys that ``$retainKeys`` names if the patch has it."""
    if _RETAIN not in patch:
        return dict(original)
    retained = patch[_RETAIN]
    if not isinstance(retained, list):
        raise bad_request("invalid patch format of retainKeys")
    for key, value in patch.items():
        if (
            value is not None
            and key not in retained
            and not key.startswith(("$deleteFromPrimitiveList/", "$setElementOrder/", _RETAIN))
        ):
            raise bad_request("invalid patch format of retainKeys")
    return {key: value for key, value in original.items() if key in retained}


def _merge_key(result: Obj, key: str, value: Any, node: Node | None) -> None:
    """Merge one key of a patch that is no directive and not null."""
    current = result.get(key)
    if isinstance(current, dict) and isinstance(value, dict):
        child = _child(node, key)
        result[key] = value if "replace" in _strategies(child) else _merge_map(current, value, child)
    elif isinstance(current, list) and isinstance(value, list):
        result[key] = _merge_list(current, value, _child(node, key))
    else:
        kept = _without_directives(value)
        if kept is _DROPPED:
            result.pop(key, None)
        else:
            result[key] = kept


_DROPPED: Any = object()


def _without_directives(value: Any) -> Any:
    """``value`` as it is taken where there was nothing to merge with: no nulls, nothing that carries a directive."""
    if isinstance(value, dict):
        if _DIRECTIVE in value:
            return _DROPPED
        kept = ((key, _without_directives(item)) for key, item in value.items() if item is not None)
        return {key: item for key, item in kept if item is not _DROPPED}
    if isinstance(value, list):
        return [kept for kept in map(_without_directives, value) if kept is not _DROPPED]
    return value


def _child(node: Node | None, key: str) -> Node | None:
    if node is None:
        return None
    return (node.properties or {}).get(key) or node.additional


def _strategies(node: Node | None) -> tuple[str, ...]:
    return tuple(node.patch_strategy.split(",")) if node is not None and node.patch_strategy else ()


# --- lists ----------------------------------------------------------------------------------------------------------------------


def _merge_list(original: list[Any], patch: list[Any], node: Node | None) -> list[Any]:
    if "merge" not in _strategies(node):
        return patch
    if not original and not patch:
        return original
    if not _of_maps(original, patch):
        merged = list(dict.fromkeys([*original, *patch]))
        return _in_order(merged, patch, original, "")
    key = node.merge_key if node is not None else ""
    if not key:
        raise unclassified("cannot merge lists without merge key for ")
    original, patch = _special_items(original, patch, key)
    merged = list(original)
    items = node.items if node is not None else None
    places: dict[Any, int] = {}
    for index, item in enumerate(merged):
        if key in item:
            places.setdefault(_hashed(item[key]), index)
    for item in patch:
        value = _hashed(_merge_value(item, key))
        place = places.setdefault(value, len(merged))
        if place == len(merged):
            merged.append(item)
        else:
            merged[place] = _merge_map(merged[place], item, items)
    return _in_order(merged, patch, original, key)


def _special_items(original: list[Any], patch: list[Any], key: str) -> tuple[list[Any], list[Any]]:
    """(what is left of the original list, the patch's items without directives)."""
    plain: list[Any] = []
    replace, deleted = False, set()
    for item in patch:
        match item.get(_DIRECTIVE, _DROPPED):
            case "delete":
                deleted.add(_hashed(_merge_value(item, key)))
            case "replace":
                replace = True
            case "merge":
                raise unclassified("merging lists cannot yet be specified in the patch")
            case directive if directive is _DROPPED:
                plain.append(item)
            case directive:
                raise unclassified(f"unknown patch type: {go_text(directive)} in map: {go_text(item)}")
    if replace:
        return plain, []
    return [item for item in original if key not in item or _hashed(item[key]) not in deleted] if deleted else original, plain


def _delete_plain(result: Obj, name: str, unwanted: Any) -> None:
    current = result.get(name)
    if not isinstance(current, list):
        return
    if not isinstance(unwanted, list):
        raise unclassified("expected a []interface {}, but received a " + _go_type(unwanted))
    gone = {_hashed(item) for item in unwanted}
    result[name] = [item for item in current if _hashed(item) not in gone]


def _merge_ordered(result: Obj, patch: Obj, name: str, node: Node | None) -> None:
    """Merge the list ``name`` whose order the patch gives in ``$setElementOrder/NAME``."""
    order, child = patch[_ORDER + name], _child(node, name)
    for value in (order, result.get(name, []), patch.get(name, [])):
        if not isinstance(value, list):
            raise unclassified("expected a []interface {}, but received a " + _go_type(value))
    key = child.merge_key or "" if child is not None else ""
    _check_order(patch.get(name, []), order, key)
    if name in result and name in patch:
        merged = _merge_list(result[name], patch[name], child)
    elif name in patch:
        merged = _without_directives(patch[name])
    elif name in result:
        merged = result[name]
    else:
        return
    if not result.get(name) and not patch.get(name):
        raise unclassified("no elements in any of the given slices")
    result[name] = _in_order(merged, order, result.get(name, []), key)


def _check_order(patch: list[Any], order: list[Any], key: str) -> None:
    """The patch's items must come in the order that the directive gives."""
    if not patch or not order:
        return
    position = 0
    for item in patch:
        if isinstance(item, dict) and _DIRECTIVE in item:
            continue
        while position < len(order) and _key_of(order[position], key) != _key_of(item, key):
            position += 1
        if position >= len(order):
            raise unclassified(
                f"The order in patch list:\n{go_text(patch)}\n doesn't match $setElementOrder list:\n{go_text(order)}\n"
            )
        position += 1


def _in_order(merged: list[Any], patch_order: list[Any], server_order: list[Any], key: str) -> list[Any]:
    """Interleave the items that ``patch_order`` names, in that order, with the others, in the order of ``server_order``."""
    wanted, before = _positions(patch_order, key), _positions(server_order, key)
    last = len(wanted) + len(before)
    mine = sorted((i for i in merged if _hashed(_key_of(i, key)) in wanted), key=lambda i: wanted[_hashed(_key_of(i, key))])
    others = [i for i in merged if _hashed(_key_of(i, key)) not in wanted]
    others.sort(key=lambda i: before.get(_hashed(_key_of(i, key)), last))
    result: list[Any] = []
    position = 0
    for item in mine:
        place = before.get(_hashed(_key_of(item, key)))
        while position < len(others) and place is not None and before.get(_hashed(_key_of(others[position], key)), last) < place:
            result.append(others[position])
            position += 1
        result.append(item)
    return result + others[position:]


def _positions(items: list[Any], key: str) -> dict[Any, int]:
    found: dict[Any, int] = {}
    for index, item in enumerate(items):
        found.setdefault(_hashed(_key_of(item, key)), index)
    return found


def _hashed(value: Any) -> Any:
    """What finds an equal value in a dict or set: lists are long enough that none may be compared with each of another."""
    return value if not isinstance(value, list | dict) else (repr(value),)


def _key_of(item: Any, key: str) -> Any:
    if not key:
        return item
    if not isinstance(item, dict):
        raise unclassified("expected a map[string]interface {}, but received a " + _go_type(item))
    return _merge_value(item, key)


def _merge_value(item: Obj, key: str) -> Any:
    if key not in item:
        raise unclassified(f"map: {go_text(item)} does not contain declared merge key: {key}")
    return item[key]


def _of_maps(original: list[Any], patch: list[Any]) -> bool:
    """Whether the items are maps; Kubernetes refuses mixtures and lists of lists."""
    kinds = {_go_type(item) for item in original} | {_go_type(item) for item in patch}
    if "[]interface {}" in kinds:
        raise ApiError(422, "the server rejected our request due to an error in our request", "Invalid", {})
    if len(kinds) > 1:
        raise unclassified(f"list element types are not identical: {go_text([original, patch])}")
    return kinds == {"map[string]interface {}"}


def _go_type(value: Any) -> str:
    match value:
        case None:
            return "%!s(<nil>)"
        case bool():
            return "bool"
        case str():
            return "string"
        case int():
            return "int64"
        case float():
            return "float64"
        case list():
            return "[]interface {}"
        case _:
            return "map[string]interface {}"


def go_text(value: Any) -> str:
    """``value`` as Go's ``%v`` prints decoded JSON: ``map[a:1 b:[x y]]``."""
    match value:
        case None:
            return "<nil>"
        case bool():
            return "true" if value else "false"
        case dict():
            return "map[" + " ".join(f"{key}:{go_text(value[key])}" for key in sorted(value)) + "]"
        case list():
            return "[" + " ".join(go_text(item) for item in value) + "]"
        case _:
            return str(value)
