"""Expressions about a request: validations, variables and match conditions of admission policies and webhooks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from halab.cluster.kube.cel.authorizer import DECIDE, Question
from halab.cluster.kube.cel.engine import CompileError, EvaluationError, Program, compile_expression, without_literals
from halab.cluster.kube.types import Obj

_VARIABLE = re.compile(r"(?<![\w.])variables(\.([A-Za-z_]\w*))")
_BASE = ("object", "oldObject", "request", "namespaceObject", "variables")
Decide = Callable[[Question], tuple[bool, str]]


def compiled(
    expression: str, returns: str, variables: Iterable[str] = (), params: bool = False, authorizer: bool = True
) -> Program:
    """``returns`` is the type that the outcome must have; ``variables`` the names that ``variables.`` may be followed by. Raises CompileError."""
    names = [*_BASE, *(["params"] if params else []), *(["authorizer"] if authorizer else [])]
    known = set(variables)
    for use in _VARIABLE.finditer(without_literals(expression)):
        if use[2] not in known:
            column = use.start(1) - (expression.rfind("\n", 0, use.start(1)) + 1)
            line = expression.count("\n", 0, use.start(1)) + 1
            source = expression.splitlines()[line - 1]
            text = f"ERROR: <input>:{line}:{column + 1}: undefined field '{use[2]}'\n | {source}\n | {'.' * column}^"
            raise CompileError(f"compilation failed: {text}")
    program = compile_expression(expression, tuple((name, "dyn") for name in names))
    if returns != "dyn" and program.returns not in (returns, "dyn"):
        raise CompileError(f"must evaluate to {returns}")
    return program


class Evaluation:
    """The expressions of one policy or webhook about one request."""

    def __init__(self, values: Mapping[str, Any], variables: Iterable[Obj], decide: Decide, params: bool = False) -> None:
        self.values = dict(values)
        self.declared = [(variable["name"], variable["expression"]) for variable in variables]
        self.decide = decide
        self.params = params
        self._known: dict[str, Any] = {}
        self._failed: dict[str, str] = {}

    def evaluate(self, expression: str, returns: str = "bool", authorizer: bool = True) -> Any:
        """The outcome. Raises EvaluationError with Kubernetes' words."""
        try:
            program = compiled(expression, returns, [name for name, _ in self.declared], self.params, authorizer)
        except CompileError as error:
            raise EvaluationError(f"compilation error: {error}") from None
        try:
            return self._run(program)
        except EvaluationError as error:
            raise EvaluationError(f"expression '{expression}' resulted in error: {error}") from None

    def _run(self, program: Program) -> Any:
        for use in _VARIABLE.finditer(without_literals(program.expression)):
            self._need(use[2])
        token = DECIDE.set(self.decide)
        try:
            return program.evaluate({**self.values, "variables": self._known})
        finally:
            DECIDE.reset(token)

    def _need(self, name: str) -> None:
        if name in self._known:
            return
        if name in self._failed:
            raise EvaluationError(self._failed[name])
        earlier: list[str] = []
        for declared, expression in self.declared:
            if declared == name:
                try:
                    self._known[name] = self._run(compiled(expression, "dyn", earlier, self.params))
                except (CompileError, EvaluationError) as error:
                    self._failed[name] = f'composited variable "{name}" fails to evaluate: {error}'
                    raise EvaluationError(self._failed[name]) from None
                return
            earlier.append(declared)
