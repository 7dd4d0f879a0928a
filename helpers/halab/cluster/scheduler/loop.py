"""The scheduling loop: pods that wait, one after the other, each in one step without interruption; what follows is written beside it.

Nothing polls. Informers tell of changes, changes wake pods (``wakeups.py``), and a woken pod is tried in the same turn of the event loop.
Everything that decides is in the pure modules; this one keeps their picture up to date (``cache.py``) and has ``binding.py`` write.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from typing import Any

from halab.cluster.client import Client, EventRecorder, Informer
from halab.cluster.kube.kinds import (
    NAMESPACES,
    NODES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    REPLICA_SETS,
    SERVICES,
    STATEFUL_SETS,
    Kind,
)
from halab.cluster.kube.status import ApiError
from halab.cluster.kube.types import Obj
from halab.cluster.scheduler import preemption, scores
from halab.cluster.scheduler.binding import Writer
from halab.cluster.scheduler.cache import CLAIM_KINDS, VOLUME_KINDS, Cache
from halab.cluster.scheduler.claims import PLUGIN as CLAIMS
from halab.cluster.scheduler.filters import feasible
from halab.cluster.scheduler.model import PodInfo
from halab.cluster.scheduler.status import PREEMPTION_HELPLESS, Unfit, Waits
from halab.cluster.scheduler.volumes import Choice
from halab.cluster.scheduler.waiting import Queue
from halab.cluster.scheduler.wakeups import Event, node_events

log = logging.getLogger(__name__)

NAME = "default-scheduler"
ALWAYS = (PODS, NODES, SERVICES, REPLICA_SETS, STATEFUL_SETS)  # the others are followed from when a pod first needs them
LIVE_PODS = "status.phase!=Succeeded,status.phase!=Failed"
SLICE_SECONDS = 0.01  # after so long a batch lets writes and events in
FIRST_BACKOFF, LAST_BACKOFF = 1.0, 10.0  # after an error of the API server


def slim(obj: Obj) -> Obj:
    """Without what the scheduler never reads: managed fields, and the states of containers."""
    obj["metadata"].pop("managedFields", None)
    if isinstance(status := obj.get("status"), dict):
        for name in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses", "podIPs", "hostIPs"):
            status.pop(name, None)
    return obj


class Scheduler:
    def __init__(self, client: Client, name: str = NAME) -> None:
        self.client, self.name = client, name
        self.events = EventRecorder(client, name, events_v1=True)
        self.writer = Writer(client, self.events)
        self.cache = Cache(self._followed)
        self.queue = Queue()
        self.nominated: dict[str, tuple[str, PodInfo]] = {}  # pod uid -> node
        self._informers: dict[Kind, Informer] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._turn: asyncio.Handle | None = None
        self._claims_changed = asyncio.Event()
        self._started = False

    # Following

    async def run(self) -> None:
        """Until cancelled."""
        for kind in ALWAYS:
            self._follow(kind)
        try:
            await asyncio.gather(*(informer.synced() for informer in self._informers.values()))
            self._started = True
            self._kick()
            await asyncio.get_running_loop().create_future()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*(informer.stop() for informer in self._informers.values()), return_exceptions=True)

    def _followed(self, kind: Kind) -> Informer | None:
        informer = self._informers.get(kind)
        return informer if informer is not None and informer.has_synced else None

    def _follow(self, kind: Kind) -> Informer:
        informer = self._informers.get(kind)
        if informer is None:
            selector = LIVE_PODS if kind is PODS else None
            informer = self._informers[kind] = Informer(self.client, kind, field_selector=selector, transform=slim)
            if kind is PODS:
                informer.add_handler(self._pod_changed)
            elif kind is NODES:
                informer.add_handler(self._node_changed)
            elif kind in VOLUME_KINDS:
                informer.add_handler(self._volume_changed)
            elif kind in CLAIM_KINDS:
                informer.add_handler(self._claim_changed)
            elif kind is NAMESPACES:
                informer.add_handler(self._namespace_changed)
            informer.start()
        return informer

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("scheduling: %r", error, exc_info=error)

    def _happened(self, *events: Event) -> None:
        woken = [self.queue.happened(event) for event in events]
        if any(woken):
            self._kick()

    def _node_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is None:
            assert old is not None
            self.cache.remove_node(old["metadata"]["name"])
        else:
            self.cache.set_node(new)
        self._happened(*node_events(old, new))

    def _volume_changed(self, old: Obj | None, new: Obj | None) -> None:
        obj = new or old
        assert obj is not None
        if obj.get("kind") == "PersistentVolumeClaim":
            self._claims_changed.set()
            self._claims_changed = asyncio.Event()
        self._happened("volume")

    def _claim_changed(self, old: Obj | None, new: Obj | None) -> None:
        self._happened("claim")

    def _namespace_changed(self, old: Obj | None, new: Obj | None) -> None:
        if old is None or new is None or old["metadata"].get("labels") != new["metadata"].get("labels"):
            self._happened("pod-label")

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is None:
            assert old is not None
            uid = old["metadata"]["uid"]
            self.queue.remove(uid)
            self.nominated.pop(uid, None)
            if self.cache.take_away(uid) is not None:
                self._happened("pod-delete")
            return
        uid, node = new["metadata"]["uid"], new["spec"].get("nodeName")
        if node:
            self._assigned(old, new, node)
        elif not self.cache.is_assumed(uid) and new["spec"].get("schedulerName") == self.name:
            self._unassigned(old, new)

    def _assigned(self, old: Obj | None, new: Obj, node: str) -> None:
        uid = new["metadata"]["uid"]
        self.queue.remove(uid)
        self.nominated.pop(uid, None)
        known, assumed = self.cache.placed(uid), self.cache.is_assumed(uid)
        if known is not None and old is not None and _same_wishes(old, new):
            known.pod = new
            if not assumed:
                return
            self.cache.place(known, node)
        else:
            self.cache.place(PodInfo.of(new), node)
        if known is None or assumed:
            self._happened("pod-add")
        else:
            events: list[Event] = []
            if known.labels != (new["metadata"].get("labels") or {}):
                events.append("pod-label")
            if "deletionTimestamp" in new["metadata"] and not known.terminating:
                events.append("pod-label")  # a pod that is going counts no more in topology spread
            if old is not None and old["spec"] != new["spec"]:
                events.append("pod-smaller")
            self._happened(*events)

    def _unassigned(self, old: Obj | None, new: Obj) -> None:
        uid = new["metadata"]["uid"]
        if new["spec"].get("schedulingGates") or "deletionTimestamp" in new["metadata"]:
            self.queue.remove(uid)
            self.nominated.pop(uid, None)
            return
        entry = self.queue.get(uid)
        if entry is not None and old is not None and _same_wishes(old, new):
            entry.pod.pod = new
            if _told_claims(old) != _told_claims(new):
                self._happened("claim")
        else:
            pod = PodInfo.of(new)
            self.queue.add(pod)
            self._kick()
            entry = self.queue.get(uid)
        assert entry is not None
        if node := (new.get("status") or {}).get("nominatedNodeName"):
            self.nominated[uid] = (node, entry.pod)
        elif uid in self.nominated and not entry.held:
            del self.nominated[uid]

    # Trying

    def _kick(self) -> None:
        if self._turn is None and self._started:
            self._turn = asyncio.get_running_loop().call_soon(self._batch)

    def _batch(self) -> None:
        self._turn = None
        deadline = time.monotonic() + SLICE_SECONDS
        while entry := self.queue.pop():
            pod = entry.pod
            try:
                self._try(pod)
            except Waits:
                entry.refused_by = frozenset({CLAIMS})
            except Unfit as unfit:
                entry.refused_by = unfit.plugins
                self._unfit(pod, unfit)
            except Exception:  # one pod that cannot be understood must not stop the others
                log.exception("scheduling %s/%s", pod.namespace, pod.name)
                self._later(pod, entry.attempts)
            if time.monotonic() > deadline:
                self._kick()
                return

    def _nominations(self) -> dict[str, list[PodInfo]]:
        found: dict[str, list[PodInfo]] = {}
        for node, pod in self.nominated.values():
            found.setdefault(node, []).append(pod)
        return found

    def _try(self, pod: PodInfo) -> None:
        absent = [kind for kind in self.cache.needs(pod) if self._followed(kind) is None]
        if absent:
            self.queue.hold(pod.uid)
            self._spawn(self._prepare(pod.uid, absent))
            return
        cycle, nodes = feasible(pod, self.cache.snapshot, self._nominations())
        nominated: str = (pod.pod.get("status") or {}).get("nominatedNodeName") or ""
        chosen = nominated if any(node.name == nominated for node in nodes) else scores.best(cycle, nodes)
        choice = cycle.volumes.choose(self.cache.nodes[chosen]) or Choice()
        self.queue.remove(pod.uid)
        self.nominated.pop(pod.uid, None)
        self.cache.place(pod, chosen, assumed=True)
        for claim, volume in choice.volumes:
            self.cache.promise(volume, claim)
        self._happened("pod-add")
        self._spawn(self._bind(pod, chosen, choice))

    async def _prepare(self, uid: str, kinds: list[Kind]) -> None:
        await asyncio.gather(*(self._follow(kind).synced() for kind in kinds))
        self.queue.release(uid, activate=True)
        self._kick()

    async def _claims(self) -> None:
        await self._claims_changed.wait()

    async def _bind(self, pod: PodInfo, node: str, choice: Choice) -> None:
        try:
            if choice.volumes or choice.provision:
                await self.writer.bind_volumes(pod, node, choice, self.cache.claim, self._claims)
            await self.writer.bind(pod, node)
        except (ApiError, OSError, TimeoutError) as error:
            for _, volume in choice.volumes:
                self.cache.forget_promise(volume["metadata"]["name"])
            if not self.cache.is_assumed(pod.uid):
                return  # gone, or bound after all
            self.cache.take_away(pod.uid)
            self._happened("pod-delete")
            if isinstance(error, ApiError) and error.code == 404:
                return
            message = f"binding rejected: {error}" if isinstance(error, ApiError) else f"binding volumes: {error}"
            log.warning("%s/%s: %s", pod.namespace, pod.name, message)
            self.writer.failed(pod, message)
            await self.writer.report(pod, message, "SchedulerError", None)
            self._later(pod, 1)

    def _later(self, pod: PodInfo, attempts: int) -> None:
        """Try again after a while: what went wrong is no reason that an event could remove."""
        delay = min(FIRST_BACKOFF * 2 ** min(attempts - 1, 8), LAST_BACKOFF)
        asyncio.get_running_loop().call_later(delay, self._again, pod.uid)

    def _again(self, uid: str) -> None:
        informer = self._followed(PODS)
        pod = next((pod for pod in informer.objects() if pod["metadata"]["uid"] == uid), None) if informer else None
        if pod is not None and not pod["spec"].get("nodeName") and not self.cache.is_assumed(uid):
            self._unassigned(None, pod)

    # Not placed

    def _unfit(self, pod: PodInfo, unfit: Unfit) -> None:
        claims = "no new claims to deallocate, "  # what the DynamicResources plugin says before preemption is tried
        snapshot, nominated = self.cache.snapshot, self._nominations()
        if not snapshot.nodes:
            self._refused(pod, unfit.message(), None)
        elif unfit.general is not None and unfit.general.plugin == CLAIMS:
            nodes = unfit.nodes
            helpless = f"0/{nodes} nodes are available: {nodes} {PREEMPTION_HELPLESS}."
            self._refused(pod, unfit.message(f"{claims}preemption: {helpless}"), "")
        elif unfit.general is not None:
            # DynamicResources looks for what it would have noted had it been asked, and stops the attempt with this text.
            self._refused(pod, unfit.message("not found"), None)
        elif reason := preemption.ineligible(pod, snapshot, unfit):
            self._refused(pod, unfit.message(f"{claims}preemption: {reason}"), None)
        else:
            outcome = preemption.preempt(pod, snapshot, unfit, (), nominated)
            if isinstance(outcome, str):
                self.nominated.pop(pod.uid, None)
                self._refused(pod, unfit.message(f"{claims}preemption: {outcome}"), "")
            else:
                self.queue.hold(pod.uid)
                self._spawn(self._preempt(pod, unfit))

    def _refused(self, pod: PodInfo, message: str, nominated: str | None) -> None:
        self.writer.failed(pod, message)
        self._spawn(self.writer.report(pod, message, "Unschedulable", nominated))

    async def _preempt(self, pod: PodInfo, unfit: Unfit) -> None:
        """Choose victims with the budgets in view, promise the pod the node, and delete them."""
        activate = False
        try:
            budgets, _ = await self.client.list(POD_DISRUPTION_BUDGETS)
            outcome = preemption.preempt(pod, self.cache.snapshot, unfit, budgets, self._nominations())
            if isinstance(outcome, str):
                activate = True  # something changed meanwhile
                return
            node = outcome.node
            self.nominated[pod.uid] = (node, pod)
            message = unfit.message()
            self.writer.failed(pod, message)
            await self.writer.report(pod, message, "Unschedulable", node)
            await asyncio.gather(*(self.writer.preempt(victim, pod, node) for victim in outcome.pods))
            await self._unnominate(pod, node)
        except (ApiError, OSError, TimeoutError) as error:
            log.warning("preemption for %s/%s: %s", pod.namespace, pod.name, error)
            self._later(pod, 1)
        finally:
            self.queue.release(pod.uid, activate=activate)
            self._kick()

    async def _unnominate(self, pod: PodInfo, node: str) -> None:
        """Pods of lower priority that were promised this node lose the promise."""
        lower = [
            other
            for place, other in self.nominated.values()
            if place == node and other.priority < pod.priority and other is not pod
        ]
        for other in lower:
            self.nominated.pop(other.uid, None)
            await self.writer.unnominate(other)
            self.queue.activate(other.uid)


def _told_claims(pod: Obj) -> Any:
    return (pod.get("status") or {}).get("resourceClaimStatuses")


def _same_wishes(old: Obj, new: Obj) -> bool:
    """Whether two versions of a pod ask the same of a node (its status may differ)."""
    before, after = old["metadata"], new["metadata"]
    return (
        before.get("labels") == after.get("labels")
        and ("deletionTimestamp" in before) == ("deletionTimestamp" in after)
        and before.get("uid") == after.get("uid")
        and old["spec"] == new["spec"]
    )
