"""When the agent itself declares a pod failed: it does not fit, it took too long, it fills the disk."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from halab.cluster.client import seconds_of
from halab.cluster.kube.kinds import NODES
from halab.cluster.kube.types import Obj

from .admission import REJECTED, refusal
from .storage import LOOK_SECONDS, excess, limited

if TYPE_CHECKING:
    from .worker import PodWorker

Verdict = tuple[str, str]  # status.reason, status.message
DEADLINE: Verdict = ("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")


class Judge:
    """Asked at every sync of a pod. ``others`` are the pods that were on the node before it; None if it ran here already."""

    def __init__(self, others: list[Obj] | None) -> None:
        self._others = others
        self._storage_look = 0.0
        self.rejected = False

    async def verdict(self, worker: PodWorker) -> Verdict | None:
        """The verdict, after its event; None lets the pod live on."""
        others, self._others = self._others, None
        if others is not None and (refused := await _refused(worker, others)):
            self.rejected = True
            worker.event("Warning", refused[0], refused[1].removeprefix(REJECTED))
            return refused
        if _over_deadline(worker):
            worker.event("Normal", *DEADLINE)
            return DEADLINE
        if (message := await self._over_storage(worker)) is not None:
            worker.event("Warning", "Evicted", message)
            return "Evicted", message
        return None

    async def _over_storage(self, worker: PodWorker) -> str | None:
        if not worker.volumes.paths or not limited(worker.pod):
            return None
        now = time.monotonic()
        if now >= self._storage_look:
            self._storage_look = now + LOOK_SECONDS
            message = await asyncio.to_thread(excess, worker.pod, dict(worker.volumes.paths), worker.directory / "logs")
            if message is not None:
                return message
        worker.wake_in(self._storage_look - now)
        return None


async def _refused(worker: PodWorker, others: list[Obj]) -> Verdict | None:
    spec = worker.pod["spec"]
    node: Obj = {"metadata": {"name": worker.node.name}}
    if spec.get("nodeSelector") or (spec.get("affinity") or {}).get("nodeAffinity") or not _was_scheduled(worker.pod):
        node = await worker.node.client.get(NODES, worker.node.name)
    return refusal(worker.pod, others, worker.node.allocatable, node)


def _was_scheduled(pod: Obj) -> bool:
    """Whether a scheduler chose the node, which has looked at its taints then: asking again for each pod would cost a request."""
    return any(each["type"] == "PodScheduled" for each in (pod.get("status") or {}).get("conditions") or ())


def _over_deadline(worker: PodWorker) -> bool:
    seconds = worker.pod["spec"].get("activeDeadlineSeconds")
    if seconds is None:
        return False
    left = seconds_of(worker.record.start_time) + seconds - time.time()
    if left <= 0:
        return True
    worker.wake_in(left + 0.01)
    return False
