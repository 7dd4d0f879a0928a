"""Macros with two variables, which the engine lacks: written out with the ones that it has.

``x.all(i, v, p)`` goes over a list's indexes or a map's keys: ``kubernetes.keys(x).all(i, cel.bind(v, x[i], p))``.
https://kubernetes.io/docs/reference/using-api/cel/ ("CEL two variable comprehensions").
"""

from __future__ import annotations

import itertools
import re
from typing import Any

_MACRO = re.compile(r"\.(all|exists|existsOne|exists_one|transformList|transformMap)\s*\(")
_NAME = re.compile(r"[A-Za-z_]\w*")
_LITERAL = re.compile(r"""(?i)(?:\br)?("{3}.*?"{3}|'{3}.*?'{3}|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')""", re.S)
_PAIRS = {")": "(", "]": "[", "}": "{"}


def expand(expression: str) -> str:
    """The expression without macros of two variables. What cannot be understood is left to the engine, which says why."""
    if not _MACRO.search(expression):
        return expression
    end = len(expression)
    number = 0
    while True:
        masked = _LITERAL.sub(lambda found: "'" + "_" * (len(found[0]) - 2) + "'", expression)
        found = [match for match in _MACRO.finditer(masked) if match.start() < end]
        if not found:
            return expression
        macro = found[-1]  # the innermost of nested ones comes last
        end = macro.start()
        close, commas = _arguments(masked, macro.end())
        if close < 0:
            continue
        edges = [macro.end() - 1, *commas, close]
        given = [expression[a + 1 : b].strip() for a, b in itertools.pairwise(edges)]
        start = _receiver(masked, macro.start())
        written = _written(macro[1], expression[start : macro.start()], given, f"two_variables_{number}") if start >= 0 else None
        if written is not None:
            number += 1
            expression = expression[:start] + written + expression[close + 1 :]
            end = start + len(written)  # the receiver may have macros of its own
            if number > 100:
                return expression


def _arguments(text: str, start: int) -> tuple[int, list[int]]:
    """Where the bracket that was opened before ``start`` is closed (-1: nowhere), and the commas in between."""
    depth = 0
    commas: list[int] = []
    for at in range(start, len(text)):
        letter = text[at]
        if letter in "([{":
            depth += 1
        elif letter in ")]}":
            if not depth:
                return at, commas
            depth -= 1
        elif letter == "," and not depth:
            commas.append(at)
    return -1, commas


def _receiver(text: str, end: int) -> int:
    """Where the operand that ends at ``end`` begins; -1 if it is none."""
    at = end
    while True:
        if at <= 0:
            return -1
        letter = text[at - 1]
        if letter in _PAIRS:
            depth = 0
            while at > 0:
                at -= 1
                depth += (text[at] in ")]}") - (text[at] in "([{")
                if not depth:
                    break
            if depth:
                return -1
            if at and text[at] in "([" and (text[at - 1].isalnum() or text[at - 1] in "_)]'"):
                continue  # a call or an index: what it is of comes before
        elif letter == "'":
            at = text.rfind("'", 0, at - 1)
            if at < 0:
                return -1
        elif letter.isalnum() or letter == "_":
            while at and (text[at - 1].isalnum() or text[at - 1] == "_"):
                at -= 1
        else:
            return -1
        if at and text[at - 1] == "?":
            at -= 1
        if at and text[at - 1] == ".":
            at -= 1
            continue
        return at


def _written(macro: str, receiver: str, given: list[str], name: str) -> str | None:
    """The macro in other words; None if it is one of a single variable."""
    fewest, most = (3, 4) if macro.startswith("transform") else (3, 3)
    if not fewest <= len(given) <= most or not (_NAME.fullmatch(given[0]) and _NAME.fullmatch(given[1])):
        return None
    key, value, *parts = given
    keys = f"kubernetes.keys({name})"

    def bound(part: str) -> str:
        return f"cel.bind({value}, {name}[{key}], {part})"

    if not macro.startswith("transform"):
        one = "exists_one" if macro in ("existsOne", "exists_one") else macro
        return f"cel.bind({name}, {receiver}, {keys}.{one}({key}, {bound(parts[0])}))"
    if len(parts) == 2:
        keys = f"{keys}.filter({key}, {bound(parts[0])})"
    mapped = f"{keys}.map({key}, {bound(parts[-1])})"
    if macro == "transformMap":
        mapped = f"kubernetes.pairs({keys}, {mapped})"
    return f"cel.bind({name}, {receiver}, {mapped})"


def keys(value: Any) -> list[Any]:
    """The indexes of a list, or the keys of a map."""
    return list(range(len(value))) if isinstance(value, list) else list(value)


def to_map(names: list[Any], values: list[Any]) -> dict[Any, Any]:
    return dict(zip(names, values, strict=True))
