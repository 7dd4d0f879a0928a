"""What a plug-in is told about a write."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from halab.cluster.apiserver.request import User
from halab.cluster.kube import status
from halab.cluster.kube.kinds import Kind
from halab.cluster.store.store import Transaction

Obj = dict[str, Any]


@dataclass(slots=True)
class Attributes:
    """``operation`` is CREATE, UPDATE or DELETE. ``obj`` (None for a deletion) may be changed by plug-ins that mutate."""

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

    def is_(self, kind: Kind, operation: str = "", subresource: str = "") -> bool:
        return self.kind is kind and self.subresource == subresource and (not operation or operation == self.operation)

    def forbidden(self, reason: str) -> status.ApiError:
        return status.forbidden(self.kind, self.name or self.obj.get("metadata", {}).get("name", ""), reason)

    def find(self, kind: Kind, name: str, namespace: str = "") -> Obj | None:
        entry = self.tx.get(kind.storage, namespace, name)
        return entry.obj() if entry else None

    def all(self, kind: Kind, namespace: str = "") -> Iterator[Obj]:
        return (entry.obj() for entry in self.tx.list(kind.storage, namespace))
