"""ControllerRevisions: the history of a StatefulSet's or DaemonSet's template. Pure.

A revision's data is the patch that brings a set to that template (``kubectl rollout undo`` sends it as it is).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

from halab.cluster.controllers.actions import Action, Create, Delete, Update
from halab.cluster.controllers.owners import controller_reference
from halab.cluster.controllers.pods import safe_hash, same
from halab.cluster.kube.kinds import CONTROLLER_REVISIONS, Kind
from halab.cluster.kube.types import Obj

HASH = "controller.kubernetes.io/hash"
POD_HASH = "controller-revision-hash"


@dataclass(frozen=True)
class History:
    """``current`` is the revision of the set's present template (made by ``actions`` if it is new); ``all`` in order, it included."""

    current: Obj
    all: list[Obj]
    actions: list[Action]


def number(revision: Obj) -> int:
    return int(revision.get("revision", 0))


def in_order(revisions: Sequence[Obj]) -> list[Obj]:
    return sorted(
        revisions, key=lambda each: (number(each), each["metadata"].get("creationTimestamp", ""), each["metadata"]["name"])
    )


def patch_of(owner: Obj) -> Obj:
    return {"spec": {"template": {**owner["spec"]["template"], "$patch": "replace"}}}


def template_of(revision: Obj) -> Obj:
    template = copy.deepcopy(revision["data"]["spec"]["template"])
    template.pop("$patch", None)
    result: Obj = template
    return result


def history(owner: Obj, kind: Kind, revisions: Sequence[Obj]) -> History:
    """Find or make the revision of ``owner``'s template; one found further back becomes the newest again (a rollback)."""
    ordered = in_order(revisions)
    newest = number(ordered[-1]) + 1 if ordered else 1
    data = patch_of(owner)
    equal = [each for each in ordered if same(each.get("data"), data)]
    if equal:
        found = equal[-1]
        if found is ordered[-1]:
            return History(found, ordered, [])
        raised = {**found, "revision": newest}
        return History(raised, [each for each in ordered if each is not found] + [raised], [Update(CONTROLLER_REVISIONS, raised)])
    collisions = (owner.get("status") or {}).get("collisionCount") or 0
    hash = safe_hash(data, *([collisions] if collisions else []))
    meta = owner["metadata"]
    labels = dict((owner["spec"]["template"].get("metadata") or {}).get("labels") or {}) | {HASH: hash}
    if kind.kind == "DaemonSet":
        labels[POD_HASH] = hash
    made: Obj = {
        "apiVersion": CONTROLLER_REVISIONS.api_version,
        "kind": CONTROLLER_REVISIONS.kind,
        "metadata": {
            "name": f"{meta['name']}-{hash}",
            "namespace": meta["namespace"],
            "labels": labels,
            "ownerReferences": [controller_reference(owner, kind)],
        },
        "data": data,
        "revision": newest,
    }
    annotations = {
        key: value
        for key, value in (meta.get("annotations") or {}).items()
        if key != "kubectl.kubernetes.io/last-applied-configuration"
    }
    if annotations:
        made["metadata"]["annotations"] = annotations
    return History(made, [*ordered, made], [Create(CONTROLLER_REVISIONS, made)])


def surplus(owner: Obj, revisions: Sequence[Obj], live: set[str]) -> list[Action]:
    """Delete the oldest revisions beyond the history limit, but none whose name is in ``live``."""
    limit = owner["spec"].get("revisionHistoryLimit", 10)
    old = [each for each in in_order(revisions) if each["metadata"]["name"] not in live and "uid" in each["metadata"]]
    return [Delete(CONTROLLER_REVISIONS, each) for each in old[: max(0, len(old) - limit)]]
