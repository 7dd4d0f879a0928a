"""``authorizer`` in admission policies: ``authorizer.group('apps').resource('deployments').check('create').allowed()``.

The chain collects a question in a map; ``check`` asks whoever evaluates, whose decision function is in ``DECIDE`` while it does.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

Question = dict[str, Any]
DECIDE: ContextVar[Callable[[Question], tuple[bool, str]]] = ContextVar("decide")


def _with(field: str) -> Callable[..., Question]:
    return lambda question, value: {**question, field: value}


def _account(question: Question, namespace: str, name: str) -> Question:
    return {**question, "user": f"system:serviceaccount:{namespace}:{name}"}


def _check(question: Question, verb: str) -> Question:
    allowed, reason = DECIDE.get()({**question, "verb": verb})
    return {"allowed": allowed, "reason": reason}


MEMBERS: dict[str, list[tuple[str, str, tuple[str, ...], Callable[..., Any]]]] = {
    "path": [("dyn", "dyn", ("string",), _with("path"))],
    "group": [("dyn", "dyn", ("string",), _with("group"))],
    "resource": [("dyn", "dyn", ("string",), _with("resource"))],
    "subresource": [("dyn", "dyn", ("string",), _with("subresource"))],
    "namespace": [("dyn", "dyn", ("string",), _with("namespace"))],
    "name": [("dyn", "dyn", ("string",), _with("name"))],
    "serviceAccount": [("dyn", "dyn", ("string", "string"), _account)],
    "check": [("dyn", "dyn", ("string",), _check)],
    "allowed": [("dyn", "bool", (), lambda decision: decision["allowed"])],
    "reason": [("dyn", "string", (), lambda decision: decision["reason"])],
    "errored": [("dyn", "bool", (), lambda decision: False)],
    "error": [("dyn", "string", (), lambda decision: "")],
}
