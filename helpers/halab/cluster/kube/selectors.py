"""Label and field selectors: parsing, matching, and which fields each kind can be selected by.

``labelSelector`` query parameters, the ``LabelSelector`` object of workloads and policies, and ``fieldSelector``
(https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/ and .../field-selectors/). Texts that do not parse
raise ``SelectorError``, a 400 BadRequest with the words of apimachinery's parsers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from halab.cluster.kube.gotext import quote

Labels = Mapping[str, str] | None

_KEY_NAME = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_OPERATORS = "in, notin, =, ==, !=, gt, lt"


class SelectorError(ValueError):
    """A selector that does not parse; the text is what the API server's 400 says."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One term. ``operator`` is one of in, notin, =, ==, !=, exists, !, gt, lt; an absent label satisfies notin and !=."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "in" | "=" | "==":
                return value is not None and value in self.values
            case "notin" | "!=":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
            case _:
                return value is not None and _compare(self.operator, value, self.values[0])

    def __str__(self) -> str:
        match self.operator:
            case "exists":
                return self.key
            case "!":
                return f"!{self.key}"
            case "in" | "notin":
                return f"{self.key} {self.operator} ({','.join(sorted(self.values))})"
            case "gt" | "lt":
                return f"{self.key}{'>' if self.operator == 'gt' else '<'}{self.values[0]}"
            case _:
                return f"{self.key}{self.operator}{self.values[0]}"


