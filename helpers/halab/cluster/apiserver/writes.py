"""create and update."""

from __future__ import annotations

from copy import deepcopy

from halab.cluster.apiserver import objects, render
from halab.cluster.apiserver.context import Context
from halab.cluster.apiserver.request import Request
from halab.cluster.kube import status
from halab.cluster.kube.kinds import Kind
from halab.cluster.store.cache import Entry
from halab.cluster.store.store import Transaction


async def create(context: Context, request: Request, kind: Kind) -> None:
    form = render.negotiate(request)
    await request.read_body()
    body = objects.decode(request, kind)
    namespace = request.namespace if kind.namespaced else ""

    def work(tx: Transaction) -> Entry:
        obj = deepcopy(body)
        if namespace:
            obj["metadata"]["namespace"] = namespace
        objects.begin_metadata(kind, obj)
        name = obj["metadata"]["name"]
        if tx.get(kind.storage, namespace, name) is not None:
            raise status.already_exists(kind, name)
        return tx.put(kind.storage, namespace, name, obj)

    entry = context.store.transact(work)
    renderer = context.renderer(kind, form)
    await request.answer(201, *renderer.finish(renderer.one(renderer.value(entry))))


async def update(context: Context, request: Request, kind: Kind) -> None:
    form = render.negotiate(request)
    await request.read_body()
    body = objects.decode(request, kind)
    namespace = request.namespace if kind.namespaced else ""

    def work(tx: Transaction) -> Entry:
        old = tx.get(kind.storage, namespace, request.name)
        if old is None:
            raise status.not_found(kind, request.name)
        version = body["metadata"].get("resourceVersion")
        if version and version != str(old.revision):
            raise status.conflict(kind, request.name)
        obj = deepcopy(body)
        before = old.obj()
        for key in ("uid", "creationTimestamp", "name", "namespace"):
            if key in before["metadata"]:
                obj["metadata"][key] = before["metadata"][key]
        if request.subresource == "status":
            obj = before | {"status": obj.get("status", {})}
        return tx.put(kind.storage, namespace, request.name, obj)

    entry = context.store.transact(work)
    renderer = context.renderer(kind, form)
    await request.answer(200, *renderer.finish(renderer.one(renderer.value(entry))))
