"""Who controls what: owner references, adoption of orphans, release of what no longer matches.

As in Kubernetes' ControllerRefManager: an object has at most one controlling owner; an owner adopts orphans that its selector matches
unless it is being deleted, and lets go of those that it no longer matches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from halab.cluster.client import Informer
from halab.cluster.controllers.actions import Action, Patch
from halab.cluster.kube.kinds import Kind
from halab.cluster.kube.types import Obj


def controller_of(obj: Obj) -> Obj | None:
    """The owner reference whose ``controller`` is true."""
    for reference in obj["metadata"].get("ownerReferences") or ():
        if reference.get("controller"):
            found: Obj = reference
            return found
    return None


def controlled_by(obj: Obj, owner: Obj) -> bool:
    reference = controller_of(obj)
    return reference is not None and reference["uid"] == owner["metadata"]["uid"]


def controller_reference(owner: Obj, kind: Kind) -> Obj:
    """What goes into ``ownerReferences`` of what ``owner`` makes."""
    meta = owner["metadata"]
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "name": meta["name"],
        "uid": meta["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def index_by_controller(informer: Informer) -> None:
    """Index ``controller``: by the controlling owner's uid, or ``orphan:NAMESPACE``."""
    informer.add_index("controller", _controller_values)


def _controller_values(obj: Obj) -> Iterator[str]:
    reference = controller_of(obj)
    yield reference["uid"] if reference else f"orphan:{obj['metadata'].get('namespace', '')}"


def candidates(informer: Informer, owner: Obj) -> list[Obj]:
    """What ``owner`` controls and the orphans of its namespace. The informer must have been indexed."""
    meta = owner["metadata"]
    return informer.indexed("controller", meta["uid"]) + informer.indexed("controller", f"orphan:{meta.get('namespace', '')}")


def claim(
    owner: Obj, owner_kind: Kind, kind: Kind, objects: Iterable[Obj], matches: Callable[[Obj], bool], *, finalizer: str = ""
) -> tuple[list[Obj], list[Action]]:
    """Those of ``objects`` that belong to ``owner`` (adopted ones included), and the patches that adopt and release.

    ``matches`` is the owner's selector on an object. ``finalizer`` is added on adoption and taken away on release (jobs track pods so).
    """
    deleting = bool(owner["metadata"].get("deletionTimestamp"))
    mine: list[Obj] = []
    actions: list[Action] = []
    for obj in objects:
        reference = controller_of(obj)
        if reference is not None:
            if reference["uid"] != owner["metadata"]["uid"]:
                continue
            if matches(obj):
                mine.append(obj)
            elif not deleting:
                actions.append(_release(owner, kind, obj, finalizer))
        elif not deleting and not obj["metadata"].get("deletionTimestamp") and matches(obj):
            mine.append(obj)
            actions.append(_adopt(owner, owner_kind, kind, obj, finalizer))
    return mine, actions


def _adopt(owner: Obj, owner_kind: Kind, kind: Kind, obj: Obj, finalizer: str) -> Patch:
    meta = obj["metadata"]
    change: Obj = {"ownerReferences": [controller_reference(owner, owner_kind)], "uid": meta["uid"]}
    if finalizer:
        change["finalizers"] = [finalizer]
    return Patch(kind, meta.get("namespace"), meta["name"], {"metadata": change}, type="strategic")


def _release(owner: Obj, kind: Kind, obj: Obj, finalizer: str) -> Patch:
    meta = obj["metadata"]
    change: Obj = {"ownerReferences": [{"$patch": "delete", "uid": owner["metadata"]["uid"]}], "uid": meta["uid"]}
    if finalizer:
        change["$deleteFromPrimitiveList/finalizers"] = [finalizer]
    return Patch(kind, meta.get("namespace"), meta["name"], {"metadata": change}, type="strategic")
