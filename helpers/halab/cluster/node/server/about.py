"""What kubelet's server tells of its node and pods, to be read only: statistics, metrics, lists of pods, logs' files, health, its settings."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from halab.cluster.kube.types import Obj
from halab.cluster.node.records import specs_of
from halab.cluster.node.registration import MAX_PODS
from halab.cluster.node.stats import summary
from halab.settings import KUBELET_PORT

from . import metrics, node_logs

if TYPE_CHECKING:
    from halab.cluster.node.agent import Agent

Answer = tuple[int, bytes, str]  # status, body, content type; of a 301 the body is the place
TEXT = "text/plain; charset=utf-8"
HEALTHY = frozenset({"healthz/ping", "healthz/log", "healthz/syncloop"})


def _json(body: Obj) -> Answer:
    return 200, json.dumps(body).encode(), "application/json"


def _pods(items: list[Obj]) -> Answer:
    return _json({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})


def running_pods(agent: Agent) -> list[Obj]:
    """Pods as the runtime knows them: names, and the containers that run."""
    found: list[Obj] = []
    for worker in agent.workers.values():
        specs = specs_of(worker.pod)
        names = [record.name for record in worker.record.containers.values() if record.running]
        if names:
            meta = {"name": worker.name, "namespace": worker.namespace, "uid": worker.uid}
            containers = [{"name": name, "image": specs[name].get("image", ""), "resources": {}} for name in names]
            found.append({"metadata": meta, "spec": {"containers": containers}, "status": {}})
    return found


def settings(agent: Agent) -> Obj:
    """Of kubelet's configuration what this agent keeps to."""
    node = agent.node
    return {
        "kind": "KubeletConfiguration",
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "address": node.own_address,
        "port": KUBELET_PORT,
        "clusterDomain": "cluster.local",
        "clusterDNS": [node.config.addresses.dns],
        "maxPods": MAX_PODS,
        "containerLogMaxSize": "10Mi",
        "containerLogMaxFiles": 2,
    }


async def about(agent: Agent, method: str, path: str) -> Answer | None:
    """The answer for a path that is one of these, else None."""
    if method not in ("GET", "HEAD"):
        return None
    name = path.strip("/")
    if name in HEALTHY:
        return 200, b"ok", TEXT
    if name == "logs" or name.startswith("logs/"):
        if path == "/logs":
            return 301, b"/logs/", ""
        return await asyncio.to_thread(node_logs.answer, agent, path.removeprefix("/logs/"))
    first, _, page = name.partition("/")
    if first == "metrics" and page in metrics.PAGES:
        return 200, metrics.PAGES[page](agent).encode(), metrics.CONTENT_TYPE
    match name:
        case "stats/summary":
            return _json(summary(agent))
        case "pods":
            return _pods([worker.pod for worker in agent.workers.values()])
        case "runningpods":
            return _pods(running_pods(agent))
        case "configz":
            return _json({"kubeletconfig": settings(agent)})
    return None
