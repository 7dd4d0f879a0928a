"""create, update and patch: one path for all kinds and for the subresources that speak the object's own kind.

The work of a request runs inside a store transaction: what it reads cannot change before it writes, so a patch never meets a conflict
of its own making. It may run twice (another API server wrote in between), so each run starts from the body again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from halab.cluster.apiserver import convert, names, objects, patches, render
from halab.cluster.apiserver.admission.attributes import Attributes
from halab.cluster.apiserver.context import Context
from halab.cluster.apiserver.options import WriteOptions, write_options
from halab.cluster.apiserver.request import Request
from halab.cluster.kube import kinds, status, validation
from halab.cluster.kube.kinds import Kind
from halab.cluster.store.cache import Entry
from halab.cluster.store.store import Transaction

Obj = dict[str, Any]
GENERATE_TRIES = 8  # how many generated names are tried before "already exists" is said

CREATE_ON_UPDATE = frozenset({
    kinds.SERVICES, kinds.ENDPOINTS, kinds.EVENTS, kinds.EVENTS_V1, kinds.LIMIT_RANGES, kinds.LEASES, kinds.ROLES, kinds.ROLE_BINDINGS,
    kinds.CLUSTER_ROLES, kinds.CLUSTER_ROLE_BINDINGS,
})  # fmt: skip
"""Kinds that a PUT may create, as their registries in Kubernetes say."""

CONDITIONAL_ONLY = frozenset({
    kinds.POD_DISRUPTION_BUDGETS, kinds.LEASES, kinds.CUSTOM_RESOURCE_DEFINITIONS, kinds.API_SERVICES, kinds.VALIDATING_WEBHOOKS,
    kinds.MUTATING_WEBHOOKS, kinds.RUNTIME_CLASSES, kinds.VALIDATING_ADMISSION_POLICIES, kinds.VALIDATING_ADMISSION_POLICY_BINDINGS,
    kinds.SERVICE_CIDRS, kinds.IP_ADDRESSES,
})  # fmt: skip
"""Kinds that cannot be updated without a resourceVersion (custom resources neither)."""


async def respond(context: Context, request: Request, kind: Kind, form: render.Format, code: int, entry: Entry) -> None:
    renderer = context.renderer(kind, form)
    await request.answer(code, *renderer.finish(renderer.one(renderer.value(entry))))


def attributes_of(
    request: Request, kind: Kind, tx: Transaction, operation: str, options: WriteOptions, obj: Obj, old: Obj | None = None
) -> Attributes:
    return Attributes(
        operation,
        kind,
        request.namespace if kind.namespaced or kind is kinds.NAMESPACES else "",
        request.name,
        request.user,
        tx,
        obj,
        old,
        request.subresource,
        options.dry_run,
        request.warnings,
        reviews=request.reviews,
        asked=request.subresource,
    )


def put(tx: Transaction, kind: Kind, obj: Obj) -> Entry:
    """Store an object of the request's version."""
    stored = convert.stored(kind, obj) if convert.converts(kind) else obj
    meta = stored["metadata"]
    return tx.put(kind.storage, meta.get("namespace", "") if kind.namespaced else "", meta["name"], stored)


def load(kind: Kind, entry: Entry) -> Obj:
    """A stored object in the version of ``kind``, with its type."""
    obj = entry.obj()
    return render.typed(kind, convert.shown(kind, obj) if convert.converts(kind) else obj)


# --- create ------------------------------------------------------------------------------------------------------------------------


async def create(context: Context, request: Request, kind: Kind) -> None:
    form = render.negotiate(request)
    options = write_options(request, "CreateOptions")
    await request.read_body()
    first: Obj | None = objects.decode(request, kind, context.node(kind), options)
    if kind is kinds.PODS and first is not None:
        await context.wait_for_account(request.namespace, first)

    def work(tx: Transaction) -> Entry:
        nonlocal first
        obj, first = first or objects.decode(request, kind, context.node(kind), options), None
        return create_object(context, request, kind, tx, obj, options)

    entry = await context.transact(request, work, dry_run=options.dry_run)
    await respond(context, request, kind, form, 201, entry)


