"""``scale``: the number of replicas of anything that has one, as a Scale object (https://kubernetes.io/docs/concepts/workloads/autoscaling/).

A change of the Scale is a change of its owner: it goes through the owner's update path, so generation, validation and quotas are its own.
"""

from __future__ import annotations

from typing import Any

from halab.cluster.apiserver import objects, patches, render, writes
from halab.cluster.apiserver.context import Context
from halab.cluster.apiserver.options import WriteOptions, write_options
from halab.cluster.apiserver.request import Request
from halab.cluster.kube import kinds, managed_fields_scale, status
from halab.cluster.kube.kinds import Kind
from halab.cluster.kube.schema import node_for
from halab.cluster.kube.selectors import from_label_selector, from_labels
from halab.cluster.store.cache import Entry
from halab.cluster.store.store import Transaction

Obj = dict[str, Any]


def _at(obj: Obj, path: str) -> Any:
    value: Any = obj
    for part in path.strip(".").split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _set(obj: Obj, path: str, value: Any) -> None:
    *parents, last = path.strip(".").split(".")
    for part in parents:
        obj = obj.setdefault(part, {})
    obj[last] = value


class Paths:
    """Where a kind keeps its replicas; custom resources say it in their definition."""

    def __init__(self, context: Context, kind: Kind) -> None:
        own = context.scale_paths(kind)
        self.spec = own.get("specReplicasPath", ".spec.replicas")
        self.status = own.get("statusReplicasPath", ".status.replicas")
        self.selector = own.get("labelSelectorPath", "")
        self.fields = tuple(f"f:{part}" for part in self.spec.strip(".").split("."))

    def to_scale(self, kind: Kind, obj: Obj) -> Obj:
        meta = obj["metadata"]
        kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
        scale: Obj = {
            "kind": "Scale",
            "apiVersion": "autoscaling/v1",
            "metadata": {key: meta[key] for key in kept if key in meta},
        }
        managers = managed_fields_scale.to_scale(meta.get("managedFields"), self.fields)
        if managers:
            scale["metadata"]["managedFields"] = managers
        replicas = _at(obj, self.spec) or 0
        scale["spec"] = {"replicas": replicas} if replicas else {}
        scale["status"] = {"replicas": _at(obj, self.status) or 0}
        selector = self._selector_text(kind, obj)
        if selector:
            scale["status"]["selector"] = selector
        return scale

    def _selector_text(self, kind: Kind, obj: Obj) -> str:
        if kind.custom:
            return str(_at(obj, self.selector) or "") if self.selector else ""
        selector = (obj.get("spec") or {}).get("selector")
        if kind is kinds.REPLICATION_CONTROLLERS:
            return str(from_labels(selector))
        return str(from_label_selector(selector)) if selector is not None else ""


async def get(context: Context, request: Request, kind: Kind) -> None:
    form = render.negotiate(request)
    context.store.sync()
    entry = context.store.get(kind.storage, request.namespace, request.name)
    if entry is None:
        raise status.not_found(kind, request.name)
    await _respond(context, request, kind, form, entry)


async def _respond(context: Context, request: Request, kind: Kind, form: render.Format, entry: Entry) -> None:
    scale = Paths(context, kind).to_scale(kind, entry.obj())
    renderer = context.renderer(kinds.SCALES, form)
    await request.answer(200, *renderer.finish(renderer.one(render.untyped(scale))))


async def update(context: Context, request: Request, kind: Kind) -> None:
    form = render.negotiate(request)
    options = write_options(request, "UpdateOptions")
    await request.read_body()
    given = objects.decode(request, kinds.SCALES, node_for(kinds.SCALES), options)
    objects.check_namespace(kind, given, request.namespace)
    writes.check_name(request, given)

    def work(tx: Transaction) -> Entry:
        return _write(context, request, kind, tx, options, lambda _: given)

    entry = await context.transact(request, work, dry_run=options.dry_run)
    await _respond(context, request, kind, form, entry)


async def patch(context: Context, request: Request, kind: Kind) -> None:
    form = render.negotiate(request)
    kind_of_patch = patches.content_type(request, kinds.SCALES)
    options = write_options(request, "PatchOptions")
    await request.read_body()
    body = patches.parse(request, kind_of_patch, options)

    def change(scale: Obj) -> Obj:
        return patches.apply_patch(context, request, kinds.SCALES, node_for(kinds.SCALES), scale, kind_of_patch, body, options)

    def work(tx: Transaction) -> Entry:
        return _write(context, request, kind, tx, options, change, applied=kind_of_patch == patches.APPLY)

    entry = await context.transact(request, work, dry_run=options.dry_run)
    await _respond(context, request, kind, form, entry)


def _write(
    context: Context,
    request: Request,
    kind: Kind,
    tx: Transaction,
    options: WriteOptions,
    change: writes.Change,
    applied: bool = False,
) -> Entry:
    """Update the owner so that its Scale becomes what ``change`` makes of it."""
    paths = Paths(context, kind)
    current = tx.get(kind.storage, request.namespace, request.name)

    def new_owner(live: Obj) -> Obj:
        before = paths.to_scale(kind, live)
        scale = change(before)
        name = scale["metadata"].get("name")
        if name and name != request.name:
            raise status.bad_request(f"the name of the object ({name}) does not match the name on the URL ({request.name})")
        replicas = (scale.get("spec") or {}).get("replicas") or 0
        if replicas < 0:
            error = status.invalid_value("spec.replicas", replicas, "must be greater than or equal to 0")
            raise status.invalid(kinds.SCALES, request.name, [error])
        if not applied:
            after = scale | {"metadata": scale["metadata"] | {"managedFields": before["metadata"].get("managedFields")}}
            objects.track(kinds.SCALES, node_for(kinds.SCALES), before, after, options.manager, "scale")
            scale = after
        owner = live | {"metadata": dict(live["metadata"]), "spec": dict(live.get("spec") or {})}
        _set(owner, paths.spec, replicas)
        owner["metadata"]["resourceVersion"] = scale["metadata"].get("resourceVersion", "")
        if scale["metadata"].get("uid"):
            owner["metadata"]["uid"] = scale["metadata"]["uid"]
        managers = managed_fields_scale.to_parent(
            live["metadata"].get("managedFields"), scale["metadata"].get("managedFields"), kind.api_version, paths.fields
        )
        if managers:
            owner["metadata"]["managedFields"] = managers
        return owner

    if current is None:
        raise status.not_found(kind, request.name)
    return writes.update_object(
        context, request, kind, tx, current, new_owner, options, tracked=True, conditional=False, subresource=""
    )
