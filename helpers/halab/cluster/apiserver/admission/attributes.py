"""What a plug-in is told about a write."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from halab.cluster.apiserver.admission.reviews import Reviews
from halab.cluster.apiserver.request import User
from halab.cluster.kube import status
from halab.cluster.kube.kinds import Kind
from halab.cluster.store.store import Transaction

Obj = dict[str, Any]


class Surroundings(Protocol):
    """What plug-ins may ask of the server beside its objects."""

    def decide(self, user: User, question: Obj) -> tuple[bool, str]: ...
    def kind_by_type(self, api_version: str, name: str) -> Kind | None: ...
    def equivalents(self, kind: Kind) -> list[Kind]: ...


@dataclass(slots=True)
class Attributes:
    """``operation`` is CREATE, UPDATE, DELETE or CONNECT. ``obj`` (None for a deletion) may be changed by plug-ins that mutate."""

    operation: str
    kind: Kind
    namespace: str
    name: str
    user: User
    tx: Transaction
    obj: Obj = field(default_factory=dict)
    old: Obj | None = None
    subresource: str = ""
    dry_run: bool = False
    warnings: list[str] = field(default_factory=list)
    context: Surroundings | None = None
    reviews: Reviews | None = None  # None: webhooks are not asked
    asked: str = ""  # the subresource of the request, where it goes by the rules of another (scale)
    about: Kind | None = None  # the object's kind, where it is not the resource's (a Binding of a pod)

    def decide(self, question: Obj) -> tuple[bool, str]:
        """Whether the user (or the one that the question names) may do something: (allowed, why)."""
        return self.context.decide(self.user, question) if self.context else (False, "")

    def kind_by_type(self, api_version: str, name: str) -> Kind | None:
        """The kind that is served under a type."""
        return self.context.kind_by_type(api_version, name) if self.context else None

    def equivalents(self) -> list[Kind]:
        """The other versions and groups under which the same objects are served."""
        return self.context.equivalents(self.kind) if self.context else []

    def is_(self, kind: Kind, operation: str = "", subresource: str = "") -> bool:
        return self.kind is kind and self.subresource == subresource and (not operation or operation == self.operation)

    def forbidden(self, reason: str) -> status.ApiError:
        return status.forbidden(self.kind, self.name or self.obj.get("metadata", {}).get("name", ""), reason)

    def find(self, kind: Kind, name: str, namespace: str = "") -> Obj | None:
        entry = self.tx.get(kind.storage, namespace, name)
        return entry.obj() if entry else None

    def all(self, kind: Kind, namespace: str = "") -> Iterator[Obj]:
        return (entry.obj() for entry in self.tx.list(kind.storage, namespace))