def create_object(
    context: Context, request: Request, kind: Kind, tx: Transaction, obj: Obj, options: WriteOptions, tracked: bool = False
) -> Entry:
    """Everything between a decoded object and its row. ``tracked``: an apply has set its managedFields already."""
    namespace = request.namespace if kind.namespaced else ""
    objects.check_namespace(kind, obj, namespace)
    if obj["metadata"].get("resourceVersion"):
        raise status.unclassified("resourceVersion should not be set on objects to be created")
    context.apply_defaults(kind, obj)
    _dedupe_owners(request, obj)
    if not tracked:
        objects.track(kind, context.node(kind), None, obj, options.manager)
    name = obj["metadata"].get("name") or ""
    attributes = attributes_of(request, kind, tx, "CREATE", options, obj)
    attributes.name = name
    context.begin_create(kind, attributes)
    for _ in range(GENERATE_TRIES):
        if name or tx.get(kind.storage, namespace, obj["metadata"].get("name", "")) is None:
            break
        obj["metadata"]["name"] = names.generated_name(obj["metadata"]["generateName"])
    name = obj["metadata"]["name"]
    if tx.get(kind.storage, namespace, name) is not None:
        raise status.already_exists(kind, name)
    _warn(request, kind, obj, None)
    request.name = request.name or name
    return put(tx, kind, obj)


def _warn(request: Request, kind: Kind, new: Obj, old: Obj | None) -> None:
    request.warnings += [warning for warning in validation.warnings_for(kind, new, old) if warning not in request.warnings]


def _dedupe_owners(request: Request, obj: Obj) -> None:
    owners = obj["metadata"].get("ownerReferences")
    if not owners or len(owners) < 2:
        return
    kept: list[Obj] = []
    for owner in owners:
        if owner in kept:
            request.warnings.append(
                ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may reject such "
                f"requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {owner.get('uid', '')}"
            )
        else:
            kept.append(owner)
    obj["metadata"]["ownerReferences"] = kept


# --- update ------------------------------------------------------------------------------------------------------------------------

Change = Callable[[Obj], Obj]


async def update(context: Context, request: Request, kind: Kind) -> None:
    form = render.negotiate(request)
    options = write_options(request, "UpdateOptions")
    await request.read_body()
    node = context.node(kind)
    first: Obj | None = objects.decode(request, kind, node, options)
    created = False

    def work(tx: Transaction) -> Entry:
        nonlocal first, created
        obj, first = first or objects.decode(request, kind, node, options), None
        objects.check_namespace(kind, obj, request.namespace)
        check_name(request, obj)
        obj["metadata"]["name"] = request.name
        current = tx.get(kind.storage, request.namespace if kind.namespaced else "", request.name)
        if current is None and kind in CREATE_ON_UPDATE and not request.subresource:
            created = True
            obj["metadata"].pop("resourceVersion", None)
            return create_object(context, request, kind, tx, obj, options)
        context.apply_defaults(kind, obj)
        return update_object(context, request, kind, tx, current, lambda live: obj, options)

    entry = await context.transact(request, work, dry_run=options.dry_run)
    await respond(context, request, kind, form, 201 if created else 200, entry)


def check_name(request: Request, obj: Obj) -> None:
    name = obj["metadata"].get("name")
    if not name:
        raise status.bad_request(
            f"the name of the object ({request.name} based on URL) was undeterminable: name must be provided"
        )
    if name != request.name:
        raise status.bad_request(f"the name of the object ({name}) does not match the name on the URL ({request.name})")


