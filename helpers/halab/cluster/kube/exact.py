"""The slow, exact reading of a parsed body along its schema: what is wrong with it, in the words of Kubernetes' decoders.

``examine`` removes unknown fields, names unknown and duplicate ones in document order, and raises ``WrongType`` with the error that Go's
JSON decoder would give. Only bodies that ``normalise`` could not take get here.
"""

from __future__ import annotations

import json
import re
from typing import Any

from halab.cluster.kube import schema
from halab.cluster.kube.gotext import quote
from halab.cluster.kube.normalise import INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, Odd, bytes_text, time_text
from halab.cluster.kube.parse import Document
from halab.cluster.kube.quantity import PATTERN_ERROR, canonical
from halab.cluster.kube.schema import Node
from halab.cluster.kube.types import Obj


class WrongType(Exception):
    """A value does not fit its Go type; the text is Go's."""


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
        if code == schema.STRUCT:
            if isinstance(value, dict):
                self.struct(node, value, where, go_path)
            else:
                self.wrong(value, node.go_type, struct, go_path)
        elif code == schema.LIST:
            return self.list(node, value, where, struct, go_path)
        elif code == schema.MAP:
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
        if code == schema.STRING:
            if not isinstance(value, str):
                self.wrong(value, node.go_type, struct, go_path)
        elif code in (schema.INT32, schema.INT64):
            low, high = (INT32_MIN, INT32_MAX) if code == schema.INT32 else (INT64_MIN, INT64_MAX)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                self.wrong(value, node.go_type, struct, go_path, exactly=True)
        elif code == schema.BOOL:
            if not isinstance(value, bool):
                self.wrong(value, node.go_type, struct, go_path)
        elif code == schema.FLOAT:
            if isinstance(value, bool) or not isinstance(value, int | float):
                self.wrong(value, node.go_type, struct, go_path)
        elif code == schema.INT_OR_STRING:
            if isinstance(value, bool) or not isinstance(value, int | str):
                what = f"number {value!r}" if isinstance(value, float) else json_type(value)
                raise WrongType(f"json: cannot unmarshal {what} into Go value of type int32")
        elif code == schema.QUANTITY:
            return _quantity(value)
        elif code in (schema.TIME, schema.MICRO_TIME):
            return _time(value, code == schema.MICRO_TIME)
        elif code == schema.BYTES:
            self.bytes(node, value, struct, go_path)
        elif code != schema.ANY and not isinstance(value, str):
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

    def embedded(self, node: Node, obj: Any, meta: Node, where: str, root: bool = False) -> None:
        """The metadata of whole objects inside a custom resource."""
        if isinstance(obj, list):
            for index, item in enumerate(obj):
                if node.items is not None:
                    self.embedded(node.items, item, meta, f"{where}[{index}]")
        elif isinstance(obj, dict):
            inner = obj.get("metadata")
            if node.embedded_resource and not root and isinstance(inner, dict):
                before = self.first
                self.struct(meta, inner, _join(where, "metadata"), "metadata")
                self.first = before  # a wrong type is the schema's affair
            for name, value in obj.items():
                child = (node.properties or {}).get(name) or node.additional
                if child is not None and name != "metadata":
                    self.embedded(child, value, meta, _join(where, name))


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


def misread(node: Node, value: Any) -> str | None:
    """What the JSON decoder says of a lone value that is no struct, map or list, standing in no field; None if it can be read."""
    examiner = _Examiner(Document(value))
    try:
        examiner.scalar(node, value, "", "")
    except WrongType as error:
        return str(error)
    return examiner.first


def repeated(document: Document) -> list[str]:
    """The keys that are there twice, as ``duplicate field "spec.x"``."""
    examiner = _Examiner(document)

    def walk(value: Any, where: str) -> None:
        if isinstance(value, dict):
            for name, member in examiner.pairs(value, where):
                walk(member, _join(where, name))
        elif isinstance(value, list):
            for index, member in enumerate(value):
                walk(member, f"{where}[{index}]")

    walk(document.value, "")
    return examiner.faults


def examine_custom(document: Document, node: Node, meta: Node) -> list[str]:
    """The same for a custom resource: ``node`` is its schema's, ``meta`` that of ObjectMeta. Types are left to schema validation.

    As in Kubernetes, repeated keys come first, then unknown fields: of the metadata, of the object, of the metadata of embedded objects.
    """
    twice = repeated(document)
    plain = Document(document.value)  # from here on only what the schema lacks is a fault
    examiner = _Examiner(plain)
    if isinstance(document.value.get("metadata"), dict):
        examiner.struct(meta, document.value["metadata"], "metadata", "metadata")
    if examiner.first is not None:
        raise WrongType(examiner.first)
    pruner = _Examiner(plain)
    pruner.prune(node, document.value, "", frozenset({"apiVersion", "kind", "metadata"}))
    embedded = _Examiner(plain)
    embedded.embedded(node, document.value, meta, "", root=True)
    return [*twice, *examiner.faults, *sorted(pruner.faults), *embedded.faults]


def prune(obj: Obj, node: Node) -> bool:
    """Remove from a stored custom resource what its schema lacks now; whether there was anything."""
    examiner = _Examiner(Document(obj))
    examiner.prune(node, obj, "", frozenset({"apiVersion", "kind", "metadata"}))
    return bool(examiner.faults)
