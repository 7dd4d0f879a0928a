"""delete and deletecollection: grace periods, finalizers, propagation, preconditions.

The rules are those of apiserver's ``rest.BeforeDelete`` and generic registry: an object that may linger (a pod's grace period, a
finalizer, a waiting garbage collector) is marked first; it goes when nothing holds it any more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from halab.cluster.apiserver import convert, render
from halab.cluster.apiserver.admission import chain
from halab.cluster.apiserver.admission.attributes import Attributes, Surroundings
from halab.cluster.apiserver.context import Context
from halab.cluster.apiserver.options import DeleteOptions, delete_options
from halab.cluster.apiserver.reads import check_list_options
from halab.cluster.apiserver.request import Request, User
from halab.cluster.apiserver.selection import selection_of
from halab.cluster.kube import kinds, status
from halab.cluster.kube.kinds import Kind
from halab.cluster.store.cache import Entry
from halab.cluster.store.store import Transaction

Obj = dict[str, Any]
ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"
CLEANUP = "customresourcecleanup.apiextensions.k8s.io"  # held by a definition until its objects are gone

RETURNED = frozenset({
    kinds.PODS, kinds.POD_TEMPLATES, kinds.SERVICES, kinds.SERVICE_ACCOUNTS, kinds.PERSISTENT_VOLUMES, kinds.PERSISTENT_VOLUME_CLAIMS,
    kinds.RESOURCE_QUOTAS, kinds.STORAGE_CLASSES, kinds.CSI_NODES, kinds.CSI_DRIVERS, kinds.VOLUME_ATTACHMENTS,
    kinds.VOLUME_ATTRIBUTES_CLASSES,
})  # fmt: skip
"""Kinds whose deletion answers with the object; the others answer with a Status."""

ORPHANING = frozenset({kinds.JOBS, kinds.REPLICATION_CONTROLLERS})
"""Kinds whose dependents stay unless the client says otherwise, for compatibility."""


@dataclass(slots=True)
class Outcome:
    """``obj`` is the object as it is left, or its last state; ``gone`` whether it is deleted."""

    obj: Obj
    gone: bool


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def delete_object(
    tx: Transaction,
    kind: Kind,
    entry: Entry,
    options: DeleteOptions,
    user: User,
    authorize: bool = True,
    around: Surroundings | None = None,
    request: Request | None = None,
) -> Outcome:
    """Delete one object, or mark it. ``authorize``: admission has its say, with what is ``around`` it; it may warn
    in the answer to ``request``, and webhooks are asked only for one. Raises ApiError."""
    obj = entry.obj()
    _check_preconditions(kind, obj, options)
    if authorize:
        attributes = Attributes(
            "DELETE", kind, entry.namespace, entry.name, user, tx, old=obj, dry_run=options.dry_run, context=around
        )
        if request is not None:
            attributes.warnings, attributes.reviews = request.warnings, request.reviews
        chain.validate_delete(attributes)
    if kind is kinds.NAMESPACES:
        return _delete_namespace(tx, kind, entry, obj, options)
    meta = obj["metadata"]
    if kind is kinds.CUSTOM_RESOURCE_DEFINITIONS and not meta.get("deletionTimestamp"):
        begin_end(obj)
    graceful, pending = _grace(kind, obj, options) if kind is kinds.PODS else (False, False)
    if pending:
        return Outcome(obj, False)
    finalizers = _finalizers(kind, meta, options)
    changes_finalizers = finalizers != (meta.get("finalizers") or [])
    if not graceful and not finalizers and not changes_finalizers:
        tx.delete(kind.storage, entry.namespace, entry.name, obj)
        return Outcome(obj, True)
    if finalizers:
        meta["finalizers"] = finalizers
    else:
        meta.pop("finalizers", None)
    if not graceful:
        if not finalizers:
            tx.delete(kind.storage, entry.namespace, entry.name, obj)
            return Outcome(obj, True)
        _mark(meta)
    if obj != entry.obj():
        tx.put(kind.storage, entry.namespace, entry.name, obj)
    if finalizers or (graceful and meta["deletionGracePeriodSeconds"] > 0):
        return Outcome(obj, False)
    last = entry.obj() | {"metadata": dict(meta)}
    tx.delete(kind.storage, entry.namespace, entry.name, last)
    return Outcome(obj, True)


def begin_end(definition: Obj) -> None:
    """A deleted definition stays until its objects are gone: mark it so, in place."""
    meta = definition["metadata"]
    finalizers = meta.get("finalizers") or []
    if CLEANUP not in finalizers:
        meta["finalizers"] = [*finalizers, CLEANUP]
    state = definition.setdefault("status", {})
    condition = {
        "type": "Terminating",
        "status": "True",
        "lastTransitionTime": _stamp(datetime.now(UTC)),
        "reason": "InstanceDeletionPending",
        "message": "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
    }
    state["conditions"] = [c for c in state.get("conditions") or () if c["type"] != "Terminating"] + [condition]


def _check_preconditions(kind: Kind, obj: Obj, options: DeleteOptions) -> None:
    meta = obj["metadata"]
    detail = ""
    if options.uid and options.uid != meta["uid"]:
        detail = (
            f"the UID in the precondition ({options.uid}) does not match the UID in record ({meta['uid']}). "
            "The object might have been deleted and then recreated"
        )
    elif options.resource_version and options.resource_version != meta["resourceVersion"]:
        detail = (
            f"the ResourceVersion in the precondition ({options.resource_version}) does not match the ResourceVersion in record "
            f"({meta['resourceVersion']}). The object might have been modified"
        )
    if detail:  # Kubernetes names the kind here, not the resource
        resource = f"{kind.kind}.{kind.group}" if kind.group else kind.kind
        raise status.conflict(resource, meta["name"], detail)


def _grace(kind: Kind, pod: Obj, options: DeleteOptions) -> tuple[bool, bool]:
    """(the pod was marked, a deletion is pending already and this one changes nothing). Marks the pod in place."""
    meta, spec = pod["metadata"], pod.get("spec") or {}
    if meta.get("deletionTimestamp"):
        current = meta.get("deletionGracePeriodSeconds")
        if current is None:
            return False, False
        if options.grace is None or max(options.grace, 0) >= current:
            return False, True
        period = options.grace if options.grace >= 0 else 1
        moment = datetime.fromisoformat(meta["deletionTimestamp"]) + timedelta(seconds=period - current)
        meta["deletionTimestamp"], meta["deletionGracePeriodSeconds"] = _stamp(moment), period
        return True, False
    default = spec.get("terminationGracePeriodSeconds") or 0
    period = options.grace if options.grace is not None else default
    if not spec.get("nodeName") or (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        period = 0
    if period < 0:
        period = 1
    meta["deletionTimestamp"] = _stamp(datetime.now(UTC) + timedelta(seconds=period))
    meta["deletionGracePeriodSeconds"] = period
    if meta.get("generation"):
        meta["generation"] += 1
    return True, False


def _mark(meta: Obj) -> None:
    """An object without grace that something holds: deleting since now."""
    if not meta.get("deletionTimestamp"):
        if meta.get("generation"):
            meta["generation"] += 1
        meta["deletionTimestamp"] = _stamp(datetime.now(UTC))
    meta["deletionGracePeriodSeconds"] = 0


def _finalizers(kind: Kind, meta: Obj, options: DeleteOptions) -> list[str]:
    """The finalizers with those that tell the garbage collector what to do, as the options ask."""
    present: list[str] = list(meta.get("finalizers") or [])
    if kind in (kinds.EVENTS, kinds.EVENTS_V1):
        return present
    if options.orphan is not None:
        orphan, foreground = options.orphan, False
    elif options.propagation:
        orphan, foreground = options.propagation == "Orphan", options.propagation == "Foreground"
    elif ORPHAN in present or FOREGROUND in present:
        orphan, foreground = ORPHAN in present, FOREGROUND in present and ORPHAN not in present
    else:
        orphan, foreground = kind in ORPHANING, False
    kept = [name for name in present if name not in (ORPHAN, FOREGROUND)]
    wanted = kept + ([ORPHAN] if orphan else []) + ([FOREGROUND] if foreground else [])
    return present if set(wanted) == set(present) else wanted


def _delete_namespace(tx: Transaction, kind: Kind, entry: Entry, obj: Obj, options: DeleteOptions) -> Outcome:
    """A namespace becomes Terminating; it goes when its controller has taken the ``kubernetes`` finalizer away."""
    meta = obj["metadata"]
    held = (obj.get("spec") or {}).get("finalizers") or meta.get("finalizers")
    if not held and meta.get("deletionTimestamp"):
        tx.delete(kind.storage, "", entry.name, obj)
        return Outcome(obj, True)
    if not meta.get("deletionTimestamp"):
        meta["deletionTimestamp"] = _stamp(datetime.now(UTC))
        obj["status"] = (obj.get("status") or {}) | {"phase": "Terminating"}
        finalizers = _finalizers(kind, meta, options)
        if finalizers:
            meta["finalizers"] = finalizers
        tx.put(kind.storage, "", entry.name, obj)
        if not held and not finalizers:
            tx.delete(kind.storage, "", entry.name, dict(obj))
            return Outcome(obj, True)
    return Outcome(obj, False)


async def delete(context: Context, request: Request, kind: Kind) -> None:
    form = render.negotiate(request)
    await request.read_body()
    options = delete_options(request)
    namespace = request.namespace if kind.namespaced else ""

    def work(tx: Transaction) -> Outcome:
        entry = tx.get(kind.storage, namespace, request.name)
        if entry is None:
            raise status.not_found(kind, request.name)
        return delete_object(tx, kind, entry, options, request.user, around=context, request=request)

    outcome = await context.transact(request, work, dry_run=options.dry_run)
    code = 202 if not outcome.gone and options.orphan is False else 200
    if outcome.gone and kind not in RETURNED:
        details: Obj = {"name": request.name}
        if kind.group:
            details["group"] = kind.group
        details |= {"kind": kind.plural, "uid": outcome.obj["metadata"]["uid"]}
        done = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
        await request.answer_json(code, done)
        return
    renderer = context.renderer(kind, form)
    value = render.untyped(convert.shown(kind, outcome.obj))
    await request.answer(code, *renderer.finish(renderer.one(value)))


async def delete_collection(context: Context, request: Request, kind: Kind) -> None:
    """Deletes what the selectors choose, each as if by itself; answers with the objects that were chosen."""
    form = render.negotiate(request)
    await request.read_body()
    options = delete_options(request)
    check_list_options(request)
    selection = selection_of(request, kind)
    if not kind.namespaced:
        selection.namespace = ""
    context.store.sync()
    chosen = selection.filter(context.store.collection(kind.storage).select(selection.namespace))
    revision = context.store.revision
    for entry in chosen:
        await context.transact(request, _deletion(context, request, kind, entry, options), dry_run=options.dry_run)
    renderer = context.renderer(kind, form)
    await request.answer(200, *renderer.finish(renderer.many(chosen, {"resourceVersion": str(revision)})))


def _deletion(
    context: Context, request: Request, kind: Kind, entry: Entry, options: DeleteOptions
) -> Callable[[Transaction], None]:
    def work(tx: Transaction) -> None:
        current = tx.get(kind.storage, entry.namespace, entry.name)
        if current is not None:
            delete_object(tx, kind, current, options, request.user, around=context, request=request)

    return work
