"""The agent of one node: follows the pods that are assigned to it and keeps a worker for each."""

from __future__ import annotations

import asyncio
import time

from halab.cluster.client import Informer
from halab.cluster.kube.kinds import PODS
from halab.cluster.kube.types import Obj
from halab.sandbox import remove_tree

from .node import Node
from .worker import PodWorker


class Agent:
    """``workers`` maps a pod's uid to its worker."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.started = time.time()
        self.workers: dict[str, PodWorker] = {}
        node.pods = lambda: [worker.granted for worker in self.workers.values() if worker.active]
        self.pods = Informer(node.client, PODS, field_selector=f"spec.nodeName={node.name}", transform=lambda pod: pod)

    async def start(self) -> None:
        """Once this returns, all pods known to the API have a worker."""
        self.node.services.start()
        await self.node.services.synced()
        self.pods.add_handler(self._changed)
        self.pods.start()
        await self.pods.synced()
        await asyncio.to_thread(self._sweep, set(self.workers))

    def _sweep(self, known: set[str]) -> None:
        """Remove what is left of pods that went away while no agent ran."""
        root = self.node.directory / "pods"
        if root.is_dir():
            for directory in root.iterdir():
                if directory.name not in known:
                    remove_tree(directory)

    def _changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is None:
            if old is not None and (worker := self.workers.get(old["metadata"]["uid"])):
                worker.forget()
            return
        uid = new["metadata"]["uid"]
        worker = self.workers.get(uid)
        if worker is None:
            self.workers[uid] = PodWorker(self.node, new, self.node.pods(), self._finished)
        else:
            worker.update(new)

    def _finished(self, worker: PodWorker) -> None:
        self.workers.pop(worker.uid, None)
        for other in self.workers.values():
            if other.resizer.pending is not None:
                other.wake()  # there is more room now

    def find(self, namespace: str, name: str) -> PodWorker | None:
        """The worker of the pod with this name; of two, the one that is not being deleted."""
        found = [worker for worker in self.workers.values() if worker.namespace == namespace and worker.name == name]
        return min(
            found, key=lambda worker: (worker.removed, bool(worker.pod["metadata"].get("deletionTimestamp"))), default=None
        )

    async def stop(self) -> None:
        """The node goes down, and its containers with it."""
        await self.pods.stop()
        await asyncio.gather(*(worker.cancel() for worker in list(self.workers.values())), return_exceptions=True)
        await self.node.services.stop()
