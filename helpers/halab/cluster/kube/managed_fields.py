"""Who owns which field: the ``metadata.managedFields`` of a write that is no apply, and what all writes share.

``track`` runs on every create, update and patch, so the common cases are short: equal parts are skipped by one comparison and the
field sets are never decoded. When it is called matters, as in Kubernetes: after decoding and defaulting, *before* admission and
the kind's own strategy, so that what those add belongs to nobody. ``keep_times`` runs last, before a write is compared with what
is stored.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from halab.cluster.kube import fieldset
from halab.cluster.kube.fieldset import FieldSet, difference, intersection, union, without_subtrees
from halab.cluster.kube.gotext import to_json
from halab.cluster.kube.schema import Node
from halab.cluster.kube.typed import Comparison, compare, shape_of
from halab.cluster.kube.types import Obj

MAX_UPDATE_MANAGERS = 10  # more are folded into "ancient-changes", oldest first
ANCIENT = "ancient-changes"
BEFORE_APPLY = "before-first-apply"
_LEAF: FieldSet = {}
_STRIPPED = dict.fromkeys(("f:apiVersion", "f:kind"), _LEAF)
_STRIPPED_METADATA = (
    "name",
    "namespace",
    "creationTimestamp",
    "selfLink",
    "uid",
    "clusterName",
    "generation",
    "managedFields",
    "resourceVersion",
)
_STRIP: FieldSet = {**_STRIPPED, "f:metadata": {".": _LEAF, **{f"f:{name}": _LEAF for name in _STRIPPED_METADATA}}}

STATUS: FieldSet = {"f:status": _LEAF}
SPEC: FieldSet = {"f:spec": _LEAF}


class Entry:
    """One manager's part: identity (manager, operation, api_version, subresource), time, and the fields it owns."""

    __slots__ = ("api_version", "fields", "manager", "operation", "subresource", "time")

    def __init__(
        self, manager: str, operation: str, api_version: str, subresource: str, time: str | None, fields: FieldSet
    ) -> None:
        self.manager, self.operation, self.api_version = manager, operation, api_version
        self.subresource, self.time, self.fields = subresource, time, fields

    @property
    def key(self) -> tuple[str, ...]:
        """Appliers are one manager over all versions, updaters one a version."""
        return (self.manager, self.operation, "" if self.operation == "Apply" else self.api_version, self.subresource)

    def encode(self) -> Obj:
        encoded: Obj = {"manager": self.manager, "operation": self.operation, "apiVersion": self.api_version}
        if not self.manager:
            del encoded["manager"]
        if self.time is not None:
            encoded["time"] = self.time
        encoded["fieldsType"] = "FieldsV1"
        encoded["fieldsV1"] = self.fields
        if self.subresource:
            encoded["subresource"] = self.subresource
        return encoded

    @property
    def identity(self) -> str:
        """The JSON that Kubernetes sorts managers by in its messages."""
        parts = {"manager": self.manager, "operation": self.operation}
        if self.operation != "Apply":
            parts["apiVersion"] = self.api_version
        if self.subresource:
            parts["subresource"] = self.subresource
        return to_json({name: value for name, value in parts.items() if value})


Managers = dict[tuple[str, ...], Entry]


def decode(encoded: Any) -> Managers | None:
    """The managers of a ``managedFields`` list; None if it is malformed."""
    found: Managers = {}
    for item in encoded or ():
        if not isinstance(item, dict) or item.get("operation") not in ("Apply", "Update"):
            return None
        fields = item.get("fieldsV1")
        if not item.get("apiVersion") or item.get("fieldsType") != "FieldsV1" or not (fields is None or fieldset.valid(fields)):
            return None
        entry = Entry(
            item.get("manager", ""),
            item["operation"],
            item["apiVersion"],
            item.get("subresource", ""),
            item.get("time"),
            fields or {},
        )
        found[entry.key] = entry
    return found


def encode(managers: Managers) -> list[Obj]:
    """``managedFields`` in Kubernetes' order."""
    return encode_all(managers.values())


def encode_all(entries: Iterable[Entry]) -> list[Obj]:
    """Entries as ``managedFields``: appliers first, then by time, name, version and subresource."""
    ordered = sorted(entries, key=lambda e: (e.operation, e.time or "", e.manager, e.api_version, e.subresource))
    return [entry.encode() for entry in ordered]


def strip(fields: FieldSet) -> FieldSet:
    """Without what nobody manages: identity, versions and times."""
    return difference(fields, _STRIP)


def reset_fields(node: Node, subresource: str, has_status: bool) -> FieldSet:
    """What a write through this endpoint cannot change, so is not recorded for it."""
    if not has_status or not node.properties or "status" not in node.properties:
        return {}
    if subresource == "":
        return STATUS
    return SPEC if subresource == "status" else {}