@dataclass(frozen=True, slots=True)
class Selector:
    """A conjunction of requirements; without any it matches everything (or nothing, where ``nothing`` is set)."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False

    def matches(self, labels: Labels) -> bool:
        if self.nothing:
            return False
        labels = labels or {}
        return all(requirement.matches(labels) for requirement in self.requirements)

    @property
    def empty(self) -> bool:
        """Whether it selects every object."""
        return not self.requirements and not self.nothing

    def __str__(self) -> str:
        return ",".join(str(requirement) for requirement in self.requirements)


EVERYTHING = Selector()
NOTHING = Selector(nothing=True)


def _compare(operator: str, left: str, right: str) -> bool:
    try:
        return int(left) > int(right) if operator == "gt" else int(left) < int(right)
    except ValueError:
        return False


# --- text: the labelSelector parameter ------------------------------------------------------------------------------------------

_TOKEN = re.compile(r"[ \t\r\n]*(?:(!=|==|[=!(),<>])|([^=!(),<> \t\r\n]+))")


def _tokens(text: str) -> list[tuple[str, str]]:
    """Tokens as (kind, text), where kind is the symbol, "in", "notin", "id" or "" at the end."""
    found, position = [], 0
    while match := _TOKEN.match(text, position):
        symbol, word = match.groups()
        found.append((symbol, symbol) if symbol else (word if word in ("in", "notin") else "id", word))
        position = match.end()
    return [*found, ("", "")]


class _Parser:
    def __init__(self, text: str) -> None:
        self.tokens = _tokens(text)
        self.position = 0

    def peek(self, keywords: bool = False) -> tuple[str, str]:
        kind, text = self.tokens[self.position]
        return ("id" if not keywords and kind in ("in", "notin") else kind), text

    def take(self, keywords: bool = False) -> tuple[str, str]:
        token = self.peek(keywords)
        self.position = min(self.position + 1, len(self.tokens) - 1)
        return token

    def parse(self) -> list[Requirement]:
        found: list[Requirement] = []
        while True:
            kind, text = self.peek()
            if kind == "":
                return found
            if kind not in ("id", "!"):
                raise SelectorError(f"found '{text}', expected: !, identifier, or 'end of string'")
            try:
                found.append(self.requirement())
            except SelectorError as error:
                raise SelectorError(f"unable to parse requirement: {error}") from None
            kind, text = self.take()
            if kind == "":
                return found
            if kind != ",":
                raise SelectorError(f"found '{text}', expected: ',' or 'end of string'")
            kind, text = self.peek()
            if kind not in ("id", "!"):
                raise SelectorError(f"found '{text}', expected: identifier after ','")

    def requirement(self) -> Requirement:
        kind, key = self.take()
        absent = kind == "!"
        if absent:
            kind, key = self.take()
        if kind != "id":
            raise SelectorError(f"found '{key}', expected: identifier")
        if problem := label_key_problem(key):
            raise SelectorError(f'<nil>: Invalid value: "{key}": {problem}')
        if absent and self.peek()[0] in ("", ","):
            return Requirement(key, "!")
        if self.peek()[0] in ("", ","):
            return Requirement(key, "exists")
        kind, text = self.take(keywords=True)
        if kind in ("in", "notin"):
            return _checked(key, kind, self.value_set())
        if kind in ("=", "==", "!=", ">", "<"):
            return _checked(key, {">": "gt", "<": "lt"}.get(kind, kind), [self.exact_value()])
        raise SelectorError(f"found '{text}', expected: {_OPERATORS}")

    def exact_value(self) -> str:
        if self.peek()[0] in ("", ","):
            return ""
        kind, text = self.take()
        if kind != "id":
            raise SelectorError(f"found '{text}', expected: identifier")
        return text

    def value_set(self) -> list[str]:
        kind, text = self.take()
        if kind != "(":
            raise SelectorError(f"found '{text}' expected: '('")
        kind, text = self.peek()
        if kind == ")":
            self.take()
            return [""]
        if kind not in ("id", ","):
            raise SelectorError(f"found '{text}', expected: ',', ')' or identifier")
        values: list[str] = []
        empty = True  # whether the place between two commas is still empty
        while True:
            kind, text = self.take()
            if kind == "id" and empty:
                values.append(text)
                empty = False
                following, shown = self.peek()
                if following not in (",", ")"):
                    raise SelectorError(f"found '{shown}', expected: ',' or ')'")
            elif kind in (",", ")"):
                if empty:
                    values.append("")
                empty = True
                if kind == ")":
                    return sorted(set(values))
            else:
                raise SelectorError(f"found '{text}', expected: ',', or identifier")


def _checked(key: str, operator: str, values: list[str]) -> Requirement:
    for index, value in enumerate(values):
        if operator in ("gt", "lt") and not re.fullmatch(r"[+-]?\d+", value):
            raise SelectorError(
                f"values[{index}]: Invalid value: {quote(value)}: for 'Gt', 'Lt' operators, the value must be an integer"
            )
        if problem := label_value_problem(value):
            raise SelectorError(f"values[{index}][{key}]: Invalid value: {quote(value)}: {problem}")
    return Requirement(key, operator, tuple(values))


@lru_cache(maxsize=512)
def parse_label_selector(text: str | None) -> Selector:
    """The selector of a ``labelSelector`` parameter: "app=web,tier in (a,b),!canary". Raises SelectorError."""
    if not text:
        return EVERYTHING
    return Selector(tuple(sorted(_Parser(text).parse(), key=lambda requirement: requirement.key)))


def label_key_problem(key: str) -> str:
    """What is wrong with a label key, in Kubernetes' words; "" if nothing."""
    problems: list[str] = []
    prefix, slash, name = key.rpartition("/")
    if "/" in prefix:
        return (
            "a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
            "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
            "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        )
    if slash:
        if not prefix:
            problems.append("prefix part must be non-empty")
        elif len(prefix) > 253:
            problems.append("prefix part must be no more than 253 characters")
        elif not _SUBDOMAIN.fullmatch(prefix):
            problems.append(
                "prefix part a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
                "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
                r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
            )
    if not name:
        problems.append("name part must be non-empty")
    elif len(name) > 63:
        problems.append("name part must be no more than 63 characters")
    if not _KEY_NAME.fullmatch(name):
        problems.append(
            "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
            "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
        )
    return "; ".join(problems)


def label_value_problem(value: str) -> str:
    """What is wrong with a label value, in Kubernetes' words; "" if nothing."""
    problems: list[str] = []
    if len(value) > 63:
        problems.append("must be no more than 63 characters")
    if not _VALUE.fullmatch(value):
        problems.append(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with "
            "an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
            "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
        )
    return "; ".join(problems)


# --- objects: LabelSelector -----------------------------------------------------------------------------------------------------

_OBJECT_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!", "Gt": "gt", "Lt": "lt"}


def from_label_selector(selector: Mapping[str, Any] | None) -> Selector:
    """The selector of a ``LabelSelector`` object. None selects nothing, an empty object everything (as in the API).

    Raises SelectorError for an operator that is unknown.
    """
    if selector is None:
        return NOTHING
    requirements = [Requirement(key, "=", (value,)) for key, value in (selector.get("matchLabels") or {}).items()]
    requirements += from_expressions(selector.get("matchExpressions") or ())
    return Selector(tuple(sorted(requirements, key=lambda requirement: requirement.key)))


def from_expressions(expressions: Iterable[Mapping[str, Any]]) -> list[Requirement]:
    """Requirements of ``matchExpressions`` (also of node affinity, which adds Gt and Lt). Raises SelectorError."""
    requirements = []
    for expression in expressions:
        operator = _OBJECT_OPERATORS.get(expression.get("operator", ""))
        if operator is None:
            raise SelectorError(f'"{expression.get("operator", "")}" is not a valid label selector operator')
        requirements.append(Requirement(expression.get("key", ""), operator, tuple(expression.get("values") or ())))
    return requirements


def from_labels(labels: Labels) -> Selector:
    """The selector that a plain map stands for (a Service's ``spec.selector``): every label equal.

    An empty map selects everything.
    """
    return Selector(tuple(Requirement(key, "=", (value,)) for key, value in sorted((labels or {}).items())))


# --- fields ---------------------------------------------------------------------------------------------------------------------

Lookup = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class FieldTerm:
    path: str
    equal: bool
    value: str


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """A conjunction of field terms; ``matches`` takes the function that gives a field's text (see ``fields.field_value``)."""

    terms: tuple[FieldTerm, ...] = ()

    def matches(self, lookup: Lookup) -> bool:
        return all((lookup(term.path) == term.value) is term.equal for term in self.terms)

    @property
    def empty(self) -> bool:
        return not self.terms

    def exact(self, path: str) -> str | None:
        """The one value that ``path`` must have, if the selector says so."""
        return next((term.value for term in self.terms if term.path == path and term.equal), None)

    def __str__(self) -> str:
        return ",".join(f"{term.path}{'=' if term.equal else '!='}{_escape(term.value)}" for term in self.terms)


ALL_FIELDS = FieldSelector()


@lru_cache(maxsize=512)
def parse_field_selector(text: str | None) -> FieldSelector:
    """The selector of a ``fieldSelector`` parameter: "status.phase!=Running,spec.nodeName=". Raises SelectorError.

    Which fields a kind offers is not known here: ``fields.check_fields`` tells.
    """
    terms: list[FieldTerm] = []
    for part in sorted(_split_terms(text or "")):
        if not part:
            continue
        found = re.search(r"!=|==|=", part)
        if not found:
            raise SelectorError(f"invalid selector: '{text}'; can't understand '{part}'")
        terms.append(FieldTerm(part[: found.start()], found.group() != "!=", _unescape(part[found.end() :])))
    return FieldSelector(tuple(terms))


def _split_terms(text: str) -> list[str]:
    """Terms between commas; a comma after a backslash belongs to a value."""
    return [match.group() for match in re.finditer(r"(?:\\.|[^,\\]|\\$)+", text, re.DOTALL)]


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")


def _unescape(value: str) -> str:
    if not any(character in value for character in "\\,="):
        return value
    result, index = "", 0
    while index < len(value):
        character = value[index]
        if character == "\\":
            following = value[index + 1 : index + 2]
            if following not in ("\\", ",", "="):
                raise SelectorError(f"invalid field selector: invalid escape sequence: \\{following}")
            result += following
            index += 2
            continue
        if character in ",=":
            raise SelectorError(f"invalid field selector: unescaped character in value: {ord(character)}")
        result += character
        index += 1
    return result
