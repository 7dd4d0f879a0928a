"""Reading request bodies in Kubernetes' protobuf encoding (``application/vnd.kubernetes.protobuf``).

kubectl's typed commands send it. A body is the magic ``k8s\\0`` and a ``runtime.Unknown``: the type's names, and the object's own message. The
field numbers are in ``protobuf.json`` (made by ``tools/kube_protobuf.py``); the outcome is the JSON form of the object, to be read by
``decode.decode_object`` like any other body. Answers are never protobuf: clients that send it accept JSON too.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from halab.cluster.kube.types import Obj

MAGIC = b"k8s\0"
CONTENT_TYPE = "application/vnd.kubernetes.protobuf"
MAX_DEPTH = 64
_META = "k8s.io.apimachinery.pkg.apis.meta.v1."


class Malformed(ValueError):
    """The bytes are not what they should be."""


@cache
def _messages() -> dict[str, dict[int, tuple[str, str]]]:
    raw = orjson.loads((Path(__file__).parent / "protobuf.json").read_bytes())["messages"]
    return {message: {number: (name, kind) for number, name, kind in fields} for message, fields in raw.items()}


def decode(body: bytes, definition: str) -> Obj:
    """The object in ``body`` as JSON values. ``definition`` is the OpenAPI name of the expected type (``io.k8s.api.core.v1.Pod``).

    Raises Malformed for anything that cannot be read, and KeyError for a definition without known numbers.
    """
    message = definition.replace("io.k8s.", "k8s.io.", 1)
    fields = _messages()[message]
    if not body.startswith(MAGIC):
        raise Malformed("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    envelope: dict[int, bytes] = {number: value for number, value in _fields(body[len(MAGIC) :]) if isinstance(value, bytes)}
    names = {number: value for number, value in _fields(envelope.get(1, b"")) if isinstance(value, bytes)}
    obj: Obj = {"apiVersion": _text(names.get(1, b"")), "kind": _text(names.get(2, b""))}
    return obj | _message(envelope.get(2, b""), fields, 0)


# --- the wire format -------------------------------------------------------------------------------------------------------------


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise Malformed("unexpected EOF")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(number, value) of each field; a length-delimited or fixed-size value is bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == 2:
            size, at = _varint(data, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise Malformed(f"proto: illegal wireType {wire}")
        if at + size > len(data):
            raise Malformed("unexpected EOF")
        yield number, data[at : at + size]
        at += size


def _text(value: int | bytes) -> str:
    if isinstance(value, int):
        raise Malformed("proto: wrong wireType for a string")
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise Malformed(f"proto: invalid UTF-8: {error}") from error


# --- messages --------------------------------------------------------------------------------------------------------------------


def _message(data: int | bytes, fields: dict[int, tuple[str, str]], depth: int) -> Obj:
    if isinstance(data, int) or depth > MAX_DEPTH:
        raise Malformed("proto: wrong wireType for a message")
    obj: Obj = {}
    for number, value in _fields(data):
        known = fields.get(number)
        if known is None:
            continue
        name, kind = known
        if kind[0] == "!":
            obj |= _message(value, _messages()[kind[1:]], depth + 1)
        elif kind[0] == "[":
            obj.setdefault(name, []).append(_value(value, kind[1:], depth))
        elif kind[0] == "{":
            key, item = _entry(value, kind[1:], depth)
            obj.setdefault(name, {})[key] = item
        else:
            obj[name] = _value(value, kind, depth)
    return obj


def _entry(value: int | bytes, kind: str, depth: int) -> tuple[str, Any]:
    if isinstance(value, int):
        raise Malformed("proto: wrong wireType for a map")
    parts = dict(_fields(value))
    if 2 not in parts:
        default = {"s": "", "y": "", "i": 0, "b": False}.get(kind)
        return _text(parts.get(1, b"")), default if default is not None else _value(b"", kind, depth)
    return _text(parts.get(1, b"")), _value(parts[2], kind, depth)


def _value(value: int | bytes, kind: str, depth: int) -> Any:
    if kind == "s":
        return _text(value)
    if kind[0] == "=":
        special = _SPECIAL.get(kind[1:])
        if special is None:
            found = _message(value, _messages()[kind[1:]], depth + 1)
            return found.get("items", []) if kind.endswith(".ExtraValue") else found  # a named list of strings
        if isinstance(value, int):
            raise Malformed("proto: wrong wireType for a message")
        return special(dict(_fields(value)))
    if kind == "y":
        return base64.b64encode(value if isinstance(value, bytes) else b"").decode()
    if kind == "d":
        return struct.unpack("<d", value)[0] if isinstance(value, bytes) and len(value) == 8 else 0.0
    if not isinstance(value, int):
        raise Malformed("proto: wrong wireType for a number")
    return bool(value) if kind == "b" else _signed(value)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


# --- types with a JSON form of their own -----------------------------------------------------------------------------------------

Parts = dict[int, int | bytes]


def _quantity(parts: Parts) -> str:
    return _text(parts.get(1, b"")) or "0"


def _int_or_string(parts: Parts) -> int | str:
    if parts.get(1):
        return _text(parts.get(3, b""))
    number = parts.get(2, 0)
    return _signed(number) if isinstance(number, int) else 0


def _moment(parts: Parts) -> datetime | None:
    seconds, nanos = parts.get(1, 0), parts.get(2, 0)
    if not isinstance(seconds, int) or not isinstance(nanos, int):
        raise Malformed("proto: wrong wireType for a time")
    if not seconds and not nanos:
        return None
    try:
        return datetime.fromtimestamp(_signed(seconds), UTC).replace(microsecond=nanos // 1000)
    except (ValueError, OverflowError, OSError) as error:
        raise Malformed(f"time out of range: {error}") from error


def _time(parts: Parts) -> str | None:
    moment = _moment(parts)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None


def _micro_time(parts: Parts) -> str | None:
    moment = _moment(parts)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if moment else None


def _raw_json(parts: Parts) -> Any:
    raw = parts.get(1, b"")
    if not isinstance(raw, bytes) or not raw:
        return {}
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Malformed(str(error)) from error


_SPECIAL: dict[str, Callable[[Parts], Any]] = {
    "k8s.io.apimachinery.pkg.api.resource.Quantity": _quantity,
    "k8s.io.apimachinery.pkg.util.intstr.IntOrString": _int_or_string,
    _META + "Time": _time,
    _META + "MicroTime": _micro_time,
    _META + "FieldsV1": _raw_json,
    "k8s.io.apimachinery.pkg.runtime.RawExtension": _raw_json,
}
