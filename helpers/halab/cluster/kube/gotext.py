"""How Go prints values: Kubernetes' messages quote strings with ``%q`` and print composite values as Go's JSON.

Only what error messages need. ``quote`` is Go's ``strconv.Quote``; ``to_json`` is ``json.Marshal`` (keys as given, ``<``, ``>`` and
``&`` escaped).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

_SHORT = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", '"': '\\"', "\\": "\\\\"}
_HTML = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})


def quote(text: str) -> str:
    """``text`` as Go's ``%q`` prints it."""
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return '"' + "".join(_quoted(c) for c in text) + '"'


def _quoted(character: str) -> str:
    if character in _SHORT:
        return _SHORT[character]
    if character.isprintable():
        return character
    code = ord(character)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def to_json(value: Any) -> str:
    """``value`` as Go's ``json.Marshal`` prints it; the order of keys is the caller's (Go's order of struct fields)."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).translate(_HTML)


def quoted_list(values: Iterable[str]) -> str:
    """``"a", "b"``: how Kubernetes lists the supported values."""
    return ", ".join(quote(v) for v in values)
