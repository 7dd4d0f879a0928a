"""Finished jobs go ``ttlSecondsAfterFinished`` after their end, with their pods."""

from __future__ import annotations

from halab.cluster.client import Key, seconds_of
from halab.cluster.controllers.base import Controller
from halab.cluster.controllers.job_plan import condition_of
from halab.cluster.kube.kinds import JOBS
from halab.cluster.kube.status import ApiError
from halab.cluster.kube.types import Obj


def time_left(job: Obj, now: float) -> float | None:
    """Seconds until ``job`` is to be removed (0 or less: now), None if it is not to be."""
    ttl = job["spec"].get("ttlSecondsAfterFinished")
    status = job.get("status") or {}
    ended = condition_of(status, "Complete") or condition_of(status, "Failed")
    if ttl is None or ended is None or job["metadata"].get("deletionTimestamp"):
        return None
    return seconds_of(ended.get("lastTransitionTime")) + float(ttl) - now


class TtlController(Controller):
    name = "ttl-after-finished-controller"
    workers = 1

    def setup(self) -> None:
        self.follow(JOBS)

    async def reconcile(self, key: Key) -> None:
        job = self.informers(JOBS).get(*key)
        left = time_left(job, self.now()) if job else None
        if job is None or left is None:
            return
        if left > 0:
            self.queue.add_after(key, left)
            return
        try:
            await self.context.client.delete(JOBS, key[1], key[0], uid=job["metadata"]["uid"], propagation_policy="Foreground")
        except ApiError as exc:
            if exc.code not in (404, 409):
                raise