def update_object(
    context: Context,
    request: Request,
    kind: Kind,
    tx: Transaction,
    current: Entry | None,
    change: Change,
    options: WriteOptions,
    *,
    tracked: bool = False,
    conditional: bool = True,
    subresource: str | None = None,
) -> Entry:
    """Everything between a stored object and its next row. ``change`` makes the new object (decoded, defaulted) from the live one, which it
    must not alter. ``tracked``: managedFields are done. ``conditional``: kinds that demand a resourceVersion get one. ``subresource``: the one whose
    rules hold, if not the request's. Returns the entry of the object as it is after the update (its last one, if the update deletes it)."""
    if current is None:
        raise status.not_found(kind, request.name)
    live = load(kind, current)
    new = change(live)
    check_version(kind, request.name, new, live, current.revision, conditional)
    _dedupe_owners(request, new)
    if not tracked:
        objects.track(kind, context.node(kind), live, new, options.manager, request.subresource)
    attributes = attributes_of(request, kind, tx, "UPDATE", options, new, live)
    if subresource is not None:
        attributes.subresource = subresource
    context.begin_update(kind, attributes)
    meta = new["metadata"]
    meta["resourceVersion"] = live["metadata"]["resourceVersion"]
    if not request.subresource:
        _warn(request, kind, new, live)
    if done_with(kind, new, live):
        tx.delete(kind.storage, current.namespace, current.name, current.obj())
        return Entry(current.namespace, current.name, current.revision, render.untyped(convert.stored(kind, new)), None, None)
    if new == live:
        return current
    return put(tx, kind, new)


def check_version(kind: Kind, name: str, new: Obj, live: Obj, revision: int, conditional: bool = True) -> None:
    """Optimistic concurrency: a resourceVersion must be the current one, a uid must be the object's."""
    version = new["metadata"].get("resourceVersion") or ""
    if not version or version == "0":
        if conditional and (kind in CONDITIONAL_ONLY or kind.custom):
            error = status.invalid_value("metadata.resourceVersion", 0, "must be specified for an update")
            raise status.invalid(kind, name, [error])
    elif version != str(revision):
        if not version.isdigit():
            error = status.invalid_value(
                "metadata.resourceVersion", version, f'strconv.ParseUint: parsing "{version}": invalid syntax'
            )
            raise status.invalid(kind, name, [error])
        raise status.conflict(kind, name)
    uid = new["metadata"].get("uid")
    if uid and uid != live["metadata"]["uid"]:
        raise status.conflict(
            kind, name, f"Precondition failed: UID in precondition: {uid}, UID in object meta: {live['metadata']['uid']}"
        )


def done_with(kind: Kind, new: Obj, live: Obj) -> bool:
    """Whether an update lets go of an object that only its finalizers held."""
    before, after = live["metadata"], new["metadata"]
    if not before.get("deletionTimestamp") or after.get("finalizers"):
        return False
    if kind is kinds.NAMESPACES:
        return not (new.get("spec") or {}).get("finalizers")
    return bool(before.get("deletionGracePeriodSeconds", 0) == 0)


# --- patch -------------------------------------------------------------------------------------------------------------------------


async def patch(context: Context, request: Request, kind: Kind) -> None:
    form = render.negotiate(request)
    content_type = patches.content_type(request, kind)
    options = write_options(request, "PatchOptions")
    await request.read_body()
    body = patches.parse(request, content_type, options)
    node = context.node(kind)
    created = False
    namespace = request.namespace if kind.namespaced else ""

    def change(live: Obj) -> Obj:
        new = patches.apply_patch(context, request, kind, node, live, content_type, body, options)
        objects.check_namespace(kind, new, request.namespace)
        check_name(request, new)
        context.apply_defaults(kind, new)
        return new

    def work(tx: Transaction) -> Entry:
        nonlocal created
        current = tx.get(kind.storage, namespace, request.name)
        if content_type != patches.APPLY:
            return update_object(context, request, kind, tx, current, change, options)
        if current is None:
            if request.subresource:
                raise status.not_found(kind, request.name)
            created = True
            obj = patches.apply_new(context, request, kind, node, body, options)
            check_name(request, obj)
            obj["metadata"]["name"] = request.name
            return create_object(context, request, kind, tx, obj, options, tracked=True)
        return update_object(context, request, kind, tx, current, change, options, tracked=True)

    entry = await context.transact(request, work, dry_run=options.dry_run)
    await respond(context, request, kind, form, 201 if created else 200, entry)
