"""The status of a pod as kubelet reports it: pure functions from a pod and its records to ``status``.

The rules are kubelet's own (pkg/kubelet: convertToAPIContainerStatuses, getPhase; pkg/kubelet/status: generate.go), told in the order in
which they matter. What is subtle is noted where it is decided.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from halab.cluster.client.clock import rfc3339
from halab.cluster.kube.types import Obj

from .plan import should_restart
from .records import PodRecord, Record, Role, Run, specs_of

LOST_CODE = 137
LOST_MESSAGE = "The container could not be located when the pod was terminated"
RESIZE_CONDITIONS = ("PodResizePending", "PodResizeInProgress")  # there only while they are true
OWN_CONDITIONS = (*RESIZE_CONDITIONS, "PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")


def _terminated(run: Run) -> Obj:
    state: Obj = {"exitCode": run.exit_code}
    if run.reason:
        state["reason"] = run.reason
    if run.message:
        state["message"] = run.message
    state["startedAt"] = rfc3339(run.started)
    state["finishedAt"] = rfc3339(run.finished)
    state["containerID"] = run.id
    return {"terminated": state}


def _state(run: Run) -> Obj:
    if run.state == "running":
        return {"running": {"startedAt": rfc3339(run.started)}}
    if run.state == "exited":
        return _terminated(run)
    return {"waiting": {}}


def _mounts(container: Obj) -> list[Obj]:
    found = []
    for mount in container.get("volumeMounts") or ():
        entry = {"name": mount["name"], "mountPath": mount["mountPath"]}
        if mount.get("readOnly"):
            entry |= {"readOnly": True, "recursiveReadOnly": "Disabled"}
        found.append(entry)
    return found


def _may_wait(pod: Obj, record: Record) -> bool:
    """Whether a container that does not run can be said to wait for its next start.

    Kubelet judges sidecars by the pod's restart policy here, though it restarts them whatever that says; and no init container that ended
    well is ever said to wait.
    """
    ended = record.run if record.role is Role.SIDECAR and record.exited else None
    if ended is not None and (ended.exit_code == 0 or pod["spec"].get("restartPolicy", "Always") == "Never"):
        return False
    return should_restart(pod, record)


def container_status(pod: Obj, container: Obj, record: Record, *, has_init: bool) -> Obj:
    """One entry of containerStatuses."""
    status: Obj = {
        "name": record.name,
        "state": {"waiting": {"reason": "PodInitializing" if has_init else "ContainerCreating"}},
        "lastState": {},
        "ready": False,
        "restartCount": 0,
        "image": container.get("image", ""),
        "imageID": "",
    }
    run = record.run
    if run is not None:
        status["state"] = _state(run)
        # A container that has ended for good keeps one dead run: itself (kubelet removes the older one).
        if record.last is not None and (run.state != "exited" or _may_wait(pod, record)):
            status["lastState"] = _terminated(record.last)
        status["restartCount"] = run.attempt
        status["image"], status["imageID"] = run.image, run.image_id
        status["containerID"] = run.id
    if record.waiting is not None and not record.running and _may_wait(pod, record):
        # A container that could not be started (again) waits; what it last did moves to lastState.
        if run is not None and run.state == "exited":
            status["lastState"] = _terminated(run)
        reason, message = record.waiting
        status["state"] = {"waiting": {"reason": reason} | ({"message": message} if message else {})}
    if record.role is not Role.EPHEMERAL:
        status["ready"], status["started"] = record.ready, record.running if record.role is Role.INIT else record.started
        if run is not None:
            status["resources"] = run.resources or _resources(container)
    if mounts := _mounts(container):
        status["volumeMounts"] = mounts
    if run is not None and run.user is not None and run.state == "running":
        status["user"] = run.user
    return status


def _resources(container: Obj) -> Obj:
    resources = container.get("resources") or {}
    return {key: resources[key] for key in ("limits", "requests") if resources.get(key)}


def phase(pod: Obj, record: PodRecord, statuses: dict[str, Obj], *, terminal: bool) -> str:
    """Pending, Running, Succeeded or Failed. ``terminal``: every container has ended for good, whatever the restart policy says."""
    policy = pod["spec"].get("restartPolicy", "Always")
    pending_init = pending_sidecars = failed_init = 0
    unknown = running = waiting = stopped = succeeded = 0
    for init in record.of(Role.INIT, Role.SIDECAR):
        status = statuses[init.name]
        state, last = status["state"], status["lastState"]
        if init.role is Role.SIDECAR:
            if "running" in state:
                running += 1
                pending_sidecars += not status["started"]
            elif "terminated" not in state and "terminated" not in last:
                pending_sidecars += 1
        elif "terminated" in state:
            failed_init += state["terminated"]["exitCode"] != 0
        elif "running" not in state and "terminated" in last:
            failed_init += last["terminated"]["exitCode"] != 0
        else:
            pending_init += 1
    for main in record.of(Role.MAIN):
        state, last = statuses[main.name]["state"], statuses[main.name]["lastState"]
        if "running" in state:
            running += 1
        elif "terminated" in state:
            stopped += 1
            succeeded += state["terminated"]["exitCode"] == 0
        elif "terminated" in last:
            stopped += 1
        else:
            waiting += 1
    if failed_init and policy == "Never":
        return "Failed"
    begun = any(main.run is not None and main.run.started for main in record.of(Role.MAIN))
    if pending_init or (pending_sidecars and not begun):
        return "Pending"
    if waiting:
        return "Pending"
    if running and not unknown:
        return "Running"
    if stopped and not unknown:
        if terminal:
            return "Succeeded" if stopped == succeeded else "Failed"
        if policy == "Always":
            return "Running"
        if stopped == succeeded:
            return "Succeeded"
        return "Failed" if policy == "Never" else "Running"
    return "Pending"


def _listed(names: list[str]) -> str:
    return f"[{' '.join(names)}]"


def _condition(kind: str, ok: bool, generation: int, reason: str = "", message: str = "") -> Obj:
    found: Obj = {"type": kind, "status": "True" if ok else "False", "lastProbeTime": None}
    if reason:
        found["reason"] = reason
    if message:
        found["message"] = message
    if generation:
        found["observedGeneration"] = generation
    return found


def _initialized(record: PodRecord, statuses: dict[str, Obj], pod_phase: str, generation: int) -> Obj:
    incomplete = []
    for init in record.of(Role.INIT, Role.SIDECAR):
        status = statuses[init.name]
        if not (status.get("started") if init.role is Role.SIDECAR else status["ready"]):
            incomplete.append(init.name)
    if pod_phase == "Succeeded":
        return _condition("Initialized", True, generation, "PodCompleted")
    begun = any(main.run is not None and main.run.started for main in record.of(Role.MAIN))
    if incomplete and not begun:
        return _condition(
            "Initialized",
            False,
            generation,
            "ContainersNotInitialized",
            f"containers with incomplete status: {_listed(incomplete)}",
        )
    return _condition("Initialized", True, generation)


def _containers_ready(record: PodRecord, statuses: dict[str, Obj], pod_phase: str, generation: int) -> Obj:
    if pod_phase in ("Succeeded", "Failed"):
        return _condition("ContainersReady", False, generation, "PodCompleted" if pod_phase == "Succeeded" else "PodFailed")
    unready = [item.name for item in record.of(Role.SIDECAR, Role.MAIN) if not statuses[item.name]["ready"]]
    if unready:
        return _condition(
            "ContainersReady", False, generation, "ContainersNotReady", f"containers with unready status: {_listed(unready)}"
        )
    return _condition("ContainersReady", True, generation)


def _ready(pod: Obj, containers_ready: Obj, generation: int) -> Obj:
    if containers_ready["status"] != "True":
        return {**containers_ready, "type": "Ready"}
    present = {item["type"]: item for item in (pod.get("status") or {}).get("conditions") or ()}
    messages = []
    for gate in pod["spec"].get("readinessGates") or ():
        kind = gate["conditionType"]
        if kind not in present:
            messages.append(f'corresponding condition of pod readiness gate "{kind}" does not exist.')
        elif present[kind].get("status") != "True":
            messages.append(f'the status of pod readiness gate "{kind}" is not "True", but {present[kind].get("status")}')
    if messages:
        return _condition("Ready", False, generation, "ReadinessGatesNotReady", ", ".join(messages))
    return _condition("Ready", True, generation)


def pod_status(
    pod: Obj,
    record: PodRecord,
    host_address: str,
    *,
    terminal: bool = False,
    verdict: tuple[str, str] | None = None,
    resize: Iterable[Obj] = (),
) -> Obj:
    """The whole status. ``resize`` are the conditions of a change of resources. ``verdict`` is (reason, message) of a pod that the agent itself declared failed (deadline, eviction, rejection)."""
    specs = specs_of(pod)
    has_init = bool(record.of(Role.INIT, Role.SIDECAR))
    statuses = {name: container_status(pod, specs[name], item, has_init=has_init) for name, item in record.containers.items()}
    generation = int(pod["metadata"].get("generation") or 0)
    found = phase(pod, record, statuses, terminal=terminal)
    before = (pod.get("status") or {}).get("phase")
    if verdict is not None or before == "Failed":
        found = "Failed"
    elif before == "Succeeded":
        found = "Succeeded"
    containers_ready = _containers_ready(record, statuses, found, generation)
    status: Obj = {
        "observedGeneration": generation,
        "phase": found,
        "conditions": [
            *resize,
            _condition("PodReadyToStartContainers", record.sandbox_ready, generation),
            _initialized(record, statuses, found, generation),
            _ready(pod, containers_ready, generation),
            containers_ready,
            _condition("PodScheduled", True, generation),
        ],
        "hostIP": host_address,
        "hostIPs": [{"ip": host_address}],
        "startTime": record.start_time,
    }
    if not generation:
        del status["observedGeneration"]
    if record.address:
        status |= {"podIP": record.address, "podIPs": [{"ip": record.address}]}
    if init := [statuses[item.name] for item in record.of(Role.INIT, Role.SIDECAR)]:
        status["initContainerStatuses"] = init
    status["containerStatuses"] = sorted(
        (statuses[item.name] for item in record.of(Role.MAIN)), key=lambda item: str(item["name"])
    )
    if ephemeral := [statuses[item.name] for item in record.of(Role.EPHEMERAL)]:
        status["ephemeralContainerStatuses"] = sorted(ephemeral, key=lambda item: str(item["name"]))
    if verdict is not None:
        status["reason"], status["message"] = verdict
    if quality := (pod.get("status") or {}).get("qosClass"):
        status["qosClass"] = quality
    return status


def _evidence(status: Obj) -> bool:
    """Whether a container has ever run or ended."""
    return "waiting" not in status["state"] or "terminated" in (status.get("lastState") or {})


def _has_initialized(pod: Obj, status: Obj) -> bool:
    if not pod["spec"].get("initContainers") or any(_evidence(each) for each in status["containerStatuses"]):
        return True
    last, spec = status["initContainerStatuses"][-1], pod["spec"]["initContainers"][-1]
    if spec.get("restartPolicy") == "Always":
        return bool(last.get("started"))
    ends = (last["state"].get("terminated"), (last.get("lastState") or {}).get("terminated"))
    return any(end is not None and end["exitCode"] == 0 for end in ends)


def terminated(pod: Obj, status: Obj) -> Obj:
    """``status`` of a pod of which nothing runs any more and nothing will: every container that may have begun has ended, and so has the
    pod (kubelet: status manager, TerminatePod)."""
    inits = status.get("initContainerStatuses") or []
    begun = max((index for index, each in enumerate(inits) if _evidence(each)), default=0)
    lost = list(inits[: begun + 1])
    if _has_initialized(pod, status):
        lost += status["containerStatuses"]
    for each in lost:
        if "terminated" not in each["state"]:
            each["state"] = {"terminated": {"exitCode": LOST_CODE, "reason": "ContainerStatusUnknown", "message": LOST_MESSAGE}}
            each["state"]["terminated"] |= {"startedAt": None, "finishedAt": None}
    if status["phase"] not in ("Succeeded", "Failed"):
        status["phase"] = "Failed"
    return status


def with_transition_times(status: Obj, before: Obj | None, now: str) -> Obj:
    """Each condition keeps its lastTransitionTime for as long as its status is the same."""
    old: dict[str, Any] = {item["type"]: item for item in (before or {}).get("conditions") or ()}
    for item in status["conditions"]:
        known = old.get(item["type"])
        same = known is not None and known.get("status") == item["status"] and known.get("lastTransitionTime")
        item["lastTransitionTime"] = known["lastTransitionTime"] if same and known is not None else now
    return status
