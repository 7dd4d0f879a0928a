"""Pods: how kubectl sums up a pod's state in one word."""

from __future__ import annotations

from datetime import datetime

from halab.cluster.kube.tables.columns import (
    AGE,
    NAME,
    NONE,
    Cells,
    Column,
    Layout,
    age,
    at,
    containers,
    labels_text,
    meta,
    name_of,
    since,
    spec_of,
    status_of,
    text,
    wide,
)
from halab.cluster.kube.types import Obj


class _Summary:
    """The counters and the word that ``printPod`` gathers on its way through the containers."""

    def __init__(self, pod: Obj) -> None:
        spec, status = spec_of(pod), status_of(pod)
        self.pod, self.status = pod, status
        self.ready = self.restarts = 0
        self.last_restart = ""
        self.reason = str(status.get("reason") or status.get("phase") or "")
        conditions = status.get("conditions") or ()
        if any(c.get("type") == "PodScheduled" and c.get("reason") == "SchedulingGated" for c in conditions):
            self.reason = "SchedulingGated"
        self.conditions = {c.get("type"): c.get("status") for c in conditions}
        self.init = {c.get("name"): c for c in spec.get("initContainers") or ()}
        self.total = len(spec.get("containers") or ()) + sum(map(_restartable, self.init.values()))
        self._walk()

    def _walk(self) -> None:
        sidecar_restarts, sidecar_last = 0, ""
        initializing = False
        for index, container in enumerate(self.status.get("initContainerStatuses") or ()):
            self._count(container)
            sidecar = _restartable(self.init.get(container.get("name")) or {})
            if sidecar:
                sidecar_restarts += container.get("restartCount", 0)
                sidecar_last = max(sidecar_last, _restarted(container))
            terminated = at(container, "state", "terminated")
            if terminated is not None and terminated.get("exitCode", 0) == 0:
                continue
            if sidecar and container.get("started"):
                self.ready += bool(container.get("ready"))
                continue
            waiting = at(container, "state", "waiting", "reason", default="")
            if terminated is not None:
                self.reason = f"Init:{_ended(terminated)}"
            elif waiting and waiting != "PodInitializing":
                self.reason = f"Init:{waiting}"
            else:
                self.reason = f"Init:{index}/{len(self.init)}"
            initializing = True
            break
        if not initializing or self.conditions.get("Initialized") == "True":
            self.restarts, self.last_restart = sidecar_restarts, sidecar_last
            self._containers()
        self._deleted()

    def _containers(self) -> None:
        running = False
        for container in reversed(self.status.get("containerStatuses") or ()):
            self._count(container)
            terminated = at(container, "state", "terminated")
            if waiting := at(container, "state", "waiting", "reason", default=""):
                self.reason = waiting
            elif terminated is not None:
                self.reason = _ended(terminated)
            elif container.get("ready") and at(container, "state", "running") is not None:
                running = True
                self.ready += 1
        if self.reason == "Completed" and running:
            self.reason = "Running" if self.conditions.get("Ready") == "True" else "NotReady"

    def _deleted(self) -> None:
        if not meta(self.pod).get("deletionTimestamp"):
            return
        if self.status.get("reason") == "NodeLost":
            self.reason = "Unknown"
        elif self.status.get("phase") not in ("Succeeded", "Failed"):
            self.reason = "Terminating"

    def _count(self, container: Obj) -> None:
        self.restarts += container.get("restartCount", 0)
        self.last_restart = max(self.last_restart, _restarted(container))

    def restarts_text(self, now: datetime) -> str:
        if self.restarts and self.last_restart:
            return f"{self.restarts} ({since(self.last_restart, now)} ago)"
        return str(self.restarts)


def _restartable(container: Obj) -> bool:
    return container.get("restartPolicy") == "Always"


def _restarted(container: Obj) -> str:
    return str(at(container, "lastState", "terminated", "finishedAt", default=""))


def _ended(terminated: Obj) -> str:
    if reason := terminated.get("reason"):
        return str(reason)
    if signal := terminated.get("signal"):
        return f"Signal:{signal}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def pod_cells(pod: Obj, now: datetime) -> Cells:
    summary, spec, status = _Summary(pod), spec_of(pod), status_of(pod)
    addresses = status.get("podIPs") or ()
    gates = spec.get("readinessGates") or ()
    met = sum(summary.conditions.get(gate.get("conditionType")) == "True" for gate in gates)
    return [
        name_of(pod),
        f"{summary.ready}/{summary.total}",
        summary.reason,
        summary.restarts_text(now),
        age(pod, now),
        (addresses[0].get("ip") if addresses else status.get("podIP")) or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        f"{met}/{len(gates)}" if gates else NONE,
    ]


def pod_conditions(pod: Obj) -> list[Obj]:
    """The row's conditions: a client may leave completed pods out."""
    phase = status_of(pod).get("phase")
    message = {"Succeeded": "The pod has completed successfully.", "Failed": "The pod failed."}.get(phase or "")
    return [{"type": "Completed", "status": "True", "reason": phase, "message": message}] if message else []


def _template_cells(obj: Obj, now: datetime) -> Cells:
    names, images = containers(obj.get("template") or {})
    return [name_of(obj), names, images, labels_text(at(obj, "template", "metadata", "labels"))]


LAYOUTS = {
    ("", "Pod"): Layout(
        (
            NAME,
            text("Ready", "The aggregate readiness state of this pod for accepting traffic."),
            text("Status", "The aggregate status of the containers in this pod."),
            text(
                "Restarts",
                "The number of times the containers in this pod have been restarted and when the last container in this pod has restarted.",
            ),
            AGE,
            wide(
                "IP",
                description="podIP address allocated to the pod. Routable at least within the cluster. Empty if not yet allocated.",
            ),
            wide("Node", description="NodeName indicates in which node this pod is scheduled."),
            wide("Nominated Node", description="The node that the pod is nominated to run on after preemption."),
            wide("Readiness Gates", description="How many of the pod's readiness gates are met."),
        ),
        pod_cells,
    ),
    ("", "PodTemplate"): Layout((NAME, Column("Containers"), Column("Images"), Column("Pod Labels")), _template_cells),
}
