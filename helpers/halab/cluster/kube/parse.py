"""Bodies as Kubernetes' decoders parse them: keys that are there twice are kept track of, and errors are in Go's words.

``parse_json`` and ``parse_yaml`` are slow; what is right and ordinary is read by a faster parser (``decode``), and only the rest gets here.
"""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

from halab.cluster.kube.gotext import quote
from halab.cluster.kube.types import Obj


class Malformed(Exception):
    """Not JSON, or not YAML; the text is Go's."""


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


MAX_DEPTH = (
    250  # levels of a body; what is deeper could not be written as JSON again, and libyaml's composer would overflow the stack
)


def parse_yaml(body: bytes) -> Document:
    document = Document(None)
    text = body.decode("utf-8", errors="replace")
    loader = _Loader(text)
    loader.document = document
    try:
        _check_depth(text)
        node = loader.get_node() if loader.check_node() else None
        aliases = b"*" in body and _aliases(node)
        document.value = loader.construct_document(node) if node is not None else None
        if aliases:
            document.value = _unshared(document.value)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        raise Malformed(f"error converting YAML to JSON: yaml: {line}{getattr(error, 'problem', None) or error}") from error
    finally:
        loader.dispose()
    if document.faults:
        document.faults = ["yaml: unmarshal errors:\n" + "\n".join(document.faults)]
    return document


def _check_depth(text: str) -> None:
    """Raises ValueError for a body that is nested too deep: told by the parser's events, which need no stack."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise ValueError(f"exceeded max depth of {MAX_DEPTH}")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _aliases(root: yaml.Node | None) -> bool:
    """Whether aliases (``*name``) repeat anything. Raises ValueError, as Go's parser does, where they repeat so much that a few bytes
    would become gigabytes, or where something contains itself."""
    sizes: dict[int, int] = {}  # of each node, with all that its aliases stand for
    begun: set[int] = set()
    times: dict[int, int] = {}

    def size(node: yaml.Node) -> int:
        times[id(node)] = times.get(id(node), 0) + 1
        known = sizes.get(id(node))
        if known is not None:
            return known
        if id(node) in begun:
            raise ValueError("anchor value contains itself")
        begun.add(id(node))
        below = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        sizes[id(node)] = 1 + (0 if isinstance(node, yaml.ScalarNode) else sum(map(size, below)))
        return sizes[id(node)]

    whole = size(root) if root is not None else 0
    repeated = whole - len(sizes)
    if repeated > 100 and whole > 1000 and repeated / whole > _allowed(whole):
        raise ValueError("document contains excessive aliasing")
    return any(count > 1 for count in times.values())


def _allowed(size: int) -> float:
    """Which share of a document may come from aliases (the constants of go-yaml's ``allowedAliasRatio``)."""
    low, high = 400_000, 4_000_000
    if size <= low:
        return 0.99
    return 0.10 if size >= high else 0.99 - 0.89 * (size - low) / (high - low)


def _unshared(value: Any) -> Any:
    """A copy in which nothing is the same object twice: what reads bodies changes them in place."""
    if isinstance(value, dict):
        return {key: _unshared(part) for key, part in value.items()}
    return [_unshared(part) for part in value] if isinstance(value, list) else value
