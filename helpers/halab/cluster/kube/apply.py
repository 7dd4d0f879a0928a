"""Server-side apply: merging an applied configuration into the live object by ownership of fields.

https://kubernetes.io/docs/reference/using-api/server-side-apply/. What a manager applied before and leaves out now is removed
unless another owns it; a field that another manager owns and that would change is a conflict unless forced. The result is not yet
normalised: the caller decodes it against the schema and defaults it as it does with any body, then runs admission and
``managed_fields.keep_times``.
"""

from __future__ import annotations

import json
from typing import Any

from halab.cluster.kube import fieldset
from halab.cluster.kube.fieldset import FieldSet, difference, intersection, union, without_subtrees
from halab.cluster.kube.gotext import quote, to_json
from halab.cluster.kube.managed_fields import (
    BEFORE_APPLY,
    Entry,
    Managers,
    decode,
    encode,
    filtered,
    reset_fields,
    strip,
    take_from,
    track,
)
from halab.cluster.kube.schema import Node
from halab.cluster.kube.status import ApiError, apply_conflict, bad_request, unclassified
from halab.cluster.kube.typed import ABSENT, Comparison, KeyProblem, Shape, compare, shape_of, to_set
from halab.cluster.kube.typed_check import problems
from halab.cluster.kube.typed_merge import merge, remove, with_named_fields
from halab.cluster.kube.types import Obj

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_MAX_ANNOTATIONS = 256 * 1024  # bytes of all keys and values


def server_side_apply(
    live: Obj | None,
    applied: Any,
    node: Node,
    manager: str,
    *,
    kind: str,
    api_version: str,
    force: bool = False,
    subresource: str = "",
    now: str,
    has_status: bool = True,
) -> Obj:
    """The object after ``manager`` applied ``applied`` over ``live`` (None: it is created), with its managedFields. Arguments are
    not changed.

    ``kind`` and ``api_version`` are those of the endpoint. An apply that changes nothing gives the live object again, possibly
    with other managers; a manager that is new then has no time. Raises ApiError: 400 for another kind or managedFields in the
    configuration, 409 with one cause a field for conflicts, 500 where the configuration does not fit the schema.
    """
    _check(applied, kind, api_version)
    shape = shape_of(node)
    faults = problems(applied, shape)
    if faults:
        raise _untyped("create typed patch object", applied, faults)
    managers = _managers(live, node, api_version, now, has_status)
    reset = reset_fields(node, subresource, has_status)
    former = _unmanaged(live) if live is not None else {}
    work = _Work(former, applied, shape, managers, manager, api_version, subresource, reset)
    conflicts = work.run(force)
    if conflicts and manager == "kubectl":
        conflicts = _less_client_side(conflicts, former, shape, api_version)
        if not conflicts:
            work = _Work(
                former,
                applied,
                shape,
                _managers(live, node, api_version, now, has_status),
                manager,
                api_version,
                subresource,
                reset,
            )
            work.run(True)
    if conflicts:
        raise _conflict(conflicts)
    return _finish(work, live, applied, manager, now)


def _finish(work: _Work, live: Obj | None, applied: Obj, manager: str, now: str) -> Obj:
    changed = live is None or work.result != work.live
    own = work.managers.get(work.key)
    if own is not None:
        fields = strip(own.fields)
        if fields:
            time = now if changed else work.time
            work.managers[work.key] = Entry(own.manager, "Apply", own.api_version, own.subresource, time, fields)
        else:
            del work.managers[work.key]
    result = dict(work.result if changed else work.live)
    metadata = result["metadata"] = dict(result.get("metadata") or {})
    if manager == "kubectl" and (metadata.get("annotations") or {}).get(LAST_APPLIED):
        metadata["annotations"] = _with_last_applied(metadata["annotations"], applied)
    encoded = encode(work.managers)
    if encoded:
        metadata["managedFields"] = encoded
    else:
        metadata.pop("managedFields", None)
    return result


class _Work:
    """One attempt: merge, prune, and settle who owns what. ``run`` gives the conflicts, by manager."""

    def __init__(
        self,
        live: Obj,
        applied: Obj,
        shape: Shape,
        managers: Managers,
        manager: str,
        api_version: str,
        subresource: str,
        reset: FieldSet,
    ) -> None:
        self.live, self.applied, self.shape, self.managers, self.reset = live, applied, shape, managers, reset
        self.entry = Entry(manager or "unknown", "Apply", api_version, subresource, None, {})
        self.key = self.entry.key
        self.result: Obj = live
        self.time: str | None = None

    def run(self, force: bool) -> list[tuple[Entry, FieldSet]]:
        try:
            merged = merge(self.live, self.applied, self.shape)
        except KeyProblem as problem:
            raise _untyped("create typed live object", self.live, [str(problem)]) from None
        last = self.managers.get(self.key)
        self.time = last.time if last is not None else None
        claimed = to_set(self.applied, self.shape)
        self.entry.fields = without_subtrees(claimed, self.reset) if self.reset else claimed
        self.managers[self.key] = self.entry
        self.result = self._pruned(merged, last.fields) if last is not None and last.fields else merged
        comparison = filtered(compare(self.live, self.result, self.shape), self.reset)
        conflicts = self._conflicts(comparison)
        if conflicts and not force:
            return conflicts
        changed = comparison.changed
        for key, entry in list(self.managers.items()):
            if key != self.key:
                take_from(self.managers, key, entry, changed, comparison.removed)
        if not self.entry.fields:
            del self.managers[self.key]
        return []

    def _conflicts(self, comparison: Comparison) -> list[tuple[Entry, FieldSet]]:
        changed = comparison.changed
        found = []
        for key, entry in self.managers.items():
            if key != self.key and (overlap := intersection(entry.fields, changed)):
                found.append((entry, overlap))
        return sorted(found, key=lambda pair: pair[0].identity)

    def _pruned(self, merged: Obj, last: FieldSet) -> Obj:
        """``merged`` without what this manager applied before and nobody claims now.

        What falls with a removed parent although others own it, or although nobody ever applied it, is put back.
        """
        shape = self.shape
        last = with_named_fields(last, shape)
        pruned = _object(remove(merged, last, shape))
        if pruned == merged:
            return merged
        owned: FieldSet = {}
        for entry in self.managers.values():
            owned = union(owned, entry.fields)
        everything = with_named_fields(to_set(merged, shape), shape)
        kept = union(with_named_fields(to_set(pruned, shape), shape), with_named_fields(owned, shape))
        pruned = _object(remove(merged, difference(everything, kept), shape))
        left = with_named_fields(to_set(pruned, shape), shape)
        return _object(remove(merged, intersection(difference(everything, left), last), shape))


