"""The slow, exact reading of a body: what is wrong with it, in the words of Kubernetes' decoders.

``parse_json`` and ``parse_yaml`` keep track of keys that are there twice; ``examine`` walks the document along the schema, removes
unknown fields, names unknown and duplicate ones in document order, and raises ``WrongType`` with the error that Go's JSON
decoder would give. Only bodies that ``normalise`` could not take get here.
"""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

from halab.cluster.kube.gotext import quote
from halab.cluster.kube.normalise import INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, Odd, bytes_text, time_text
from halab.cluster.kube.quantity import PATTERN_ERROR, canonical
from halab.cluster.kube.schema import (
    ANY,
    BOOL,
    BYTES,
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


class Malformed(Exception):
    """Not JSON, or not YAML; the text is Go's."""


class WrongType(Exception):
    """A value does not fit its Go type; the text is Go's."""


class Document:
    """A parsed body. ``twice`` maps the id of an object to all of its (key, value) pairs if a key repeats; ``faults`` are the parser's own."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self.twice: dict[int, list[tuple[str, Any]]] = {}
        self.faults: list[str] = []


def parse_json(body: bytes) -> Document:
    document = Document(None)

    def pairs(items: list[tuple[str, Any]]) -> Obj:
        obj = dict(items)
        if len(obj) != len(items):
            document.twice[id(obj)] = items
        return obj

    def no_constant(name: str) -> Any:
        raise Malformed(f"invalid character {name[0]!r} looking for beginning of value")

    text = body.decode("utf-8", errors="replace")
    if "\\u" in text:
        text = _HALF_PAIR.sub(lambda found: found[0] if found[1] is None else "\\ufffd", text)
    try:
        document.value = json.loads(text, object_pairs_hook=pairs, parse_constant=no_constant, parse_int=_number)
    except json.JSONDecodeError as error:
        raise Malformed(_go_syntax_error(error, text)) from error
    except ValueError as error:
        raise Malformed(str(error)) from error
    except RecursionError as error:
        raise Malformed("exceeded max depth") from error
    return document


_HALF_PAIR = re.compile(r"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})")
"""Half of a surrogate pair is no character: Go reads U+FFFD."""


def _number(text: str) -> int | float:
    """Beyond 64 bits a number is no integer any more."""
    number = int(text) if len(text) < 20 else None
    return number if number is not None and -(2**63) <= number < 2**64 else float(text)


_SYNTAX = {
    "Expecting value": "looking for beginning of value",
    "Expecting property name enclosed in double quotes": "looking for beginning of object key string",
    "Illegal trailing comma before end of object": "looking for beginning of object key string",
    "Expecting ':' delimiter": "after object key",
    "Expecting ',' delimiter": "after object key:value pair",
    "Extra data": "after top-level value",
    "Invalid control character at": "in string literal",
    "Invalid \\escape": "in string escape code",
    "Invalid \\uXXXX escape": "in \\u hexadecimal character escape",
}


def _go_syntax_error(error: json.JSONDecodeError, text: str) -> str:
    position = error.pos
    if error.msg in ("Invalid \\escape", "Invalid \\uXXXX escape"):
        position += 1
    if error.msg.startswith("Unterminated string") or position >= len(text.rstrip()):
        return "unexpected end of JSON input"
    character = text[position]
    shown = "'\\''" if character == "'" else "'" + quote(character)[1:-1].replace('\\"', '"') + "'"
    return f"invalid character {shown} {_SYNTAX.get(error.msg, 'looking for beginning of value')}"


class _Loader(yaml.CSafeLoader):
    """YAML as Kubernetes reads it: its own implicit types, keys that repeat are noted."""

    document: Document

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        self.flatten_mapping(node)
        found: Obj = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                key = json.dumps(key)
            if key in found:
                self.document.faults.append(f"  line {key_node.start_mark.line + 1}: key {quote(key)} already set in map")
            found[key] = self.construct_object(value_node, deep=deep)
        return found

    def construct_yaml_map(self, node: Any) -> Any:
        data: Obj = {}
        yield data
        data.update(self.construct_mapping(node))


def _construct_int(loader: Any, node: Any) -> Any:
    text = str(node.value).replace("_", "")
    sign, digits = (-1, text[1:]) if text[0] == "-" else (1, text.lstrip("+"))
    if digits.startswith("0") and len(digits) > 1 and digits[1].isdigit():
        return sign * int(digits, 8)
    return sign * int(digits, 0)


def _construct_float(loader: Any, node: Any) -> Any:
    return float(str(node.value).replace("_", ""))


def _construct_bool(loader: Any, node: Any) -> bool:
    return str(node.value).lower() in ("y", "yes", "true", "on")


_Loader.add_constructor("tag:yaml.org,2002:map", _Loader.construct_yaml_map)
_Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)
_Loader.add_constructor("tag:yaml.org,2002:float", _construct_float)
_Loader.add_constructor("tag:yaml.org,2002:bool", _construct_bool)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", lambda loader, node: str(node.value))
_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"(?:y|Y|yes|Yes|YES|n|N|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF)", "yYnNtTfFoO"),
    ("null", r"(?:~|null|Null|NULL|)", ["~", "n", "N", ""]),
    ("int", r"[-+]?(?:0b[01_]+|0o[0-7_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*)", "-+0123456789"),
    ("float", r"[-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9_]+)(?:[eE][-+]?[0-9]+)?", "-+0123456789."),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^{_pattern}$"), list(_first))


def parse_yaml(body: bytes) -> Document:
    document = Document(None)
    loader = _Loader(body.decode("utf-8", errors="replace"))
    loader.document = document
    try:
        document.value = loader.get_data() if loader.check_data() else None  # type: ignore[no-untyped-call]
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        raise Malformed(f"error converting YAML to JSON: yaml: {line}{getattr(error, 'problem', None) or error}") from error
    finally:
        loader.dispose()
    if document.faults:
        document.faults = ["yaml: unmarshal errors:\n" + "\n".join(document.faults)]
    return document


def json_type(value: Any) -> str:
    """What Go calls the JSON type of ``value`` in its messages."""
    if isinstance(value, str):
        return "string"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, list):
        return "array"
    return "object" if isinstance(value, dict) else "null"


class _Examiner:
    def __init__(self, document: Document) -> None:
        self.twice = document.twice
        self.faults = list(document.faults)
        self.first: str | None = None  # Go goes on after a mismatch and reports the first one

    def wrong(self, value: Any, go_type: str, struct: str, path: str, exactly: bool = False) -> None:
        what = json_type(value)
        if exactly and what == "number":
            what = f"number {value!r}"
        where = f"struct field {struct}.{path}" if struct else "value"
        if self.first is None:
            self.first = f"json: cannot unmarshal {what} into Go {where} of type {go_type}"

    def pairs(self, obj: Obj, where: str) -> list[tuple[str, Any]]:
        """The object's members in document order; repeated keys are noted, and only the last of them is gone into."""
        repeated = self.twice.get(id(obj))
        if repeated is None:
            return list(obj.items())
        seen: set[str] = set()
        for name, _ in repeated:
            if name in seen:
                self.faults.append(f"duplicate field {quote(_join(where, name))}")
            seen.add(name)
        return list(obj.items())

    def struct(self, node: Node, obj: Obj, where: str, go_path: str) -> None:
        name_of_struct = node.go_type.rpartition(".")[2]
        for name, value in self.pairs(obj, where):
            child = (node.properties or {}).get(name)
            if child is None:
                self.faults.append(f"unknown field {quote(_join(where, name))}")
                del obj[name]
                continue
            if value is not None:
                obj[name] = self.value(child, value, _join(where, name), name_of_struct, _join(go_path, name))

    def value(self, node: Node, value: Any, where: str, struct: str, go_path: str) -> Any:
        code = node.code
        if code == STRUCT:
            if isinstance(value, dict):
                self.struct(node, value, where, go_path)
            else:
                self.wrong(value, node.go_type, struct, go_path)
        elif code == LIST:
            return self.list(node, value, where, struct, go_path)
        elif code == MAP:
            self.map(node, value, where, struct, go_path)
        else:
            return self.scalar(node, value, struct, go_path)
        return value

    def list(self, node: Node, value: Any, where: str, struct: str, go_path: str) -> Any:
        items = node.items
        assert items is not None
        if not isinstance(value, list):
            self.wrong(value, node.go_type, struct, go_path)
            return value
        for index, item in enumerate(value):
            if item is None:
                value[index] = items.zero() if not items.pointer else None
            else:
                value[index] = self.value(items, item, f"{where}[{index}]", struct, go_path)
        return value

    def map(self, node: Node, value: Any, where: str, struct: str, go_path: str) -> None:
        values = node.additional
        assert values is not None
        if not isinstance(value, dict):
            self.wrong(value, node.go_type, struct, go_path)
            return
        for name, item in self.pairs(value, where):
            if item is None:
                value[name] = values.zero()
            else:
                value[name] = self.value(values, item, _join(where, name), struct, go_path)

    def scalar(self, node: Node, value: Any, struct: str, go_path: str) -> Any:
        code = node.code
        if code == STRING:
            if not isinstance(value, str):
                self.wrong(value, node.go_type, struct, go_path)
        elif code in (INT32, INT64):
            low, high = (INT32_MIN, INT32_MAX) if code == INT32 else (INT64_MIN, INT64_MAX)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                self.wrong(value, node.go_type, struct, go_path, exactly=True)
        elif code == BOOL:
            if not isinstance(value, bool):
                self.wrong(value, node.go_type, struct, go_path)
        elif code == FLOAT:
            if isinstance(value, bool) or not isinstance(value, int | float):
                self.wrong(value, node.go_type, struct, go_path)
        elif code == INT_OR_STRING:
            if isinstance(value, bool) or not isinstance(value, int | str):
                what = f"number {value!r}" if isinstance(value, float) else json_type(value)
                raise WrongType(f"json: cannot unmarshal {what} into Go value of type int32")
        elif code == QUANTITY:
            return _quantity(value)
        elif code in (TIME, MICRO_TIME):
            return _time(value, code == MICRO_TIME)
        elif code == BYTES:
            self.bytes(node, value, struct, go_path)
        elif code != ANY and not isinstance(value, str):
            raise WrongType(f"json: cannot unmarshal {json_type(value)} into Go value of type string")
        return value

    def bytes(self, node: Node, value: Any, struct: str, go_path: str) -> None:
        if not isinstance(value, str):
            self.wrong(value, node.go_type, struct, go_path)
            return
        try:
            bytes_text(value)
        except Odd:
            if self.first is None:
                self.first = f"illegal base64 data at input byte {_bad_base64(value)}"

    def prune(self, node: Node, obj: Any, where: str, known: frozenset[str] = frozenset()) -> None:
        """Remove from a custom resource what its schema lacks; ``known`` are members that need no schema."""
        if isinstance(obj, list):
            for index, item in enumerate(obj):
                if node.items is not None:
                    self.prune(node.items, item, f"{where}[{index}]")
            return
        if not isinstance(obj, dict):
            return
        if node.embedded_resource:
            known = known | {"apiVersion", "kind", "metadata"}
        for name, value in self.pairs(obj, where):
            child = (node.properties or {}).get(name) or node.additional
            if child is not None:
                if name not in known or name not in ("apiVersion", "kind", "metadata"):
                    self.prune(child, value, _join(where, name))
            elif name not in known and not node.preserve_unknown:
                self.faults.append(f"unknown field {quote(_join(where, name))}")
                del obj[name]


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _quantity(value: Any) -> Any:
    text = value.strip() if isinstance(value, str) else json.dumps(value)
    try:
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            return canonical(text)
    except ValueError as error:
        raise WrongType(str(error)) from error
    raise WrongType(PATTERN_ERROR)


_LAYOUT = (
    ("2006", r"\d{4}"),
    ("-", "-"),
    ("01", r"\d\d"),
    ("-", "-"),
    ("02", r"\d\d"),
    ("T", "T"),
    ("15", r"\d\d"),
    (":", ":"),
    ("04", r"\d\d"),
    (":", ":"),
    ("05", r"\d\d"),
)


def _time(value: Any, micro: bool) -> Any:
    if not isinstance(value, str):
        raise WrongType(f"json: cannot unmarshal {json_type(value)} into Go value of type string")
    try:
        return time_text(value, micro)
    except Odd:
        pass
    layout = "2006-01-02T15:04:05.000000Z07:00" if micro else "2006-01-02T15:04:05Z07:00"
    rest, expected = value, "Z07:00"
    for name, pattern in _LAYOUT:
        match = re.match(pattern, rest, re.A)
        if not match:
            expected = name
            break
        rest = rest[match.end() :]
    raise WrongType(f"parsing time {quote(value)} as {quote(layout)}: cannot parse {quote(rest)} as {quote(expected)}")


def _bad_base64(text: str) -> int:
    """Where Go's decoder would stop: the first character outside the alphabet, else the end of the last whole group."""
    for index, character in enumerate(text):
        if not (character.isascii() and (character.isalnum() or character in "+/=\r\n")):
            return index
    end = text.find("=")
    size = len(text) if end < 0 else end
    return size - size % 4 if end < 0 else end


def examine(document: Document, node: Node) -> list[str]:
    """The faults (``unknown field "spec.x"`` ...) of a built-in kind's object, which loses its unknown fields. Raises WrongType."""
    examiner = _Examiner(document)
    if node.properties is not None:
        examiner.struct(node, document.value, "", "")
    if examiner.first is not None:
        raise WrongType(examiner.first)
    return examiner.faults


def examine_custom(document: Document, node: Node, meta: Node) -> list[str]:
    """The same for a custom resource: ``node`` is its schema's, ``meta`` that of ObjectMeta. Types are left to schema validation."""
    examiner = _Examiner(document)
    examiner.prune(node, document.value, "", frozenset({"apiVersion", "kind", "metadata"}))
    if isinstance(document.value.get("metadata"), dict):
        examiner.struct(meta, document.value["metadata"], "metadata", "metadata")
    if examiner.first is not None:
        raise WrongType(examiner.first)
    return examiner.faults
