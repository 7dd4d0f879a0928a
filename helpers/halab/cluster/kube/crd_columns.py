"""Printer columns of custom resources: ``additionalPrinterColumns`` and the JSON paths in them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from halab.cluster.kube.tables.columns import NAME, UNKNOWN, Cells, Column, Layout, name_of, since
from halab.cluster.kube.types import Obj

_AGE = Column("Age", "date", path=".metadata.creationTimestamp")
_STEP = re.compile(
    r"""
    \.\. (?P<deep>[\w-]+)
    | \. (?P<name>(?:\\.|[^.\[\]\s])+)
    | \[ \s* (?: ' (?P<single>[^']*) ' | " (?P<double>[^"]*) " ) \s* \]
    | \[ \s* (?P<index>-?\d+) \s* \]
    | \[ \s* \* \s* \]
    | \[ \s* \? \( \s* @\.(?P<field>[\w.-]+) \s* == \s* (?: "(?P<value>[^"]*)" | '(?P<quoted>[^']*)' ) \s* \) \s* \]
    """,
    re.VERBOSE,
)


def layout(columns: Sequence[Obj] | None) -> Layout:
    """The layout of a version's columns; without any, the age."""
    given = [
        Column(
            column["name"],
            column.get("type", "string"),
            column.get("format", ""),
            column.get("priority", 0),
            column.get("description") or f"Custom resource definition column (in JSONPath format): {column['jsonPath']}",
            column["jsonPath"],
        )
        for column in columns or ()
    ]
    shown = (NAME, *(given or [_AGE]))

    def cells(obj: Obj, now: datetime) -> Cells:
        return [name_of(obj), *(_cell(column, obj, now) for column in shown[1:])]

    return Layout(shown, cells)


def _cell(column: Column, obj: Obj, now: datetime) -> Any:
    values = find(obj, column.path)
    if not values:
        return None
    value = values[0]
    match column.type:
        case "integer":
            return value if isinstance(value, int) and not isinstance(value, bool) else None
        case "number":
            return value if isinstance(value, int | float) and not isinstance(value, bool) else None
        case "boolean":
            return value if isinstance(value, bool) else None
        case "date":
            shown = since(value if isinstance(value, str) else None, now)
            return "<invalid>" if shown == UNKNOWN and value else shown
    return ",".join(map(_text, values)) if len(values) > 1 else _text(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "<nil>"
    if isinstance(value, dict | list):
        from halab.cluster.kube.gotext import to_json

        return to_json(value)
    return str(value)


def find(value: Any, path: str) -> list[Any]:
    """All values at a JSON path of the kind that printer columns and ``kubectl`` use.

    ``.spec.ports[0].name``, ``.status.conditions[?(@.type=="Ready")].status``.
    """
    found = [value]
    path = path.strip().removeprefix("{").removesuffix("}").removeprefix("$")
    position = 0
    while position < len(path):
        step = _STEP.match(path, position)
        if step is None:
            return []
        found = [child for item in found for child in _children(item, step)]
        position = step.end()
    return found


def _children(item: Any, step: re.Match[str]) -> list[Any]:
    if (deep := step["deep"]) is not None:
        return _anywhere(item, deep)
    name = step["name"]
    if name is None:
        name = step["single"] if step["single"] is not None else step["double"]
    if name is not None:
        name = name.replace("\\.", ".")
        if name == "*":
            return list(item.values()) if isinstance(item, dict) else []
        return [item[name]] if isinstance(item, dict) and name in item else []
    if not isinstance(item, list):
        return list(item.values()) if isinstance(item, dict) and step["index"] is None and step["field"] is None else []
    if step["index"] is not None:
        index = int(step["index"])
        return [item[index]] if -len(item) <= index < len(item) else []
    if step["field"] is not None:
        wanted = step["value"] if step["value"] is not None else step["quoted"]
        return [child for child in item if _at(child, step["field"]) == wanted]
    return list(item)


def _at(value: Any, path: str) -> str | None:
    for name in path.split("."):
        if not isinstance(value, dict) or name not in value:
            return None
        value = value[name]
    return _text(value)


def _anywhere(value: Any, name: str) -> list[Any]:
    found: list[Any] = []
    if isinstance(value, dict):
        if name in value:
            found.append(value[name])
        for child in value.values():
            found += _anywhere(child, name)
    elif isinstance(value, list):
        for child in value:
            found += _anywhere(child, name)
    return found
