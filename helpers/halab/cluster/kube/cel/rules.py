"""``x-kubernetes-validations``: the rules of a structural schema, compiled once, evaluated with each object that is written.

A rule about what did not change since the last version of the object is not asked again, unless it compares the two itself (Kubernetes calls
this ratcheting). https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-rules
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from halab.cluster.kube.cel import values
from halab.cluster.kube.cel.engine import (
    CompileError,
    EvaluationError,
    Program,
    compile_expression,
    mentions,
    without_literals,
)
from halab.cluster.kube.cel.fields import BadPath, escape, resolve
from halab.cluster.kube.status import FieldError, duplicate, forbidden_field, invalid_value, required
from halab.cluster.kube.types import Obj

ABSENT = object()
_CHAIN = re.compile(r"(?<![\w.])(?:self|oldSelf)((?:\.[A-Za-z_]\w*(?!\w|\s*\())+)")
_LONGEST_MESSAGE = 5 * 1024
NOT_CHECKED = (
    "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation"
)


@dataclass(slots=True)
class Rule:
    """One rule of one place of a schema; compiled when it is first met."""

    given: Obj
    schema: Obj
    root: bool
    old: bool = False  # whether it compares with the former value
    optional: bool = False
    path: str = ""
    program: Program | None = None
    message: Program | None = None
    fault: str = ""
    ready: bool = False

    def prepare(self) -> None:
        if self.ready:
            return
        self.ready = True
        self.old = mentions(self.given.get("rule", ""), "oldSelf")
        self.optional = bool(self.given.get("optionalOldSelf"))
        try:
            self.program = compiled(self.given.get("rule", ""), self.schema, self.root, self.optional)
            if expression := self.given.get("messageExpression"):
                self.message = compiled(expression, self.schema, self.root, returns="string")
            if self.given.get("fieldPath"):
                self.path = resolve(self.given["fieldPath"], self.schema)[0]
        except (CompileError, BadPath) as error:
            self.fault = str(error)

    @property
    def words(self) -> str:
        """How errors call the rule."""
        return str(self.given.get("message") or self.given.get("rule", "")).strip()


@dataclass(slots=True)
class Tree:
    """The places of a schema that have rules at or below them."""

    schema: Obj
    rules: list[Rule] = field(default_factory=list)
    properties: dict[str, Tree] = field(default_factory=dict)
    additional: Tree | None = None
    items: Tree | None = None
    all_of: list[Tree] = field(default_factory=list)


def tree_of(schema: Any, root: bool = False) -> Tree | None:
    """The rules of a schema; None without any. Compiles nothing."""
    if not isinstance(schema, dict):
        return None
    tree = Tree(schema, [Rule(given, schema, root) for given in schema.get("x-kubernetes-validations") or ()])
    for name, child in (schema.get("properties") or {}).items():
        if (below := tree_of(child)) is not None:
            tree.properties[name] = below
    tree.additional = tree_of(schema.get("additionalProperties"))
    tree.items = tree_of(schema.get("items"))
    for part in schema.get("allOf") or ():
        if (below := tree_of({**schema, **part, "allOf": []} if "properties" not in part else part)) is not None and part.get(
            "x-kubernetes-validations"
        ):
            tree.all_of.append(below)
    found = tree.rules or tree.properties or tree.additional or tree.items or tree.all_of
    return tree if found else None


def compiled(expression: str, schema: Obj, root: bool, optional_old: bool = False, returns: str = "bool") -> Program:
    """Raises CompileError, also for fields that the schema lacks and for another type of outcome."""
    expression, outcome = _with_schema(expression.strip(), schema, root)
    kind = values.type_of(schema)
    variables: tuple[tuple[str, str], ...] = (("self", kind), ("oldSelf", kind))
    if optional_old:
        variables = (("self", kind), ("__old", kind), ("__has_old", "bool"))
        text = f"cel.bind(oldSelf, __has_old ? optional.of(__old) : optional.none(), {expression}\n)"
        program = compile_expression(text, variables)
    else:
        program = compile_expression(expression, variables)
    if program.returns not in (returns, "dyn") or outcome not in (returns, "dyn"):
        if returns == "bool":
            raise CompileError("cel expression must evaluate to a bool")
        raise CompileError("messageExpression must evaluate to a string")
    return program


def _with_schema(expression: str, schema: Obj, root: bool) -> tuple[str, str]:
    """What the engine, which knows no structural schemas, cannot do itself: fields that are not there are refused, mentions of times and durations
    get their conversion. Returns the expression to compile, and the type of the whole if it is one such mention, else ``dyn``."""
    text, outcome, shift = expression, "dyn", 0
    for chain in _CHAIN.finditer(without_literals(expression)):
        found = _follow(expression, chain, schema, root)
        if found is None:
            continue
        if chain[0] == expression:
            outcome = values.type_of(found)
        convert = _CONVERSIONS.get(found.get("format", "")) if found.get("type") == "string" else None
        if convert and not expression[: chain.start()].rstrip().endswith("has("):
            start, end = chain.start() + shift, chain.end() + shift
            text = f"{text[:start]}{convert}({text[start:end]}){text[end:]}"
            shift += len(convert) + 2
    if schema.get("format") in _CONVERSIONS and schema.get("type") == "string":
        text = re.sub(r"(?<![\w.])(self|oldSelf)\b", rf"{_CONVERSIONS[schema['format']]}(\1)", text)
    return text, outcome


_CONVERSIONS = {"date-time": "timestamp", "date": "timestamp", "duration": "duration"}


def _follow(expression: str, chain: re.Match[str], schema: Obj, root: bool) -> Obj | None:
    """The schema that a chain of fields leads to; None where the schema does not say. Raises CompileError for a field that is not there."""
    here: Any = schema
    at = chain.start(1)
    for name in chain[1].split(".")[1:]:
        properties = here.get("properties") if isinstance(here, dict) else None
        if not properties or here.get("x-kubernetes-embedded-resource"):
            return None
        spelled = {escape(field): field for field in properties}
        if root and here is schema and name in ("apiVersion", "kind", "metadata"):
            return None
        if name not in spelled:
            line = expression.count("\n", 0, at) + 1
            column = at - (expression.rfind("\n", 0, at) + 1)
            source = expression.splitlines()[line - 1]
            text = f"ERROR: <input>:{line}:{column + 1}: undefined field '{name}'\n | {source}\n | {'.' * column}^"
            raise CompileError(f"compilation failed: {text}")
        here = properties[spelled[name]]
        at += len(name) + 1
    return here if isinstance(here, dict) else None


def evaluate(tree: Tree | None, value: Any, old: Any = ABSENT, path: str = "") -> list[FieldError]:
    """The faults that the rules find in ``value``; ``old`` is the value that it replaces, ABSENT if there is none."""
    return [] if tree is None else list(_faults(tree, value, old, path, root=True))


def _faults(tree: Tree, value: Any, old: Any, path: str, root: bool = False) -> Iterator[FieldError]:
    if value is None:
        return
    if tree.rules:
        yield from _own(tree, value, old, path, root)
    for part in tree.all_of:
        yield from _faults(part, value, old, path)
    before: Any
    if isinstance(value, dict):
        related = isinstance(old, dict) and tree.schema.get("x-kubernetes-map-type") != "atomic"
        for name, item in value.items():
            before = old.get(name, ABSENT) if related else ABSENT
            if name in tree.properties:
                yield from _faults(tree.properties[name], item, before, f"{path}.{name}" if path else name)
            elif tree.additional is not None:
                yield from _faults(tree.additional, item, before, f"{path}[{name}]")
    elif isinstance(value, list) and tree.items is not None:
        keys = tree.schema.get("x-kubernetes-list-map-keys") if tree.schema.get("x-kubernetes-list-type") == "map" else None
        known = {_key(item, keys): item for item in old} if keys and isinstance(old, list) else {}
        for index, item in enumerate(value):
            yield from _faults(tree.items, item, known.get(_key(item, keys), ABSENT), f"{path}[{index}]")


def _key(item: Any, keys: list[str] | None) -> Any:
    return tuple(str(item.get(key)) for key in keys) if keys and isinstance(item, dict) else None


def _own(tree: Tree, value: Any, old: Any, path: str, root: bool) -> Iterator[FieldError]:
    kind = tree.schema.get("type", "")
    known = old is not ABSENT and old is not None
    shown = path or "<nil>"
    seen: Any = ABSENT
    for rule in tree.rules:
        rule.prepare()
        if rule.program is None:
            yield invalid_value(shown, kind, f"rule compile error: {rule.fault}")
            continue
        if rule.old and not known and not rule.optional:
            continue
        if not rule.old and known and value == old:
            continue
        if seen is ABSENT:
            seen = {"self": values.visible(value, tree.schema, root)}
            seen["oldSelf"] = values.visible(old, tree.schema, root) if known else None
        given = {"self": seen["self"], "__old": seen["oldSelf"], "__has_old": known} if rule.optional else seen
        try:
            passed = rule.program.evaluate(given) is True
        except EvaluationError as error:
            text = str(error)
            if text.startswith("no such overload"):
                yield invalid_value(
                    shown,
                    kind,
                    f"'{text}': call arguments did not match a supported operator, function or macro signature for rule: {rule.words}",
                )
            else:
                yield invalid_value(shown, kind, f"{text} evaluating rule: {rule.words}")
            continue
        if not passed:
            where = f"{path}.{rule.path}" if path and rule.path else rule.path or shown
            yield _fault(rule, where, kind, _message(rule, given))


def _message(rule: Rule, given: Obj) -> str:
    if rule.message is not None:
        try:
            text = str(rule.message.evaluate({"oldSelf": None, **given})).strip()
        except EvaluationError:
            text = ""
        if text and "\n" not in text and len(text) <= _LONGEST_MESSAGE:
            return text
    return rule.given["message"].strip() if rule.given.get("message") else f"failed rule: {rule.words}"


def _fault(rule: Rule, path: str, kind: str, message: str) -> FieldError:
    match rule.given.get("reason"):
        case "FieldValueForbidden":
            return forbidden_field(path, message)
        case "FieldValueRequired":
            return required(path, message)
        case "FieldValueDuplicate":
            return duplicate(path, kind)
    return invalid_value(path, kind, message)
