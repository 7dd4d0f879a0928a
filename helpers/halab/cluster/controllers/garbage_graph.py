"""Who owns what in the whole cluster, as a graph that watches feed and the garbage collector judges. Pure: no I/O.

Owners that were named but never seen are not in the graph; ``judge`` asks its caller about those (``Unknown``), who looks them up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

from halab.cluster.kube.kinds import Kind
from halab.cluster.kube.types import Obj

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"


@dataclass(frozen=True, slots=True)
class Node:
    """What the collector must know of an object."""

    kind: Kind
    namespace: str
    name: str
    uid: str
    version: str
    owners: tuple[Obj, ...]
    deleting: bool
    finalizers: tuple[str, ...]

    @property
    def waits_for_dependents(self) -> bool:
        return self.deleting and FOREGROUND in self.finalizers

    @property
    def orphans_dependents(self) -> bool:
        return self.deleting and ORPHAN in self.finalizers


def node_of(kind: Kind, obj: Obj) -> Node:
    meta = obj["metadata"]
    return Node(
        kind,
        meta.get("namespace") or "",
        meta["name"],
        meta["uid"],
        meta.get("resourceVersion", ""),
        tuple(meta.get("ownerReferences") or ()),
        bool(meta.get("deletionTimestamp")),
        tuple(meta.get("finalizers") or ()),
    )


class State(Enum):
    """Of an owner, as seen from a dependent."""

    SOLID = 1
    ABSENT = 2
    WAITING = 3  # is being deleted in the foreground and waits for this dependent
    UNKNOWN = 4  # not in the graph: look it up


class Graph:
    """Nodes by uid; dependents by the uid of the owner they name, whether that owner is known or not."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self._dependents: dict[str, set[str]] = {}

    def put(self, node: Node) -> Node | None:
        """Add or replace; returns the former node of that uid."""
        former = self.nodes.get(node.uid)
        if former is not None and former.owners != node.owners:
            self._unlink(former)
        self.nodes[node.uid] = node
        for owner in node.owners:
            self._dependents.setdefault(owner["uid"], set()).add(node.uid)
        return former

    def remove(self, uid: str) -> Node | None:
        node = self.nodes.pop(uid, None)
        if node is not None:
            self._unlink(node)
        return node

    def _unlink(self, node: Node) -> None:
        for owner in node.owners:
            named = self._dependents.get(owner["uid"])
            if named is not None:
                named.discard(node.uid)
                if not named:
                    del self._dependents[owner["uid"]]

    def dependents(self, uid: str) -> Iterator[Node]:
        for each in tuple(self._dependents.get(uid, ())):
            if each in self.nodes:
                yield self.nodes[each]

    def blocking(self, owner: Node) -> list[Node]:
        """The dependents whose reference says that they hold up the owner's deletion."""
        return [
            node
            for node in self.dependents(owner.uid)
            if any(ref["uid"] == owner.uid and ref.get("blockOwnerDeletion") for ref in node.owners)
        ]

    def owner_state(self, dependent: Node, reference: Obj) -> State:
        owner = self.nodes.get(reference["uid"])
        if owner is None or (owner.namespace and owner.namespace != dependent.namespace):
            return State.UNKNOWN
        return State.WAITING if owner.waits_for_dependents else State.SOLID


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of an object: ``delete`` is a propagation policy or None, ``drop`` the uids of owners to strike from its references.

    ``unblock``: its references no longer hold up their owners (a circle of objects that wait for each other must come undone).
    """

    delete: str | None = None
    drop: tuple[str, ...] = ()
    unblock: bool = False


def judge(graph: Graph, node: Node, state: Callable[[Obj], State]) -> Verdict:
    """``state`` tells of each owner reference whether the owner is there; none may be UNKNOWN any more."""
    if node.deleting or not node.owners:
        return Verdict()
    states = [(reference["uid"], state(reference)) for reference in node.owners]
    waiting = [uid for uid, each in states if each is State.WAITING]
    absent = [uid for uid, each in states if each is State.ABSENT]
    if any(each is State.SOLID for _, each in states):
        return Verdict(drop=(*absent, *waiting))
    if waiting and (dependents := list(graph.dependents(node.uid))):
        return Verdict(delete="Foreground", unblock=any(each.waits_for_dependents for each in dependents))
    if ORPHAN in node.finalizers:
        return Verdict(delete="Orphan")
    return Verdict(delete="Foreground" if FOREGROUND in node.finalizers else "Background")
