"""CEL functions of lists and sets, and Kubernetes' named formats.

https://kubernetes.io/docs/reference/using-api/cel/ lists them. An optional cannot cross the border of the engine, so the answer of ``validate`` is a
list of faults that understands ``hasValue`` and ``value``, and a named format a list of at most one.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from datetime import date, datetime
from typing import Any
from urllib.parse import urlsplit

from halab.cluster.kube.cel import comprehensions

Function = Callable[..., Any]
FORMAT = "kubernetes.NamedFormat"
_UUID = re.compile(r"(?i)[0-9A-F]{8}-?[0-9A-F]{4}-?[0-9A-F]{4}-?[0-9A-F]{4}-?[0-9A-F]{12}")


# --- lists and sets ------------------------------------------------------------------------------------------------------------------


def _distinct(values: list[Any]) -> list[Any]:
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found


def _flatten(values: list[Any], depth: int = 1) -> list[Any]:
    if depth < 0:
        raise ValueError("level must be non-negative")
    found: list[Any] = []
    for value in values:
        if isinstance(value, list) and depth:
            found += _flatten(value, depth - 1)
        else:
            found.append(value)
    return found


def _slice(values: list[Any], start: int, end: int) -> list[Any]:
    if start < 0 or end < 0:
        raise ValueError(f"cannot slice({start}, {end}), negative indexes not supported")
    if start > end:
        raise ValueError(f"cannot slice({start}, {end}), start index must be less than or equal to end index")
    if end > len(values):
        raise ValueError(f"cannot slice({start}, {end}), list is length {len(values)}")
    return values[start:end]


def _contains(values: list[Any], wanted: list[Any]) -> bool:
    return all(value in values for value in wanted)


# --- named formats -------------------------------------------------------------------------------------------------------------------


def _masked(rule: Function) -> Function:
    """The rule for a prefix, which may end with a dash."""

    def check(text: str) -> Any:
        from halab.cluster.kube.validation import names

        return rule(names.trailing_dash_masked(text))

    return check


def _rule(name: str) -> Function:
    def check(text: str) -> Any:
        from halab.cluster.kube.validation import names  # whose rules the validation package keeps

        return getattr(names, name)(text)

    return check


def _uri(text: str) -> tuple[str, ...]:
    parts = urlsplit(text)
    if text and (parts.scheme or text.startswith("/")):
        return ()
    return (f'parse "{text}": {"empty url" if not text else "invalid URI for request"}',)


def _byte(text: str) -> tuple[str, ...]:
    try:
        base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return ("invalid base64",)
    return ()


def _moment(parse: Function, what: str) -> Function:
    def check(text: str) -> tuple[str, ...]:
        try:
            parse(text.replace("Z", "+00:00") if parse is datetime.fromisoformat else text)
        except ValueError:
            return (f"invalid {what}",)
        return ()

    return check


FORMATS: dict[str, Function] = {
    "dns1123Label": _rule("label"),
    "dns1123Subdomain": _rule("subdomain"),
    "dns1035Label": _rule("label_1035"),
    "qualifiedName": _rule("qualified"),
    "dns1123LabelPrefix": _masked(_rule("label")),
    "dns1123SubdomainPrefix": _masked(_rule("subdomain")),
    "dns1035LabelPrefix": _masked(_rule("label_1035")),
    "labelValue": _rule("label_value"),
    "uri": _uri,
    "uuid": lambda text: () if _UUID.fullmatch(text) else ("does not match the UUID format",),
    "byte": _byte,
    "date": _moment(date.fromisoformat, "date"),
    "datetime": _moment(datetime.fromisoformat, "datetime"),
}


def _named(name: str) -> list[dict[str, str]]:
    return [{FORMAT: name}] if name in FORMATS else []


def _faults(form: Any, text: str) -> list[str]:
    if not isinstance(form, dict) or form.get(FORMAT) not in FORMATS:
        raise ValueError("no such overload")
    return list(FORMATS[form[FORMAT]](text))


def _value(found: list[Any]) -> Any:
    if not found:
        raise ValueError("optional.none() dereference")
    return found[0] if isinstance(found[0], dict) and FORMAT in found[0] else found


def _constant(name: str) -> Function:
    return lambda: {FORMAT: name}


# --- declarations --------------------------------------------------------------------------------------------------------------------

GLOBAL: dict[str, tuple[str, tuple[str, ...], Function]] = {
    # name: (returned type, parameters' types, function)
    "sets.contains": ("bool", ("list", "list"), _contains),
    "sets.equivalent": ("bool", ("list", "list"), lambda a, b: _contains(a, b) and _contains(b, a)),
    "sets.intersects": ("bool", ("list", "list"), lambda a, b: any(value in b for value in a)),
    "lists.range": ("list(int)", ("int",), lambda count: list(range(count))),
    "kubernetes.keys": ("list", ("dyn",), comprehensions.keys),
    "kubernetes.pairs": ("dyn", ("list", "list"), comprehensions.to_map),
    "format.named": ("list", ("string",), _named),
    **{f"format.{name}": ("dyn", (), _constant(name)) for name in FORMATS},
}
MEMBER: dict[str, list[tuple[str, str, tuple[str, ...], Function]]] = {
    # name: (target's type, returned type, further parameters' types, function)
    "distinct": [("list", "list", (), _distinct)],
    "flatten": [("list", "list", (), _flatten), ("list", "list", ("int",), _flatten)],
    "slice": [("list", "list", ("int", "int"), _slice)],
    "sort": [("list", "list", (), sorted)],
    "validate": [("dyn", "list(string)", ("string",), _faults)],
    "hasValue": [("list", "bool", (), bool)],
    "value": [("list", "dyn", (), _value)],
}
