"""Compiling and evaluating expressions, with errors in the words of cel-go, which Kubernetes prints.

The engine is the C++ one of the language's authors (cel-expr-python). It is imported on first use: most clusters never meet a rule.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module
from typing import Any

from halab.cluster.kube.cel.comprehensions import expand

_STATUS_SUFFIX = re.compile(r" \[[A-Z_]+\]$")
_STATUS_PREFIX = re.compile(r"^[A-Z_]+: ")
_RUNTIME = (
    (re.compile(r'^Key not found in map : "?(.*?)"?$'), r"no such key: \1"),
    (re.compile(r"^Index error: index=(-?\d+) size=\d+$"), r"index out of bounds: \1"),
    (re.compile(r"^No matching overloads found.*$"), "no such overload"),
    (re.compile(r"^Applying SELECT to non-message type$"), "no such overload"),
    (re.compile(r"^divide by zero$"), "division by zero"),
)
_LITERAL = re.compile(r"""[rR]?(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')""")


class CompileError(Exception):
    """The expression is wrong; the text is that of Kubernetes (``compilation failed: ERROR: <input>:1:1: ...``)."""


class EvaluationError(Exception):
    """The expression is right, its evaluation failed (``no such key: x``)."""


class Program:
    """A compiled expression. ``returns`` is the name of its static type (``bool``, ``string``, ``dyn`` ...)."""

    def __init__(self, expression: str, compiled: Any) -> None:
        self.expression = expression
        self._compiled = compiled
        self.returns = str(compiled.return_type()).lower()

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        """The value as plain Python. Raises EvaluationError."""
        try:
            result = self._compiled.eval(data=dict(values))
        except Exception as error:  # whatever crosses the border from C++: the rule fails, not the server
            raise EvaluationError(_runtime_text(str(error))) from None
        if str(result.type()).lower() == "error":
            raise EvaluationError(_runtime_text(str(result.plain_value())))
        return result.plain_value()


def _runtime_text(text: str) -> str:
    text = _STATUS_PREFIX.sub("", _STATUS_SUFFIX.sub("", text))
    for pattern, replacement in _RUNTIME:
        if pattern.match(text):
            return pattern.sub(replacement, text)
    return text


@lru_cache(maxsize=64)
def _environment(variables: tuple[tuple[str, str], ...]) -> Any:
    from halab.cluster.kube.cel import library

    cel: Any = import_module("cel_expr_python.cel")
    extensions = [
        import_module("cel_expr_python.ext.ext_optional").ExtOptional(),
        import_module("cel_expr_python.ext.ext_strings").ExtStrings(),
        import_module("cel_expr_python.ext.ext_bindings").ExtBindings(),
        library.extension(cel),
    ]
    return cel.NewEnv(variables={name: _type(cel, kind) for name, kind in variables}, extensions=extensions)


def _type(cel: Any, text: str) -> Any:
    """A type from its text: ``int``, ``list(string)``, ``map(string)`` (keys are strings)."""
    if text.startswith("list("):
        return cel.Type.List(_type(cel, text[5:-1]))
    if text.startswith("map("):
        return cel.Type.Map(cel.Type.STRING, _type(cel, text[4:-1]))
    return getattr(cel.Type, text.upper())


@lru_cache(maxsize=1024)
def compile_expression(expression: str, variables: tuple[tuple[str, str], ...]) -> Program:
    """``variables`` are the (name, type) pairs that the expression may use; types as ``dyn``, ``int``, ``list(string)``. Raises CompileError."""
    try:
        return Program(expression, _environment(variables).compile(expand(expression)))
    except CompileError:
        raise
    except Exception as error:
        text = _STATUS_SUFFIX.sub("", str(error)).removeprefix("INVALID_ARGUMENT: ")
        raise CompileError(f"compilation failed: {_UNDECLARED.sub(_first_name, text)}") from None


_UNDECLARED = re.compile(
    r"ERROR: <input>:(\d+):\d+: undeclared reference to '([\w.]+)\.\w+' \(in container ''\)\n \| (.*)\n \| \.*\^"
)


def _first_name(found: re.Match[str]) -> str:
    """The engine complains of ``foo.bar`` as a whole; Kubernetes' complains of ``foo``."""
    line, chain, source = found.groups()
    name = chain.partition(".")[0]
    column = max(source.find(chain), 0)
    return (
        f"ERROR: <input>:{line}:{column + 1}: undeclared reference to '{name}' (in container '')\n | {source}\n | {'.' * column}^"
    )


def without_literals(expression: str) -> str:
    """The expression with its string literals blanked, at the same positions: for looking for names."""
    return _LITERAL.sub(lambda match: "'" + " " * (len(match[0]) - 2) + "'", expression)


def mentions(expression: str, name: str) -> bool:
    """Whether the expression uses a variable of that name."""
    return re.search(rf"(?<![\w.]){name}\b", without_literals(expression)) is not None
