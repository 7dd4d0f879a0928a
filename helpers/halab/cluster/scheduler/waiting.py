"""The pods that wait for a node: those to try now, by priority and age, and those that wait for an event."""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, field

from halab.cluster.scheduler.model import PodInfo
from halab.cluster.scheduler.wakeups import Event, wakes


@dataclass(slots=True)
class Waiting:
    """One pod without a node. ``refused_by`` are the plugins that said no at the last attempt."""

    pod: PodInfo
    order: int
    active: bool = True
    held: bool = False  # victims are being deleted, or a cache is being filled, for it
    attempts: int = 0
    refused_by: frozenset[str] = field(default_factory=frozenset)


class Queue:
    def __init__(self) -> None:
        self._all: dict[str, Waiting] = {}
        self._heap: list[tuple[int, int, str]] = []
        self._order = itertools.count()

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, uid: str) -> bool:
        return uid in self._all

    def get(self, uid: str) -> Waiting | None:
        return self._all.get(uid)

    def add(self, pod: PodInfo) -> None:
        """A pod that is new, or that changed so that it is worth another try."""
        entry = self._all.get(pod.uid)
        if entry is None:
            entry = self._all[pod.uid] = Waiting(pod, next(self._order))
        entry.pod = pod
        self.activate(pod.uid)

    def activate(self, uid: str) -> None:
        entry = self._all.get(uid)
        if entry is not None:
            entry.active = True
            if not entry.held:
                heapq.heappush(self._heap, (-entry.pod.priority, entry.order, uid))

    def remove(self, uid: str) -> None:
        self._all.pop(uid, None)

    def pop(self) -> Waiting | None:
        """The next pod to try; it stays in the queue, waiting for events, until ``remove``."""
        while self._heap:
            _, _, uid = heapq.heappop(self._heap)
            entry = self._all.get(uid)
            if entry is not None and entry.active and not entry.held:
                entry.active = False
                entry.attempts += 1
                return entry
        return None

    def hold(self, uid: str) -> None:
        """Do not try this pod until ``release``, whatever happens."""
        if entry := self._all.get(uid):
            entry.held = True

    def release(self, uid: str, *, activate: bool = False) -> None:
        """Try it again if something happened meanwhile, or in any case with ``activate``."""
        if entry := self._all.get(uid):
            entry.held = False
            if entry.active or activate:
                self.activate(uid)

    def happened(self, event: Event) -> bool:
        """Wake the pods that ``event`` may help; whether there was one."""
        woken = [uid for uid, entry in self._all.items() if not entry.active and (entry.held or wakes(event, entry.refused_by))]
        for uid in woken:
            self.activate(uid)
        return bool(woken)

    def pending(self) -> list[PodInfo]:
        return [entry.pod for entry in self._all.values()]
