"""Pods that nobody will end: on nodes that are gone, deleted before they had a node, or finished in great numbers."""

from __future__ import annotations

from halab.cluster.client import Key, rfc3339
from halab.cluster.controllers.base import Controller
from halab.cluster.controllers.pods import is_deleting, is_finished
from halab.cluster.kube.kinds import NODES, PODS
from halab.cluster.kube.status import ApiError
from halab.cluster.kube.types import Obj

QUARANTINE = 10.0  # seconds that a node must be gone (Kubernetes: 40); an agent that registers its node anew keeps its pods
MOST_FINISHED = 12500  # of finished pods are kept, as in Kubernetes


def disruption_condition(pod: Obj, reason: str, message: str) -> list[Obj]:
    """The pod's conditions with DisruptionTarget added."""
    made = {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message, "lastTransitionTime": rfc3339()}
    others = [each for each in (pod.get("status") or {}).get("conditions") or () if each["type"] != made["type"]]
    return [*others, made]


class PodCollector(Controller):
    name = "pod-garbage-collector"
    workers = 2

    def setup(self) -> None:
        self.pods, self.nodes = self.informers(PODS), self.informers(NODES)
        self.pods.add_index("node", lambda pod: (pod["spec"].get("nodeName") or "",))
        self.pods.add_handler(self._pod_changed)
        self.nodes.add_handler(self._node_changed)

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is None:
            return
        key = (new["metadata"]["namespace"], new["metadata"]["name"])
        node = new["spec"].get("nodeName")
        if not node and is_deleting(new):
            self.queue.add(key)
        elif node and (old is None or old["spec"].get("nodeName") != node) and self.nodes.get("", node) is None:
            self.queue.add_after(key, QUARANTINE)
        elif is_finished(new) and not (old and is_finished(old)) and len(self.pods.cache) > MOST_FINISHED:
            self._drop_oldest()

    def _node_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is None and old is not None:
            for pod in self.pods.indexed("node", old["metadata"]["name"]):
                self.queue.add_after((pod["metadata"]["namespace"], pod["metadata"]["name"]), QUARANTINE)

    def _drop_oldest(self) -> None:
        finished = [pod for pod in self.pods.objects() if is_finished(pod)]
        finished.sort(key=lambda pod: pod["metadata"].get("creationTimestamp", ""))
        for pod in finished[: max(0, len(finished) - MOST_FINISHED)]:
            self.queue.add((pod["metadata"]["namespace"], pod["metadata"]["name"]))

    async def reconcile(self, key: Key) -> None:
        pod = self.pods.get(*key)
        if pod is None:
            return
        node = pod["spec"].get("nodeName")
        if not node:
            if is_deleting(pod):
                await self._remove(pod)
            return
        if self.nodes.get("", node) is not None:
            finished = sum(is_finished(each) for each in self.pods.objects()) if is_finished(pod) else 0
            if finished > MOST_FINISHED:
                await self._remove(pod)
            return
        try:  # the cache may be behind
            await self.context.client.get(NODES, node)
        except ApiError as exc:
            if exc.code != 404:
                raise
            if not is_finished(pod):
                conditions = disruption_condition(pod, "DeletionByPodGC", "PodGC: node no longer exists")
                change = {"status": {"phase": "Failed", "conditions": conditions}}
                await self.context.patch(PODS, key[0], key[1], change, subresource="status")
            await self._remove(pod)

    async def _remove(self, pod: Obj) -> None:
        await self.context.delete(PODS, pod, grace_period_seconds=0)
