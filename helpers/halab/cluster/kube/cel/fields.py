"""Field paths of rules (``fieldPath``, ``selectableFields``): simple JSON paths, checked against a schema; and names that CEL cannot spell."""

from __future__ import annotations

import re
from typing import Any

from halab.cluster.kube.types import Obj

_TOKEN = re.compile(r"'(?:[^'\\]|\\.)*'|[.\[\]]|[^.\[\]']+")
_RESERVED = frozenset(
    [
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ]
)
_ESCAPES = (("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__"))


class BadPath(Exception):
    """The path leads nowhere; the text says why, as Kubernetes does."""


def escape(name: str) -> str:
    """A field's name as rules write it (``namespace`` is ``__namespace__``, ``a-b`` is ``a__dash__b``); "" if they cannot."""
    if not name or name[0].isdigit():
        return ""
    if name in _RESERVED:
        return f"__{name}__"
    if name.isidentifier() and "__" not in name:
        return name
    for given, escaped in _ESCAPES:
        name = name.replace(given, escaped) if given != "__" else name.replace("__", "__underscores__")
    return name if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) else ""


def resolve(path: str, schema: Obj, arrays: bool = True) -> tuple[str, Obj]:
    """(the path as errors print it, the schema it leads to). Raises BadPath."""
    shown, tokens, at = "", _TOKEN.findall(path), 0
    here: Any = schema
    while at < len(tokens):
        token = tokens[at]
        if token == ".":
            if at + 1 >= len(tokens):
                raise BadPath("unexpected end of JSON path")
            name = tokens[at + 1]
            at += 2
        elif token == "[":
            if not arrays:
                raise BadPath("array notation is not allowed")
            name, at = _quoted(tokens, at)
        else:
            raise BadPath(f"expected [ or . but got: {token}")
        if here.get("properties"):
            if name not in here["properties"]:
                raise BadPath("does not refer to a valid field")
            here, shown = here["properties"][name], f"{shown}.{name}" if shown else name
        elif isinstance(here.get("additionalProperties"), dict):
            here, shown = here["additionalProperties"], f"{shown}[{name}]"
        else:
            raise BadPath("does not refer to a valid field")
    return shown, here


def _quoted(tokens: list[str], at: int) -> tuple[str, int]:
    if at + 1 >= len(tokens):
        raise BadPath("unexpected end of JSON path")
    name = tokens[at + 1]
    if len(name) < 2 or name[0] != "'" or name[-1] != "'":
        raise BadPath(f"expected single quoted string but got {name}")
    if at + 2 >= len(tokens):
        raise BadPath("unexpected end of JSON path")
    if tokens[at + 2] != "]":
        raise BadPath(f"expected ] but got {tokens[at + 2]}")
    return name[1:-1].replace("\\'", "'").replace("\\\\", "\\"), at + 3
