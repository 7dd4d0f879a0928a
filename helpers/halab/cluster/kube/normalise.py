"""Bring an object into the form that Kubernetes' Go types give it: one fast walk along the schema.

What Go does by decoding into structs and writing them out again: empty values vanish where the field is ``omitempty``, fields
that are always written appear with their zero, nulls go, quantities, times and base64 get their one spelling. The walk changes
the object in place, and leaves (``Odd``) as soon as something is not as the schema wants it; ``exact`` then finds out what.
"""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime
from typing import Any

from halab.cluster.kube.quantity import canonical
from halab.cluster.kube.schema import (
    ANY,
    BOOL,
    BYTES,
    DURATION,
    FLOAT,
    INT32,
    INT64,
    INT_OR_STRING,
    LIST,
    MAP,
    MICRO_TIME,
    QUANTITY,
    STRING,
    STRUCT,
    TIME,
    Node,
)  # fmt: skip
from halab.cluster.kube.types import Obj

_PLAIN_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.A)
_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:[.,](\d+))?(Z|[+-]\d\d:\d\d)", re.A)
INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


class Odd(Exception):
    """The value is not of the form that its schema wants."""


def normalise(node: Node, value: Obj) -> int:
    """Normalise ``value`` in place; the number of keys in it. Raises ``Odd``."""
    if value.__class__ is not dict:
        raise Odd
    properties = node.properties
    if properties is None:
        return _count(value)
    return _struct(properties, node.always, value)


def _struct(properties: dict[str, Node], always: list[tuple[str, Any, Node]], value: Obj) -> int:
    count = len(value)
    dropped: list[str] | None = None
    for name, item in value.items():
        node = properties.get(name)
        if node is None:
            raise Odd
        code = node.code
        if code == STRING:
            if item.__class__ is str and (item or not node.omitted or node.pointer):
                continue
        elif code == STRUCT:
            if item.__class__ is dict:
                count += _struct(node.properties, node.always, item)  # type: ignore[arg-type]
                continue
        elif code == LIST:
            if item.__class__ is list and item:
                items = node.items
                if items.code == STRUCT:  # type: ignore[union-attr]
                    inner, zeros = items.properties, items.always  # type: ignore[union-attr]
                    for element in item:
                        if element.__class__ is not dict:
                            raise Odd
                        count += _struct(inner, zeros, element)  # type: ignore[arg-type]
                elif items.code == STRING:  # type: ignore[union-attr]
                    for element in item:
                        if element.__class__ is not str:
                            raise Odd
                else:
                    for index, element in enumerate(item):
                        item[index], more = _scalar(items, element)  # type: ignore[arg-type]
                        count += more
                continue
        elif code == MAP:
            if item.__class__ is dict and item:
                count += _map(node.additional, item)  # type: ignore[arg-type]
                continue
        elif item is not None:
            new, more = _scalar(node, item)
            count += more
            if new is not item:
                value[name] = new
            if new or new is None or node.pointer or not node.omitted:
                continue
        if item is None or _is_empty(code, item):
            if node.omitted:
                if dropped is None:
                    dropped = []
                dropped.append(name)
            else:
                value[name] = node.zero()
            continue
        raise Odd
    if dropped:
        for name in dropped:
            del value[name]
    for name, zero, node in always:
        if name not in value:
            value[name] = zero if node.code != STRUCT else node.zero()
    return count


def _is_empty(code: int, item: Any) -> bool:
    if code == STRING:
        return item.__class__ is str  # only an empty one gets here
    if code == LIST:
        return item.__class__ is list
    if code == MAP:
        return item.__class__ is dict
    return not item and item.__class__ in (int, bool, float, str)


def _map(values: Node, item: Obj) -> int:
    count = len(item)
    code = values.code
    if code == STRING:
        for name, element in item.items():
            if element.__class__ is not str:
                if element is None:
                    item[name] = ""
                else:
                    raise Odd
        return count
    for name, element in item.items():
        new, more = _scalar(values, element)
        count += more
        if new is not element:
            item[name] = new
    return count


def _scalar(node: Node, item: Any) -> tuple[Any, int]:
    """A value that is no plain string: (its normal form, keys inside). Structs and lists only get here inside maps and lists."""
    code = node.code
    kind = item.__class__
    if code == INT32:
        if kind is int and INT32_MIN <= item <= INT32_MAX:
            return item, 0
    elif code == INT64:
        if kind is int and INT64_MIN <= item <= INT64_MAX:
            return item, 0
    elif code == BOOL:
        if kind is bool:
            return item, 0
    elif code == INT_OR_STRING:
        if kind is str or (kind is int and INT32_MIN <= item <= INT32_MAX):
            return item, 0
    elif code == QUANTITY:
        if kind is str or kind is int or kind is float:
            try:
                return canonical(item if kind is str else str(item)), 0
            except ValueError as error:
                raise Odd from error
    elif code in (TIME, MICRO_TIME):
        if kind is str:
            return time_text(item, code == MICRO_TIME), 0
    elif code == ANY:
        return item, _count(item)
    elif code == STRING:
        if kind is str:
            return item, 0
    elif code == BYTES:
        if kind is str:
            return bytes_text(item), 0
    elif code == STRUCT:
        if kind is dict:
            return item, _struct(node.properties, node.always, item)  # type: ignore[arg-type]
    elif code == MAP:
        if kind is dict:
            return item, _map(node.additional, item)  # type: ignore[arg-type]
    elif code == LIST:
        if kind is list:
            count = 0
            for index, element in enumerate(item):
                item[index], more = _scalar(node.items, element)  # type: ignore[arg-type]
                count += more
            return item, count
    elif code == FLOAT:
        if kind is int or kind is float:
            return item, 0
    elif code == DURATION and kind is str:
        return item, 0
    raise Odd


def _count(item: Any) -> int:
    """The keys of all objects in a value that the schema does not describe."""
    if item.__class__ is dict:
        return len(item) + sum(_count(v) for v in item.values())
    if item.__class__ is list:
        return sum(_count(v) for v in item)
    return 0


def time_text(text: str, micro: bool = False) -> str | None:
    """RFC 3339 in UTC, with six decimals if ``micro``, else whole seconds; None for Go's zero time. Raises ``Odd``."""
    if not micro and _PLAIN_TIME.fullmatch(text) and text[:4] != "0001":
        try:
            datetime.fromisoformat(text)
        except ValueError as error:
            raise Odd from error
        return text
    match = _RFC3339.fullmatch(text)
    if not match:
        raise Odd
    zone = "+00:00" if match[3] == "Z" else match[3]
    try:
        moment = datetime.fromisoformat(f"{match[1]}.{(match[2] or '')[:6].ljust(6, '0')}{zone}").astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Odd from error
    if moment.year == 1 and moment.timetuple().tm_yday == 1:
        return None
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ" if micro else "%Y-%m-%dT%H:%M:%SZ")


def bytes_text(text: str) -> str:
    """Standard base64 in its one spelling. Raises ``Odd``."""
    try:
        raw = base64.b64decode(text.replace("\n", "").replace("\r", ""), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Odd from error
    return base64.b64encode(raw).decode()
