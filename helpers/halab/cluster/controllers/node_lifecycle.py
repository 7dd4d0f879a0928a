"""Watches over nodes: a silent one becomes Unknown, its pods unready, and taints keep pods off.

A node shows that it lives by renewing its Lease (kube-node-lease) or by posting its status; silence is measured on this process' clock,
from the last change seen. One timer a node, no polling.
"""

from __future__ import annotations

import time

from halab.cluster.client import Key
from halab.cluster.controllers.base import Context, Controller
from halab.cluster.controllers.node_health import (
    GRACE,
    is_down,
    may_evict,
    readiness,
    silent_conditions,
    taints,
    unready_pod_conditions,
)
from halab.cluster.controllers.pods import is_finished
from halab.cluster.kube.kinds import LEASES, NODES, PODS
from halab.cluster.kube.types import Obj

LEASE_NAMESPACE = "kube-node-lease"


class NodeLifecycleController(Controller):
    name = "node-controller"
    workers = 2

    def __init__(self, context: Context) -> None:
        self._heard: dict[str, float] = {}  # node -> when it last showed life (monotonic)
        self._known: set[str] = set()
        super().__init__(context)

    def setup(self) -> None:
        self.nodes, self.leases, self.pods = self.informers(NODES), self.informers(LEASES), self.informers(PODS)
        self.pods.add_index("node", lambda pod: (pod["spec"].get("nodeName") or "",))
        self.nodes.add_handler(self._node_changed)
        self.leases.add_handler(self._lease_changed)
        self.pods.add_handler(self._pod_changed)

    def _lease_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is None or new["metadata"].get("namespace") != LEASE_NAMESPACE:
            return
        if old is None or old["spec"].get("renewTime") != new["spec"].get("renewTime"):
            self._heard[new["metadata"]["name"]] = time.monotonic()

    def _node_changed(self, old: Obj | None, new: Obj | None) -> None:
        name = (new or old or {})["metadata"]["name"]
        if new is None:
            self._heard.pop(name, None)
        elif old is None or _heartbeats(old) != _heartbeats(new):
            self._heard[name] = time.monotonic()
        # Whether pods are driven away from one node depends on how many others are well.
        if old is None or new is None or readiness(old) != readiness(new):
            for node in self.nodes.objects():
                if is_down(node):
                    self.queue.add(("", node["metadata"]["name"]))
        self.queue.add(("", name))

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        """A pod that comes to a lost node (its binding was under way) is unready as well."""
        if new is not None and (node := self.nodes.get("", new["spec"].get("nodeName") or "")) is not None and is_down(node):
            self.queue.add(("", node["metadata"]["name"]))

    def _grace(self, name: str) -> float:
        lease = self.leases.get(LEASE_NAMESPACE, name)
        return float((lease["spec"] if lease else {}).get("leaseDurationSeconds") or GRACE)

    async def reconcile(self, key: Key) -> None:
        name = key[1]
        node = self.nodes.get("", name)
        if node is None:
            if name in self._known:
                self._known.discard(name)
                about = {"kind": "Node", "name": name, "uid": name, "apiVersion": "v1"}
                self.emit(about, "Normal", "RemovingNode", f"Node {name} event: Removing Node {name} from Controller")
            return
        if name not in self._known:
            self._known.add(name)
            self.emit(node, "Normal", "RegisteredNode", f"Node {name} event: Registered Node {name} in Controller")
        left = self._heard.setdefault(name, time.monotonic()) + self._grace(name) - time.monotonic()
        if left > 0:
            self.queue.add_after(key, left + 0.01)
        else:
            node = await self._lost(node)
        if is_down(node):
            await self._mark_pods(node)
        wanted = taints(node, evict=may_evict(self.nodes.objects()), now=self.now())
        if wanted != (node["spec"].get("taints") or []):
            change = {
                "metadata": {"resourceVersion": node["metadata"]["resourceVersion"]},
                "spec": {"taints": wanted or None},
            }
            await self.context.patch(NODES, None, name, change)

    async def _lost(self, node: Obj) -> Obj:
        conditions = silent_conditions(node, self.now())
        status = node.get("status") or {}
        if conditions == (status.get("conditions") or []):
            return node
        was_ready = readiness(node) == "True"
        changed = await self.context.update(NODES, {**node, "status": {**status, "conditions": conditions}}, subresource="status")
        if was_ready:
            name = node["metadata"]["name"]
            self.emit(node, "Normal", "NodeNotReady", f"Node {name} status is now: NodeNotReady")
        return changed

    async def _mark_pods(self, node: Obj) -> None:
        """The pods of a node that is not ready are not ready: services stop sending them traffic."""
        for pod in self.pods.indexed("node", node["metadata"]["name"]):
            if (
                is_finished(pod) or readiness(node) == "False"
            ):  # a node that says itself that it is unready still reports its pods
                continue
            conditions = unready_pod_conditions(pod, self.now())
            if conditions is not None:
                meta = pod["metadata"]
                change = {"metadata": {"uid": meta["uid"]}, "status": {"conditions": conditions}}
                await self.context.patch(PODS, meta["namespace"], meta["name"], change, subresource="status")
                self.emit(pod, "Warning", "NodeNotReady", "Node is not ready")


def _heartbeats(node: Obj) -> list[object]:
    """What changes when the node itself posts its status (and not when others change the node)."""
    return [(each["type"], each.get("lastHeartbeatTime")) for each in (node.get("status") or {}).get("conditions") or ()]
