"""``metrics.k8s.io``: what ``kubectl top`` and the autoscaler read, asked of the node agents (their ``/stats/summary``) when it is wanted."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import orjson

from halab.cluster.apiserver import render
from halab.cluster.apiserver.context import Context
from halab.cluster.apiserver.nodes import Summaries
from halab.cluster.apiserver.request import Request
from halab.cluster.apiserver.selection import Selection, selection_of
from halab.cluster.kube import kinds, status
from halab.cluster.kube.kinds import Kind
from halab.cluster.store.cache import Entry

Obj = dict[str, Any]
WINDOW = "10s"


def _usage(part: Obj) -> Obj | None:
    cpu, memory = part.get("cpu") or {}, part.get("memory") or {}
    if cpu.get("usageNanoCores") is None or memory.get("workingSetBytes") is None:
        return None
    return {"cpu": f"{cpu['usageNanoCores']}n", "memory": f"{memory['workingSetBytes'] // 1024}Ki"}


def _meta(entry: Entry) -> Obj:
    meta: Obj = {"name": entry.name}
    if entry.namespace:
        meta["namespace"] = entry.namespace
    meta["creationTimestamp"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    if entry.labels:
        meta["labels"] = entry.labels
    return meta


def _stamp(part: Obj) -> str:
    return str((part.get("cpu") or {}).get("time") or time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))


async def _node_metrics(summaries: Summaries, entry: Entry) -> Obj | None:
    summary = await summaries.of(entry.name)
    part = (summary or {}).get("node") or {}
    usage = _usage(part)
    return {"metadata": _meta(entry), "timestamp": _stamp(part), "window": WINDOW, "usage": usage} if usage else None


async def _pod_metrics(summaries: Summaries, entry: Entry) -> Obj | None:
    node = (entry.fields or {}).get("spec.nodeName")
    summary = await summaries.of(node) if node else None
    for pod in (summary or {}).get("pods") or ():
        if pod["podRef"]["name"] == entry.name and pod["podRef"]["namespace"] == entry.namespace:
            found = [(container["name"], _usage(container)) for container in pod.get("containers") or ()]
            containers = [{"name": name, "usage": usage} for name, usage in found if usage]
            if not containers or len(containers) != len(found):
                return None
            stamp = _stamp(pod["containers"][0])
            return {"metadata": _meta(entry), "timestamp": stamp, "window": WINDOW, "containers": containers}
    return None


async def _measured(context: Context, kind: Kind, entries: list[Entry]) -> list[Obj]:
    measure = _node_metrics if kind == kinds.NODE_METRICS else _pod_metrics
    found = await asyncio.gather(*(measure(context.summaries, entry) for entry in entries))
    return [item for item in found if item is not None]


def _source(kind: Kind) -> Kind:
    return kinds.NODES if kind == kinds.NODE_METRICS else kinds.PODS


async def get(context: Context, request: Request, kind: Kind) -> None:
    form = render.negotiate(request)
    context.store.sync()
    entry = context.store.get(_source(kind).storage, request.namespace, request.name)
    found = await _measured(context, kind, [entry]) if entry is not None else []
    if not found:
        resource = f"{kind.plural}.metrics.k8s.io"
        raise status.not_found(resource, f"{request.namespace}/{request.name}" if request.namespace else request.name)
    body = render.plain(kind, orjson.dumps(found[0]))
    await request.answer(200, *render.finish(body, form))


async def list_metrics(context: Context, request: Request, kind: Kind) -> None:
    form = render.negotiate(request)
    selection: Selection = selection_of(request, _source(kind))
    context.store.sync()
    entries = selection.filter(context.store.collection(_source(kind).storage).select(selection.namespace))
    items = await _measured(context, kind, entries)
    found = {"kind": kind.list_kind, "apiVersion": kind.api_version, "metadata": {}, "items": items}
    await request.answer(200, *render.finish(orjson.dumps(found), form))
