"""Whether an applied value fits the schema, in the words of structured-merge-diff's validation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from halab.cluster.kube.fieldset import element_text
from halab.cluster.kube.gotext import quote
from halab.cluster.kube.strategic import go_text
from halab.cluster.kube.typed import DEDUCED, DEDUCED_SHAPE, LIST, MAP, SCALAR, KeyProblem, Shape, item_key


def problems(value: Any, shape: Shape, path: str = "") -> list[str]:
    """What is wrong with an applied value, one text a fault, in the words of the real validator; empty if it fits the schema."""
    if value is None or shape.kind == DEDUCED:
        return []
    if shape.kind == SCALAR:
        return _scalar_problems(value, shape.scalar, path)
    if shape.kind == LIST:
        if not isinstance(value, list):
            return [_text(path, f"expected list, got &{{{go_text(value)}}}")]
        return _list_problems(value, shape, path)
    if shape.kind == MAP:
        if not isinstance(value, dict):
            return [_text(path, f"expected map, got &{{{go_text(value)}}}")]
        return _map_problems(value, shape, path)
    return []


def _map_problems(value: dict[str, Any], shape: Shape, path: str) -> list[str]:
    found: list[str] = []
    for name, item in value.items():
        declared = shape.field(name)
        if declared is None and shape.element is None:
            return [*found, f"{path}.{name}: field not declared in schema"]
        found += problems(item, declared or shape.element or DEDUCED_SHAPE, f"{path}.{name}")
    return found


def _list_problems(value: list[Any], shape: Shape, path: str) -> list[str]:
    found: list[str] = []
    seen: set[str] = set()
    for index, item in enumerate(value):
        where = f"[{index}]"
        if not shape.atomic:
            try:
                key = item_key(shape, item)
            except KeyProblem as problem:
                return [*found, _text(path, f"element {index}: {problem}")]
            where = element_text(key)
            if key in seen:
                found.append(_text(path, f"duplicate entries for key {where}"))
            seen.add(key)
        found += problems(item, shape.element or DEDUCED_SHAPE, path + where)
    return found


def _scalar_problems(value: Any, scalar: str, path: str) -> list[str]:
    match scalar:
        case "numeric" if isinstance(value, bool) or not isinstance(value, int | float):
            return [_text(path, f"expected numeric (int or float), got {_go_type(value)}")]
        case "string" if not isinstance(value, str):
            return [_text(path, f"expected string, got &value.valueUnstructured{{Value:{_go_syntax(value)}}}")]
        case "boolean" if not isinstance(value, bool):
            return [_text(path, f"expected boolean, got &{{{go_text(value)}}}")]
        case "untyped" if isinstance(value, dict | list):
            return [_text(path, f"expected any scalar, got &{{{go_text(value)}}}")]
    return []


def _text(path: str, message: str) -> str:
    return f"{path}: {message}" if path else message


def _go_type(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    return "[]interface {}" if isinstance(value, list) else "map[string]interface {}"


def _go_syntax(value: Any) -> str:
    """``value`` as Go's ``%#v`` prints it."""
    match value:
        case None:
            return "interface {}(nil)"
        case bool():
            return "true" if value else "false"
        case str():
            return quote(value)
        case list():
            return "[]interface {}{" + ", ".join(map(_go_syntax, value)) + "}"
        case Mapping():
            return "map[string]interface {}{" + ", ".join(f"{quote(k)}:{_go_syntax(value[k])}" for k in sorted(value)) + "}"
        case _:
            return str(value)
