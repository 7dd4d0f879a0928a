"""Drives pods away from nodes with NoExecute taints: at once, or when the time that they tolerate is over."""

from __future__ import annotations

from collections.abc import Sequence

from halab.cluster.client import Key
from halab.cluster.controllers.base import Controller
from halab.cluster.controllers.pod_gc import disruption_condition
from halab.cluster.controllers.pods import is_deleting, is_finished
from halab.cluster.kube.kinds import NODES, PODS
from halab.cluster.kube.node_fit import tolerates
from halab.cluster.kube.types import Obj


def no_execute(node: Obj | None) -> list[Obj]:
    return [each for each in ((node or {}).get("spec") or {}).get("taints") or () if each.get("effect") == "NoExecute"]


def stays_for(pod: Obj, taints: Sequence[Obj]) -> float | None:
    """Seconds that ``pod`` may stay under ``taints`` from when they were first seen (0: none), None: as long as it likes.

    The shortest tolerationSeconds of the tolerations that are used counts.
    """
    if not taints:
        return None
    tolerations: list[Obj] = pod["spec"].get("tolerations") or []
    used = []
    for taint in taints:
        matching = [each for each in tolerations if tolerates(each, taint)]
        if not matching:
            return 0.0
        used += matching
    limits = [float(each["tolerationSeconds"]) for each in used if each.get("tolerationSeconds") is not None]
    return max(0.0, min(limits)) if limits else None


class TaintEvictionController(Controller):
    name = "taint-eviction-controller"
    workers = 4

    def setup(self) -> None:
        self.pods, self.nodes = self.informers(PODS), self.informers(NODES)
        self.pods.add_index("node", lambda pod: (pod["spec"].get("nodeName") or "",))
        self.pods.add_handler(self._pod_changed)
        self.nodes.add_handler(self._node_changed)
        self._waiting: dict[Key, float] = {}  # when the time of a pod that will have to go began

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        key = ((new or old or {})["metadata"]["namespace"], (new or old or {})["metadata"]["name"])
        if new is None:
            self._waiting.pop(key, None)
        elif new["spec"].get("nodeName") and (old is None or old["spec"] != new["spec"]):
            self.queue.add(key)

    def _node_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is not None and no_execute(old) != no_execute(new):
            for pod in self.pods.indexed("node", new["metadata"]["name"]):
                self.queue.add((pod["metadata"]["namespace"], pod["metadata"]["name"]))

    async def reconcile(self, key: Key) -> None:
        pod = self.pods.get(*key)
        if pod is None or is_deleting(pod) or is_finished(pod):
            self._waiting.pop(key, None)
            return
        stay = stays_for(pod, no_execute(self.nodes.get("", pod["spec"].get("nodeName") or "")))
        name = f"{key[0]}/{key[1]}"
        if stay is None:
            if self._waiting.pop(key, None) is not None:
                self.emit(pod, "Normal", "TaintManagerEviction", f"Cancelling deletion of Pod {name}")
            return
        if stay and (left := self._waiting.setdefault(key, self.now()) + stay - self.now()) > 0:
            self.queue.add_after(key, left)
            return
        self._waiting.pop(key, None)
        self.emit(pod, "Normal", "TaintManagerEviction", f"Marking for deletion Pod {name}")
        conditions = disruption_condition(pod, "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint")
        change = {"metadata": {"uid": pod["metadata"]["uid"]}, "status": {"conditions": conditions}}
        await self.context.patch(PODS, key[0], key[1], change, subresource="status")
        await self.context.delete(PODS, pod)