def track(
    old: Obj | None,
    new: Obj,
    node: Node,
    manager: str,
    *,
    api_version: str,
    subresource: str = "",
    now: str,
    has_status: bool = True,
    operation: str = "Update",
) -> list[Obj]:
    """The ``managedFields`` of ``new``, written by ``manager`` over ``old`` (None: it is created). Neither object is changed.

    ``new`` may carry managedFields of its own, which a client is allowed to edit (an empty list resets them), except through a
    subresource. ``now`` is the time of an entry that changes (RFC 3339, seconds); an entry that gains nothing keeps its time.
    ``has_status`` says that the status is written through a subresource only. An empty list means that the object has none.
    """
    managers = _inherited(old, new, subresource)
    if old is not None and not managers:
        return []  # an object whose managers were never tracked, or were reset, is left alone
    reset = reset_fields(node, subresource, has_status)
    comparison = _difference(old, new, node)
    if reset:
        comparison = filtered(comparison, reset)
    changed = comparison.changed
    for key, entry in list(managers.items()):
        take_from(managers, key, entry, changed, comparison.removed)
    gained = strip(changed) if changed else changed
    if gained:
        entry = Entry(manager or "unknown", operation, api_version, subresource, now, gained)
        former = managers.get(entry.key)
        if former is not None:
            entry.fields = union(gained, former.fields)
        managers[entry.key] = entry
    if len(managers) > MAX_UPDATE_MANAGERS:
        _fold_oldest(managers)
    return encode(managers)


def filtered(comparison: Comparison, reset: FieldSet) -> Comparison:
    """The comparison without the reset fields and all below them."""
    return Comparison(
        without_subtrees(comparison.removed, reset),
        without_subtrees(comparison.modified, reset),
        without_subtrees(comparison.added, reset),
    )


def take_from(managers: Managers, key: tuple[str, ...], entry: Entry, changed: FieldSet, removed: FieldSet) -> None:
    """Take the fields that others changed or removed from one manager; without any left it goes."""
    fields = entry.fields
    if changed:
        lost = intersection(fields, changed)
        if lost:
            fields = difference(fields, lost)
    if removed:
        fields = difference(fields, removed)
    if not fields:
        del managers[key]
    elif fields is not entry.fields:
        managers[key] = Entry(entry.manager, entry.operation, entry.api_version, entry.subresource, entry.time, fields)


def _inherited(old: Obj | None, new: Obj, subresource: str) -> Managers:
    """The managers to start from: those that the request brings, else those of the live object."""
    live = (old.get("metadata") or {}).get("managedFields") if old is not None else None
    if not subresource:
        brought = (new.get("metadata") or {}).get("managedFields")
        if brought is not None and (brought == [] or brought == [{}]):
            return {}
        if brought and brought is not live:
            managers = decode(brought)
            if managers:
                return managers
    return decode(live) or {}


def _difference(old: Obj | None, new: Obj, node: Node) -> Comparison:
    """New against old, leaving out ``managedFields`` itself."""
    before = old if old is not None else zero_object(node)
    former, current = before.get("metadata"), new.get("metadata")
    if isinstance(former, dict) and "managedFields" in former:
        before = {**before, "metadata": {name: value for name, value in former.items() if name != "managedFields"}}
    if isinstance(current, dict) and "managedFields" in current:
        new = {**new, "metadata": {name: value for name, value in current.items() if name != "managedFields"}}
    return compare(before, new, shape_of(node))


_zeros: dict[int, tuple[Node, Obj]] = {}


def zero_object(node: Node) -> Obj:
    """What Go encodes for an object that nobody filled in.

    Its plain structs exist, so whoever creates the object does not own them.
    """
    found = _zeros.get(id(node))
    if found is None or found[0] is not node:
        zero = node.zero()
        found = _zeros[id(node)] = (node, {"metadata": {}, **zero} if isinstance(zero, dict) else {"metadata": {}})
    return found[1]


def _fold_oldest(managers: Managers) -> None:
    """Keep at most MAX_UPDATE_MANAGERS updaters by folding the oldest of a version into one "ancient-changes" entry."""
    updaters = sorted((e for e in managers.values() if e.operation != "Apply"), key=lambda e: (e.time or "", e.identity))
    count = len(updaters)
    first: dict[str, Entry] = {}
    for entry in updaters:
        if count <= MAX_UPDATE_MANAGERS:
            return
        oldest = first.get(entry.api_version)
        if oldest is None:
            first[entry.api_version] = entry
            continue
        bucket = Entry(ANCIENT, "Update", entry.api_version, "", entry.time, entry.fields)
        present = managers.get(bucket.key)
        if present is None:
            managers.pop(oldest.key, None)
            present = oldest
        bucket.fields = union(entry.fields, present.fields)
        del managers[entry.key]
        managers[bucket.key] = bucket
        count -= 1


def keep_times(old: Obj, new: Obj) -> None:
    """Where only times of ``managedFields`` differ between two whole objects, put the old times back into ``new`` (changed in
    place).

    For every update, after admission: without it a write that changes nothing would still raise the resourceVersion.
    """
    before, after = old["metadata"].get("managedFields"), new["metadata"].get("managedFields")
    if not after or not before or len(before) != len(after) or before == after:
        return
    if any(_timeless(left) != _timeless(right) for left, right in zip(before, after, strict=True)):
        return
    if _without_managers(old) == _without_managers(new):
        new["metadata"]["managedFields"] = before


def _timeless(entry: Obj) -> Obj:
    return {name: value for name, value in entry.items() if name != "time"}


def _without_managers(obj: Obj) -> Obj:
    metadata = {name: value for name, value in obj["metadata"].items() if name != "managedFields"}
    return {**obj, "metadata": metadata}
