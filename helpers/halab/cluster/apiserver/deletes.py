"""delete and deletecollection."""

from __future__ import annotations

from halab.cluster.apiserver import render
from halab.cluster.apiserver.context import Context
from halab.cluster.apiserver.request import Request
from halab.cluster.apiserver.selection import selection_of
from halab.cluster.kube import status
from halab.cluster.kube.kinds import Kind
from halab.cluster.store.store import Transaction


async def delete(context: Context, request: Request, kind: Kind) -> None:
    await request.read_body()
    namespace = request.namespace if kind.namespaced else ""

    def work(tx: Transaction) -> str:
        old = tx.get(kind.storage, namespace, request.name)
        if old is None:
            raise status.not_found(kind, request.name)
        obj = old.obj()
        tx.delete(kind.storage, namespace, request.name, obj)
        return str(obj["metadata"]["uid"])

    uid = context.store.transact(work)
    details = {"name": request.name, "kind": kind.plural, "uid": uid}
    if kind.group:
        details["group"] = kind.group
    await request.answer_json(
        200, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
    )


async def delete_collection(context: Context, request: Request, kind: Kind) -> None:
    form = render.negotiate(request)
    await request.read_body()
    selection = selection_of(request, kind)

    def work(tx: Transaction) -> None:
        for entry in selection.filter(list(tx.list(kind.storage, selection.namespace))):
            tx.delete(kind.storage, entry.namespace, entry.name, entry.obj())

    context.store.transact(work)
    renderer = context.renderer(kind, form)
    await request.answer(200, *renderer.finish(renderer.many([], {"resourceVersion": str(context.store.revision)})))
