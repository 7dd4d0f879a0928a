"""JSON patch (RFC 6902) and JSON merge patch (RFC 7386), with the API server's refusals.

Both are schema-less: the caller decodes and validates what comes out. ``strategic.py`` and ``apply.py`` hold the two forms that
need the schema. The object that is patched is never changed; unchanged parts are shared with the result, so treat both as values.
"""

from __future__ import annotations

from typing import Any

import orjson

from halab.cluster.kube.status import ApiError, bad_request, too_large
from halab.cluster.kube.types import Obj

MAX_OPERATIONS = 10_000  # maxJSONPatchOperations of the API server
MAX_COPIED = (
    3 << 20
)  # what all copies of a patch may add, in bytes; without an end, each could double the object (JSONPatchMaxCopyBytes)
_OPERATIONS = frozenset({"add", "remove", "replace", "move", "copy", "test"})


def merge_patch(obj: Obj, patch: Any) -> Obj:
    """``obj`` with a merge patch applied: null removes, objects merge, everything else replaces.

    Raises ApiError 400 for a non-object.
    """
    if not isinstance(patch, dict):
        raise bad_request(
            f"error decoding patch: json: cannot unmarshal {_go_kind(patch)} into Go value of type map[string]interface {{}}"
        )
    return _merge(obj, patch)


def _merge(target: Any, patch: Obj) -> Obj:
    result: Obj = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            result[key] = _merge(result.get(key), value)
        else:
            result[key] = value
    return result


def json_patch(obj: Obj, operations: Any) -> Obj:
    """``obj`` with the operations applied in order; all or nothing.

    Raises ApiError: 400 where the patch is no list of operations, 413 for too many of them, 422 where one cannot be applied
    (Kubernetes does not say which).
    """
    if not isinstance(operations, list):
        raise bad_request(
            f"error decoding patch: json: cannot unmarshal {_go_kind(operations)} into Go value of type []handlers.jsonPatchOp"
        )
    if len(operations) > MAX_OPERATIONS:
        raise too_large(f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(operations)}")
    for index, operation in enumerate(operations):
        if not isinstance(operation, dict):
            raise bad_request(
                f"error decoding patch: json: cannot unmarshal {_go_kind(operation)} into Go value of type handlers.jsonPatchOp"
            )
        for name in ("op", "path", "from"):
            if not isinstance(operation.get(name, ""), str):
                kind = _go_kind(operation[name])
                raise bad_request(
                    f"error decoding patch: json: cannot unmarshal {kind} into Go struct field jsonPatchOp.[{index}].{name} of type string"
                )
    document: Any = obj
    copied = 0
    try:
        for operation in operations:
            if operation.get("op") == "copy":
                copied += _size(_get(document, _from(operation)))
                if copied > MAX_COPIED:
                    raise _Impossible
            document = _apply(document, operation)
    except _Impossible:
        raise _refused() from None
    if not isinstance(document, dict):
        raise _refused()
    return document


def _size(value: Any) -> int:
    """Bytes of JSON; what is nested too deeply to be written is too large."""
    try:
        return len(orjson.dumps(value))
    except orjson.JSONEncodeError:
        return MAX_COPIED + 1


def _refused() -> ApiError:
    return ApiError(422, "the server rejected our request due to an error in our request", "Invalid", {})


class _Impossible(Exception):
    """An operation that cannot be applied to the document at hand."""


def _apply(document: Any, operation: Obj) -> Any:
    op = operation.get("op")
    if op not in _OPERATIONS or "path" not in operation:
        raise _Impossible
    path = _pointer(operation["path"])
    match op:
        case "add":
            return _with(document, path, _value(operation), insert=True)
        case "replace":
            _get(document, path)
            return _with(document, path, _value(operation), insert=False)
        case "remove":
            return _without(document, path)
        case "test":
            if not _equal(_get(document, path, absent=None), operation.get("value")):
                raise _Impossible
            return document
        case "copy":
            return _with(document, path, _get(document, _from(operation)), insert=True)
        case _:
            source = _from(operation)
            if path[: len(source)] == source and len(path) > len(source):
                raise _Impossible
            value = _get(document, source)
            return _with(_without(document, source), path, value, insert=True)


def _value(operation: Obj) -> Any:
    if "value" not in operation:
        raise _Impossible
    return operation["value"]


def _from(operation: Obj) -> list[str]:
    if "from" not in operation:
        raise _Impossible
    return _pointer(operation["from"])


def _pointer(text: str) -> list[str]:
    """The parts of a JSON pointer (RFC 6901)."""
    if text == "":
        return []
    if not text.startswith("/"):
        raise _Impossible
    return [part.replace("~1", "/").replace("~0", "~") for part in text[1:].split("/")]


_RAISE: Any = object()


def _get(document: Any, path: list[str], absent: Any = _RAISE) -> Any:
    """The value at ``path``; where only its last part is missing from an object, ``absent`` if that is given."""
    for depth, part in enumerate(path):
        if isinstance(document, dict):
            if part not in document:
                if absent is _RAISE or depth < len(path) - 1:
                    raise _Impossible
                return absent
            document = document[part]
        elif isinstance(document, list):
            document = document[_index(part, len(document))]
        else:
            raise _Impossible
    return document


def _index(part: str, length: int) -> int:
    """The place that ``part`` names among ``length`` items.

    Negative ones count from the end, as the API server's library allows.
    """
    digits = part[1:] if part.startswith("-") else part
    if not (digits.isascii() and digits.isdigit()):
        raise _Impossible
    index = int(part)
    if index < 0:
        index += length
    if not 0 <= index < length:
        raise _Impossible
    return index


def _with(document: Any, path: list[str], value: Any, insert: bool) -> Any:
    """A copy of the spine of ``document`` with ``value`` at ``path``.

    ``insert`` moves list items aside instead of replacing one.
    """
    if not path:
        return value
    part, rest = path[0], path[1:]
    if isinstance(document, dict):
        if rest and part not in document:
            raise _Impossible
        return {**document, part: _with(document.get(part), rest, value, insert)}
    if isinstance(document, list):
        result = list(document)
        if not rest and insert:
            place = len(result) if part == "-" else _index(part, len(result) + 1)
            result.insert(place, value)
        else:
            place = _index(part, len(result))
            result[place] = _with(result[place], rest, value, insert)
        return result
    raise _Impossible


def _without(document: Any, path: list[str]) -> Any:
    if not path:
        raise _Impossible
    part, rest = path[0], path[1:]
    if isinstance(document, dict):
        if part not in document:
            raise _Impossible
        if rest:
            return {**document, part: _without(document[part], rest)}
        return {key: value for key, value in document.items() if key != part}
    if isinstance(document, list):
        place = _index(part, len(document))
        result = list(document)
        if rest:
            result[place] = _without(result[place], rest)
        else:
            del result[place]
        return result
    raise _Impossible


def _equal(left: Any, right: Any) -> bool:
    """JSON equality: true is not 1."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_equal(value, right[key]) for key, value in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_equal, left, right))
    return bool(left == right)


def _go_kind(value: Any) -> str:
    """What Go's JSON decoder calls ``value``."""
    match value:
        case bool():
            return "bool"
        case str():
            return "string"
        case int() | float():
            return "number"
        case list():
            return "array"
        case dict():
            return "object"
        case _:
            return "null"
