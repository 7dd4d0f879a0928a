"""In-place changes of a running pod's resources: does the node have them, which containers take them as they are, which must start anew.

What the specification says is wished; ``Resizer`` keeps what the node has granted, and each run what it really has. The conditions
PodResizePending and PodResizeInProgress and the events are kubelet's (pkg/kubelet/allocation).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from halab.cluster.kube.quantity import parse
from halab.cluster.kube.types import Obj

from .admission import requests, shown
from .records import PodRecord, Role, specs_of

if TYPE_CHECKING:
    from .worker import PodWorker

RESIZED = ("cpu", "memory")
ROLES = (Role.MAIN, Role.SIDECAR)


def resources_of(container: Obj) -> Obj:
    """``limits`` and ``requests`` of a container, without empty ones."""
    resources = container.get("resources") or {}
    return {key: dict(resources[key]) for key in ("limits", "requests") if resources.get(key)}


def granted_before(pod: Obj) -> dict[str, Obj]:
    """What an agent that ran here earlier had granted, as the pod's status says."""
    status = pod.get("status") or {}
    return {
        each["name"]: resources_of(each)
        for section in ("initContainerStatuses", "containerStatuses")
        for each in status.get(section) or ()
        if each.get("resources")
    }


def with_resources(pod: Obj, granted: dict[str, Obj]) -> Obj:
    """``pod`` with the resources that its containers were granted."""

    def changed(container: Obj) -> Obj:
        return {**container, "resources": granted.get(container["name"], container.get("resources") or {})}

    sections = {
        section: [changed(each) for each in pod["spec"][section]]
        for section in ("initContainers", "containers")
        if pod["spec"].get(section)
    }
    return {**pod, "spec": {**pod["spec"], **sections}}


def must_restart(container: Obj, has: Obj, gets: Obj) -> bool:
    """Whether the container's resizePolicy lets this change happen only at a start."""
    policies = {each["resourceName"]: each.get("restartPolicy") for each in container.get("resizePolicy") or ()}
    return any(
        policies.get(name) == "RestartContainer"
        and any((has.get(part) or {}).get(name) != (gets.get(part) or {}).get(name) for part in ("limits", "requests"))
        for name in RESIZED
    )


def verdict(pod: Obj, others: Iterable[Obj], allocatable: dict[str, str]) -> tuple[str, str] | None:
    """(Infeasible or Deferred, message) if the node has not what ``pod`` now wishes; None if it has."""
    wished = requests(pod)
    for name in ("memory", "cpu"):
        if wished[name] > (capacity := parse(allocatable.get(name, "0"))):
            numbers = f"requested: {shown(name, wished[name])}, capacity: {shown(name, capacity)}"
            return "Infeasible", f"Node didn't have enough capacity: {name}, {numbers}"
    present = [requests(each) for each in others]
    for name in RESIZED:
        used, capacity = sum(each[name] for each in present), parse(allocatable.get(name, "0"))
        if wished[name] + used > capacity:
            numbers = f"requested: {shown(name, wished[name])}, used: {shown(name, used)}, capacity: {shown(name, capacity)}"
            return "Deferred", f"Node didn't have enough resource: {name}, {numbers}"
    return None


class Resizer:
    """Of one pod. ``pending`` is (reason, message) of a wish that is not granted, ``under_way`` the generation that is being carried out."""

    def __init__(self, worker: PodWorker) -> None:
        self.worker = worker
        self.granted = {name: resources_of(each) for name, each in specs_of(worker.pod).items()} | granted_before(worker.pod)
        self.pending: tuple[str, str] | None = None
        self.under_way: int | None = None

    def look(self) -> None:
        """Grant what the specification wishes, if the node has it, and let running containers have it."""
        worker = self.worker
        wished = {name: resources_of(each) for name, each in specs_of(worker.pod).items()}
        if any(wished[name] != self.granted.get(name, wished[name]) for name in wished):
            others = [each for each in worker.node.pods() if each["metadata"]["uid"] != worker.uid]
            refused = verdict(worker.pod, others, worker.node.allocatable)
            if refused is not None:
                self._refuse(refused)
                return
            self.under_way = int(worker.pod["metadata"].get("generation") or 0)
            self.granted = wished
            self._tell("Normal", "ResizeStarted", "started")
        self.granted |= {name: each for name, each in wished.items() if name not in self.granted}
        self.pending = None
        self._apply()

    def _refuse(self, refused: tuple[str, str]) -> None:
        if refused != self.pending:
            self.pending = refused
            self._tell("Warning", f"Resize{refused[0]}", refused[0], error=refused[1])

    def _apply(self) -> None:
        containers = specs_of(self.worker.pod)
        for record in self.worker.record.of(*ROLES):
            run, gets = record.run, self.granted.get(record.name, {})
            if run is None or not record.running or run.resources == gets:
                continue
            run.must_restart = must_restart(containers[record.name], run.resources, gets)
            if not run.must_restart:
                run.handle.resize_limits(gets.get("limits") or {})
                run.resources = gets
        if self.under_way is not None and not waits(self.worker.record, self.granted):
            self.under_way = None
            self._tell("Normal", "ResizeCompleted", "completed")

    def _tell(self, kind: str, reason: str, word: str, *, error: str = "") -> None:
        pod = self.worker.pod
        containers = [
            {"name": each["name"], "resources": resources_of(each)}
            for section in ("initContainers", "containers")
            for each in pod["spec"].get(section) or ()
            if section == "containers" or each.get("restartPolicy") == "Always"
        ]
        told: Obj = {"containers": containers, "generation": int(pod["metadata"].get("generation") or 0)}
        if error:
            told["error"] = error
        self.worker.event(kind, reason, f"Pod resize {word}: {json.dumps(told, separators=(',', ':'))}")

    def conditions(self, generation: int) -> list[Obj]:
        """What the pod's status says of this."""
        made: list[Obj] = []
        if self.pending is not None:
            reason, message = self.pending
            made.append(
                {"type": "PodResizePending", "status": "True", "lastProbeTime": None, "reason": reason, "message": message}
            )
        if self.under_way is not None:
            made.append({"type": "PodResizeInProgress", "status": "True", "lastProbeTime": None})
        for each in made if generation else ():
            each["observedGeneration"] = generation
        return made


def waits(record: PodRecord, granted: dict[str, Obj]) -> bool:
    """Whether a container that runs, or will run again, has not what it was granted."""
    return any(each.run is not None and each.run.resources != granted.get(each.name, {}) for each in record.of(*ROLES))
