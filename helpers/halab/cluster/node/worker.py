"""Drives one pod from its arrival on the node to its end: kubelet's pod worker.

One task a pod. ``sync`` brings the pod closer to its specification and is repeated whenever something happened: the object changed, a
container ended, a probe's verdict changed, a back-off is over. ``terminate`` ends it. What happens inside is in ``ground`` (what the pod stands
on), ``starting`` (one container's start) and ``stopping`` (containers' ends).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from halab.cluster.client import rfc3339
from halab.cluster.kube.kinds import PODS
from halab.cluster.kube.status import ApiError
from halab.cluster.kube.types import Obj

from .ground import Ground
from .node import Node
from .plan import plan
from .probes import Prober
from .projection import Context
from .publish import Publisher
from .records import PodRecord, Record, Role, adapt, field_path, specs_of
from .recover import recover
from .resize import Resizer, with_resources
from .runtime import Exit
from .starting import Starter
from .status import pod_status, terminated
from .stopping import Stopper
from .verdicts import Judge
from .volumes import Volumes

log = logging.getLogger(__name__)

# A deletion takes a moment even if the program ends at once (kubelet's takes a second or two), so that those who wait for the end of a
# pod see it happen; a pod that finalizers keep is given the time to lose them.
LEAST_SECONDS, HELD_SECONDS = 1.0, 1.0
SYNC_RETRY = 10.0  # seconds until a step that failed for a reason of ours is tried again
BACKOFF_EVENTS = 12.0  # how often a waiting container's BackOff event is repeated


class PodWorker:
    """``others`` are the pods that were here before it, with which it must fit on the node. ``finished`` is called once nothing of the pod is left on this node."""

    def __init__(self, node: Node, pod: Obj, others: list[Obj], finished: Callable[[PodWorker], None]) -> None:
        self.node, self.pod, self._finished = node, pod, finished
        meta = pod["metadata"]
        self.uid, self.name, self.namespace = meta["uid"], meta["name"], meta["namespace"]
        self.record = PodRecord(start_time=(pod.get("status") or {}).get("startTime") or rfc3339())
        adapt(self.record, pod)
        self.directory = node.directory / "pods" / self.uid
        self.volumes = Volumes(pod, self.directory, node.client, node)
        self.publisher = Publisher(node.client, pod)
        self.probers: dict[str, Prober] = {}
        self.ground = Ground(self)
        self.starter = Starter(self)
        self.stopper = Stopper(self)
        self.resizer = Resizer(self)
        self.verdict: tuple[str, str] | None = None
        self.removed = False  # the object is gone from the API
        self.restored = recover(pod, self.record)
        self._judge = Judge(None if self.restored else others)
        self._wake = asyncio.Event()
        self._wake.set()
        self._wake_at: float | None = None
        self._ending = asyncio.Event()
        self._ending_since = 0.0
        if meta.get("deletionTimestamp"):
            self.end()
        status = pod.get("status") or {}
        if status.get("phase") == "Failed" and status.get("reason"):
            self.verdict = (status["reason"], status.get("message", ""))
        self.task = asyncio.create_task(self._live(), name=f"pod-{self.namespace}/{self.name}")

    @property
    def active(self) -> bool:
        """Does the pod still hold its share of the node?"""
        return self.verdict is None and (self.pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")

    @property
    def granted(self) -> Obj:
        """The pod with what it has of the node, which may be less than it wishes now."""
        return with_resources(self.pod, self.resizer.granted)

    # What others tell the worker

    def update(self, pod: Obj) -> None:
        """The object changed."""
        old, self.pod = self.pod, pod
        self.volumes.pod = pod
        adapt(self.record, pod)
        if pod["metadata"].get("deletionTimestamp"):
            self.end()
        if old["metadata"].get("labels") != pod["metadata"].get("labels") or old["metadata"].get("annotations") != pod[
            "metadata"
        ].get("annotations"):
            self.ground.stale = True
        self.wake()

    def forget(self) -> None:
        """The object is gone: end without grace."""
        self.removed = True
        self.publisher.gone = True
        self.end()

    def end(self) -> None:
        self.stopper.shorten()
        if not self._ending.is_set():
            self._ending_since = time.monotonic()
        self._ending.set()
        self.wake()

    def wake(self) -> None:
        self._wake.set()

    def wake_in(self, seconds: float) -> None:
        """Sync again after so long at the latest."""
        at = time.monotonic() + seconds
        if self._wake_at is None or at < self._wake_at:
            self._wake_at = at

    def source_changed(self) -> None:
        self.ground.stale = True
        self.wake()

    # Events and status

    def event(self, kind: str, reason: str, message: str, record: Record | None = None) -> None:
        meta = self.pod["metadata"]
        reference: Obj = {
            "kind": "Pod",
            "namespace": self.namespace,
            "name": self.name,
            "uid": self.uid,
            "apiVersion": "v1",
            "resourceVersion": meta.get("resourceVersion", ""),
        }
        if record is not None:
            reference["fieldPath"] = field_path(record)
        self.node.events.event(reference, kind, reason, message)

    def publish(self, *, terminal: bool = False) -> Obj:
        if self._judge.rejected and self.verdict is not None:
            return self._publish_rejection(*self.verdict)
        resize = [] if terminal else self.resizer.conditions(int(self.pod["metadata"].get("generation") or 0))
        status = pod_status(self.pod, self.record, self.node.address, terminal=terminal, verdict=self.verdict, resize=resize)
        if terminal:
            status = terminated(self.pod, status)
        # A pod that has ended is told of once its sandbox is gone too, so that nobody sees it half ended.
        over = status["phase"] in ("Succeeded", "Failed") and self.verdict is None and self.record.sandbox_ready
        if not self.removed and not over:
            self.publisher.put(status)
        return status

    def _publish_rejection(self, reason: str, message: str) -> Obj:
        """Of a pod that never began there is nothing to tell but why."""
        status: Obj = {
            "phase": "Failed",
            "reason": reason,
            "message": message,
            "startTime": self.record.start_time,
            "conditions": [],
        }
        if generation := self.pod["metadata"].get("generation"):
            status["observedGeneration"] = int(generation)
        if not self.removed:
            self.publisher.put(status)
        return status

    @property
    def context(self) -> Context:
        return Context(self.pod, self.record.address, self.node.address, self.node.allocatable)

    @property
    def full_name(self) -> str:
        """As kubelet's messages name a pod."""
        return f"{self.name}_{self.namespace}({self.uid})"

    # Life

    async def _live(self) -> None:
        try:
            done = (self.pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
            while not done and not self._ending.is_set():
                await self._rest()
                if self._ending.is_set():
                    break
                sync = asyncio.create_task(self._sync())
                ending = asyncio.create_task(self._ending.wait())
                await asyncio.wait([sync, ending], return_when=asyncio.FIRST_COMPLETED)
                ending.cancel()
                if not sync.done():
                    sync.cancel()  # a pod that is being deleted does not wait for its postStart hook
                    await asyncio.gather(sync, return_exceptions=True)
                    break
                done = sync.result()
            await self._terminate()
            if not self.pod["metadata"].get("deletionTimestamp") and not self.removed:
                await self._ending.wait()  # the finished pod stays until somebody deletes it
            await self._delete()
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("pod %s", self.full_name)
            self._kill()
        finally:
            self._finished(self)

    async def _rest(self) -> None:
        """Until there is something to do."""
        if not self._wake.is_set():
            timeout = None if self._wake_at is None else max(0.0, self._wake_at - time.monotonic())
            try:
                async with asyncio.timeout(timeout):
                    await self._wake.wait()
            except TimeoutError:
                pass
        if self._wake_at is not None and time.monotonic() >= self._wake_at:
            self._wake_at = None
        self._wake.clear()

    async def _sync(self) -> bool:
        """One step. True when the pod has reached its final phase."""
        try:
            return await self._step()
        except (ApiError, OSError, TimeoutError) as error:
            log.warning("pod %s: %s", self.full_name, error)
            self.wake_in(1.0)
            return False
        except Exception:  # as kubelet does: a step that fails is tried again, it never ends the pod's worker
            log.exception("pod %s", self.full_name)
            self.wake_in(SYNC_RETRY)
            return False

    async def _step(self) -> bool:
        if (verdict := await self._judge.verdict(self)) is not None:
            self.verdict = verdict
            return True
        self.resizer.look()
        status = self.publish()
        if status["phase"] in ("Succeeded", "Failed"):
            return True
        actions = plan(self.pod, self.record)
        if actions.kill_pod:
            if not any(record.running for record in self.record.containers.values()):
                return status["phase"] in ("Succeeded", "Failed")
            await self.stopper.stop_all()
            self.publish()
            self.wake()
            return False
        if not await self.ground.prepare():
            return False
        if actions.kill:
            await asyncio.gather(
                *(self.stopper.stop(self.record.containers[kill.name], kill.message, kill.cause) for kill in actions.kill)
            )
        for name in (*actions.ephemeral, *actions.init, *actions.main):
            await self.starter.start(self.record.containers[name])
        self.publish()
        return False

    # Containers' lives

    def started(self, record: Record) -> None:
        """A container runs: follow its end, probe it."""
        run = record.run
        assert run is not None and run.handle is not None
        run.handle.ended.add_done_callback(lambda future: self._ended(record, run.id, future.result()))
        prober = Prober(
            specs_of(self.pod)[record.name],
            record,
            self.node.target(self.record.address),
            self._verdict_changed,
            lambda kind, reason, message: self.event(kind, reason, message, record),
            lambda kind: self.node.ailments.fails((self.uid, record.name), kind),
        )
        self.probers[record.name] = prober
        if record.role in (Role.MAIN, Role.SIDECAR):
            prober.start()
        self.node.ailments.started((self.uid, record.name), record)

    def _verdict_changed(self) -> None:
        if self._ending.is_set():
            if self.stopper.busy:
                self.publish()
            return
        self.wake()

    def _ended(self, record: Record, run_id: str, end: Exit) -> None:
        run = record.run
        if run is None or run.id != run_id:
            return
        self.starter.note_end(record, run, end)
        if prober := self.probers.pop(record.name, None):
            prober.stop()
        record.waiting = None
        self.wake()

    # The end

    async def _terminate(self) -> None:
        """Nothing runs afterwards, and the status says so."""
        if not self.removed:
            self.publish()
        for prober in self.probers.values():
            prober.stop("startup", "liveness")
        await self.stopper.stop_all()
        for prober in self.probers.values():
            prober.stop()
        await self.ground.clear()
        if self._ending.is_set() and not self.removed:
            await asyncio.sleep(max(0.0, self._ending_since + LEAST_SECONDS - time.monotonic()))
        self.publish(terminal=True)
        await self.publisher.settled()
        await self.ground.give_back()
        self.node.ailments.forget(self.uid)
        self.node.restarts.forget(self.uid)
        self.node.puller.forget(self.uid)

    async def _held(self) -> None:
        """A pod with finalizers cannot go anyway: wait for them a moment, so that the deletion is not asked for too early."""
        try:
            async with asyncio.timeout(HELD_SECONDS):
                while self.pod["metadata"].get("finalizers") and not self.removed:
                    self._wake.clear()
                    await self._wake.wait()
        except TimeoutError:
            pass

    async def _delete(self) -> None:
        """The object goes, then the files (logs are read until the object is gone)."""
        if not self.removed and not self.publisher.gone:
            await self._held()
            delay = 0.1
            while not self.removed:
                try:
                    await self.node.client.delete(PODS, self.name, self.namespace, uid=self.uid, grace_period_seconds=0)
                    break
                except ApiError as error:
                    if error.code in (404, 409):
                        break
                    log.warning("deletion of %s: %s", self.full_name, error)
                except (OSError, TimeoutError) as error:
                    log.debug("deletion of %s: %r", self.full_name, error)
                await asyncio.sleep(delay)
                delay = min(delay * 2, 5.0)
        await self.volumes.tear_down()
        if self.directory.exists():  # containers wrote there as somebody else
            await self.node.runtime.remove(self.directory)

    async def cancel(self) -> None:
        """The agent ends: so do its containers, without ceremony."""
        self.task.cancel()
        self._kill()
        await asyncio.gather(self.task, return_exceptions=True)

    def _kill(self) -> None:
        for record in self.record.containers.values():
            if record.running and record.run is not None:
                record.run.handle.kill()
