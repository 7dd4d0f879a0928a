"""From a resource request to its handler."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import orjson

from halab.cluster.apiserver import deletes, metrics, reads, render, reviews, watches, writes
from halab.cluster.apiserver.admission import connecting
from halab.cluster.apiserver.context import Context
from halab.cluster.apiserver.request import Request
from halab.cluster.apiserver.subresources import binding, eviction, proxy, scale, streams, token
from halab.cluster.kube import kinds, status
from halab.cluster.kube.kinds import Kind
from halab.cluster.store.cache import Entry

Handler = Callable[[Context, Request, Kind], Awaitable[None]]

COLLECTION: dict[str, Handler] = {
    "list": reads.list_objects,
    "watch": watches.watch,
    "create": writes.create,
    "deletecollection": deletes.delete_collection,
}
OBJECT: dict[str, Handler] = {
    "get": reads.get,
    "watch": watches.watch,
    "update": writes.update,
    "patch": writes.patch,
    "delete": deletes.delete,
}
SUBRESOURCES: dict[str, dict[str, Handler]] = {
    "scale": {"get": scale.get, "update": scale.update, "patch": scale.patch},
    "binding": {"create": binding.create},
    "eviction": {"create": eviction.create},
    "token": {"create": token.create},
    "log": {"get": streams.log},
    "exec": {"get": streams.execute, "create": streams.execute},
    "attach": {"get": streams.execute, "create": streams.execute},
    "portforward": {"get": streams.port_forward, "create": streams.port_forward},
    "proxy": dict.fromkeys(("get", "create", "update", "patch", "delete", "options"), proxy.proxy),
}
METRICS = frozenset({kinds.NODE_METRICS, kinds.POD_METRICS})


def handler_for(request: Request, kind: Kind) -> Handler:
    """Raises 404 for an unknown subresource and 405 for a verb that there is not."""
    if request.subresource:
        known = kind.subresource(request.subresource)
        if known is None or (request.subpath and request.subresource != "proxy"):
            raise status.path_not_found()
        proxied = request.subresource == "proxy" and request.method == "OPTIONS"  # discovery tells of no verb for it
        if request.verb not in known.verbs and not proxied:
            raise status.method_not_allowed()
        own = SUBRESOURCES.get(request.subresource)
        handler = own.get(request.verb) if own is not None else OBJECT.get(request.verb)
    elif request.verb not in kind.verbs:
        raise status.method_not_allowed()
    elif kind in METRICS:
        handler = metrics.get if request.name else metrics.list_metrics
    elif not kind.stored:
        handler = _unstored(request, kind)
    else:
        handler = (OBJECT if request.name else COLLECTION).get(request.verb)
    if handler is None:
        raise status.method_not_allowed()
    return _connection(handler) if request.subresource in connecting.CONNECTIONS else handler


def _connection(handler: Handler) -> Handler:
    """A connection is admitted before it is made."""

    async def admitted(context: Context, request: Request, kind: Kind) -> None:
        await connecting.connect(context, request, kind)
        await handler(context, request, kind)

    return admitted


def _unstored(request: Request, kind: Kind) -> Handler | None:
    if kind is kinds.BINDINGS and not request.name:
        return binding.create
    if kind is kinds.COMPONENT_STATUSES:
        return _component_status
    return reviews.create if not request.name else None


async def _component_status(context: Context, request: Request, kind: Kind) -> None:
    """Deprecated, but ``kubectl get cs`` still asks."""
    condition = {"type": "Healthy", "status": "True", "message": "ok"}
    found = {
        name: orjson.dumps({"metadata": {"name": name}, "conditions": [condition]})
        for name in ("controller-manager", "scheduler", "etcd-0")
    }
    renderer = context.renderer(kind, render.negotiate(request))
    if not request.name:
        entries = [Entry("", name, 0, value, {}, {}) for name, value in found.items()]
        await request.answer(200, *renderer.finish(renderer.many(entries, {})))
        return
    if request.name not in found:
        raise status.not_found(kind, request.name)
    await request.answer(200, *renderer.finish(renderer.one(found[request.name])))
