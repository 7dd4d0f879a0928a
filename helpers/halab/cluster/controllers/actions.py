"""What a reconciler wants done, as values: a ``plan`` is tested by comparing lists of these, without a server.

``Context.apply`` in ``base.py`` carries them out in order and stops at the first that fails.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Union

from halab.cluster.client.client import PatchType
from halab.cluster.kube.kinds import Kind
from halab.cluster.kube.status import ApiError
from halab.cluster.kube.types import Obj


@dataclass(frozen=True, slots=True)
class Create:
    """``on_error`` gives what to do instead when the server refuses; with None (or None returned), the error goes on."""

    kind: Kind
    obj: Obj
    on_error: Callable[[ApiError], Sequence[Action] | None] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Update:
    kind: Kind
    obj: Obj
    subresource: str | None = None


@dataclass(frozen=True, slots=True)
class Patch:
    kind: Kind
    namespace: str | None
    name: str
    patch: Any
    type: PatchType = "merge"
    subresource: str | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """Deletes this very object (its uid is a precondition); that it is gone already is no error."""

    kind: Kind
    obj: Obj
    grace_period_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Emit:
    """Record an event about ``about``."""

    about: Obj
    type: str
    reason: str
    message: str


Action = Union[Create, Update, Patch, Delete, Emit]  # noqa: UP007 - evaluated at run time in Create's annotation


def with_status(obj: Obj, status: Obj) -> Obj:
    """A copy of ``obj`` that has this status and shares the rest."""
    return {**obj, "status": status}