def _object(value: Any) -> Obj:
    return {} if value is ABSENT else value


def _check(applied: Any, kind: str, api_version: str) -> None:
    if not isinstance(applied, dict):
        raise bad_request("error decoding patch: json: cannot unmarshal into Go value of type map[string]interface {}")
    if applied.get("kind") != kind or applied.get("apiVersion") != api_version:
        raise bad_request(f"invalid object type: {_gvk(applied)}")
    metadata = applied.get("metadata")
    if isinstance(metadata, dict) and metadata.get("managedFields") is not None:
        raise bad_request("metadata.managedFields must be nil")


def _gvk(obj: Obj) -> str:
    """``apps/v1, Kind=Deployment`` or ``/v1, Kind=Pod``: how Go prints a group, version and kind."""
    version = str(obj.get("apiVersion") or "")
    return f"{version if '/' in version else '/' + version}, Kind={obj.get('kind') or ''}"


def _untyped(what: str, obj: Obj, faults: list[str]) -> ApiError:
    raw = obj.get("metadata")
    metadata = raw if isinstance(raw, dict) else {}
    text = faults[0] if len(faults) == 1 else "\n".join(["errors:", *(f"  {fault}" for fault in faults)])
    return unclassified(f"failed to {what} ({metadata.get('namespace', '')}/{metadata.get('name', '')}; {_gvk(obj)}): {text}")


def _unmanaged(live: Obj) -> Obj:
    metadata = {name: value for name, value in (live.get("metadata") or {}).items() if name != "managedFields"}
    return {**live, "metadata": metadata}


def _managers(live: Obj | None, node: Node, api_version: str, now: str, has_status: bool) -> Managers:
    """The live object's managers; what nobody was recorded for belongs to "before-first-apply"."""
    if live is None:
        return {}
    encoded = (live.get("metadata") or {}).get("managedFields")
    managers = decode(encoded)
    if managers is None:
        raise unclassified("failed to decode managed fields")
    if not managers:
        return decode(track(None, live, node, BEFORE_APPLY, api_version=api_version, now=now, has_status=has_status)) or {}
    return managers


# --- conflicts ------------------------------------------------------------------------------------------------------------------


def _conflict(conflicts: list[tuple[Entry, FieldSet]]) -> ApiError:
    named = [(_name(entry), [fieldset.path_text(path) for path in fieldset.paths(fields)]) for entry, fields in conflicts]
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {name}", "field": path}
        for name, paths in named
        for path in paths
    ]
    if len(causes) == 1:
        return apply_conflict(causes, f"Apply failed with 1 conflict: conflict with {named[0][0]}: {named[0][1][0]}")
    lines = [line for name, paths in named for line in (f"conflicts with {name}:", *(f"- {path}" for path in paths))]
    return apply_conflict(causes, f"Apply failed with {len(causes)} conflicts: " + "\n".join(lines))


def _name(entry: Entry) -> str:
    name = quote(entry.manager)
    if entry.subresource:
        name += f" with subresource {quote(entry.subresource)}"
    return f"{name} using {entry.api_version}" if entry.operation == "Update" else name


# --- objects that were applied by kubectl on the client side --------------------------------------------------------------------


def _less_client_side(
    conflicts: list[tuple[Entry, FieldSet]], live: Obj, shape: Shape, api_version: str
) -> list[tuple[Entry, FieldSet]]:
    """The conflicts without fields that still are as a client-side ``kubectl apply`` left them: kubectl may take those over."""
    allowed = _client_side_fields(live, shape, api_version)
    less = ((entry, difference(fields, allowed)) for entry, fields in conflicts)
    return [(entry, fields) for entry, fields in less if fields]


def _client_side_fields(live: Obj, shape: Shape, api_version: str) -> FieldSet:
    text = ((live.get("metadata") or {}).get("annotations") or {}).get(LAST_APPLIED)
    try:
        last = json.loads(text or "null")
    except ValueError:
        return {}
    if not isinstance(last, dict) or last.get("apiVersion") != api_version or problems(last, shape):
        return {}
    comparison = compare(last, live, shape)
    return difference(difference(to_set(last, shape), comparison.changed), comparison.removed)


def _with_last_applied(annotations: Obj, applied: Obj) -> Obj:
    """The annotations with the client-side one brought up to date, or without it where it would be too large."""
    copy: Obj = json.loads(json.dumps(applied))
    ((copy.get("metadata") or {}).get("annotations") or {}).pop(LAST_APPLIED, None)
    updated = {**annotations, LAST_APPLIED: to_json(_sorted(copy)) + "\n"}
    if sum(len(name.encode()) + len(value.encode()) for name, value in updated.items()) > _MAX_ANNOTATIONS:
        del updated[LAST_APPLIED]
    return updated


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value
