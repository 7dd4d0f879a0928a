"""A Swagger document as the protobuf message ``openapi.v2.Document`` of gnostic-models.

Old kubectls accept nothing else. Only the parts that ``swagger`` produces are written; the numbers are those of
https://github.com/google/gnostic-models/blob/main/openapiv2/OpenAPIv2.proto.
"""

from __future__ import annotations

from typing import Any

import orjson

from halab.cluster.kube.types import Obj


def encode(document: Obj) -> bytes:
    """The message's bytes."""
    info = _text(1, document["info"]["title"]) + _text(2, document["info"]["version"])
    paths = b"".join(_message(2, _named(path, _path(item))) for path, item in document["paths"].items())
    definitions = b"".join(_message(1, _named(name, _schema(value))) for name, value in document["definitions"].items())
    return _text(1, document["swagger"]) + _message(2, info) + _message(8, paths) + _message(9, definitions)


# --- wire format ----------------------------------------------------------------------------------------------------------------


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _message(number: int, body: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(body)) + body


def _text(number: int, value: str | None) -> bytes:
    return _message(number, value.encode()) if value else b""


def _texts(number: int, values: Any) -> bytes:
    return b"".join(_message(number, str(value).encode()) for value in values or ())


def _flag(number: int, value: Any) -> bytes:
    return _varint(number << 3) + b"\x01" if value else b""


def _named(name: str, body: bytes) -> bytes:
    return _text(1, name) + _message(2, body)


def _any(value: Any) -> bytes:
    """An ``Any``: YAML text, of which JSON is a part."""
    return _text(2, orjson.dumps(value).decode() + "\n")


def _extensions(number: int, holder: Obj) -> bytes:
    return b"".join(_message(number, _named(key, _any(value))) for key, value in holder.items() if key.startswith("x-"))


# --- messages -------------------------------------------------------------------------------------------------------------------

_METHODS = {"get": 2, "put": 3, "post": 4, "delete": 5, "options": 6, "head": 7, "patch": 8}


def _path(item: Obj) -> bytes:
    body = b"".join(_message(number, _operation(item[method])) for method, number in _METHODS.items() if method in item)
    return body + b"".join(_message(9, _parameter(parameter)) for parameter in item.get("parameters", ()))


def _operation(operation: Obj) -> bytes:
    return b"".join(
        (
            _text(3, operation.get("description")),
            _text(5, operation.get("operationId")),
            _texts(6, operation.get("produces")),
            _texts(7, operation.get("consumes")),
            b"".join(_message(8, _parameter(parameter)) for parameter in operation.get("parameters", ())),
            _message(9, b"".join(_message(1, _named(code, _response(value))) for code, value in operation["responses"].items())),
            _texts(10, operation.get("schemes")),
            _extensions(13, operation),
        )
    )


def _response(response: Obj) -> bytes:
    body = _text(1, response.get("description"))
    if "schema" in response:
        body += _message(2, _message(1, _schema(response["schema"])))
    return _message(1, body)


def _parameter(parameter: Obj) -> bytes:
    """A ``ParametersItem``: a body parameter, or one of the query or the path."""
    place = parameter["in"]
    if place == "body":
        body = _text(1, parameter.get("description")) + _text(2, parameter["name"]) + _text(3, place)
        body += _flag(4, parameter.get("required")) + _message(5, _schema(parameter["schema"]))
        return _message(1, _message(1, body))
    body = (
        _flag(1, parameter.get("required"))
        + _text(2, place)
        + _text(3, parameter.get("description"))
        + _text(4, parameter["name"])
    )
    if place == "path":
        body += _text(5, parameter["type"]) + _flag(19, parameter.get("uniqueItems"))
        return _message(1, _message(2, _message(4, body)))
    body += _text(6, parameter["type"]) + _flag(20, parameter.get("uniqueItems"))
    return _message(1, _message(2, _message(3, body)))


def _schema(schema: Obj) -> bytes:
    kind = schema.get("type")
    items, additional = schema.get("items"), schema.get("additionalProperties")
    parts = [
        _text(1, schema.get("$ref")),
        _text(2, schema.get("format")),
        _text(3, schema.get("title")),
        _text(4, schema.get("description")),
        _text(13, schema.get("pattern")),
        _texts(19, schema.get("required")),
        b"".join(_message(20, _any(value)) for value in schema.get("enum", ())),
    ]
    if isinstance(additional, dict):
        parts.append(_message(21, _message(1, _schema(additional))))
    elif additional:
        parts.append(_message(21, _flag(2, True)))
    if kind:
        parts.append(_message(22, _text(1, kind)))
    if isinstance(items, dict):
        parts.append(_message(23, _message(1, _schema(items))))
    parts += [_message(24, _schema(part)) for part in schema.get("allOf", ())]
    if properties := schema.get("properties"):
        parts.append(_message(25, b"".join(_message(1, _named(name, _schema(child))) for name, child in properties.items())))
    parts.append(_extensions(31, schema))
    return b"".join(parts)
