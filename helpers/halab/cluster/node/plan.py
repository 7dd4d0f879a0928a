"""What to do next for a pod, decided from its specification and its containers' states alone (kubelet's computePodActions)."""

from __future__ import annotations

from dataclasses import dataclass, field

from halab.cluster.kube.types import Obj

from .records import PodRecord, Probe, Record, Role, specs_of


@dataclass(frozen=True, slots=True)
class Kill:
    """``message`` is the text of the Killing event, ``cause`` what wants it (liveness, startup, resize) or empty."""

    name: str
    message: str
    cause: str = ""


@dataclass(slots=True)
class Actions:
    """``kill_pod``: end everything that runs, the pod is done. Otherwise kill, then start in this order."""

    kill_pod: bool = False
    kill: list[Kill] = field(default_factory=list)
    ephemeral: list[str] = field(default_factory=list)
    init: list[str] = field(default_factory=list)
    main: list[str] = field(default_factory=list)

    @property
    def nothing(self) -> bool:
        return not (self.kill_pod or self.kill or self.ephemeral or self.init or self.main)


def should_restart(pod: Obj, record: Record) -> bool:
    """May this container, which is not running, be started (again)?"""
    if record.run is None:
        return True
    if record.run.state != "exited" or pod["metadata"].get("deletionTimestamp") or record.role is Role.EPHEMERAL:
        return False
    if record.role is Role.SIDECAR:
        return True
    policy = pod["spec"].get("restartPolicy", "Always")
    if record.role is Role.INIT:
        return record.run.exit_code != 0 and policy != "Never"
    return policy == "Always" or (policy == "OnFailure" and record.run.exit_code != 0)


def _unfit(record: Record, image: str) -> tuple[str, str, bool]:
    """Why a running container must be ended: (message, probe, whatever the restart policy says), or empty texts."""
    assert record.run is not None
    if record.run.spec_image != image:
        return f"Container {record.name} definition changed", "", True
    if record.run.must_restart:
        return f"Container {record.name} resize requires restart", "resize", True
    if record.liveness is Probe.FAILURE and record.startup in (None, Probe.SUCCESS):
        return f"Container {record.name} failed liveness probe", "liveness", False
    if record.startup is Probe.FAILURE:
        return f"Container {record.name} failed startup probe", "startup", False
    return "", "", False


def _plan_init(pod: Obj, record: PodRecord, images: dict[str, str], actions: Actions) -> bool:
    """Plans the init containers; True when the main containers may run."""
    inits = record.of(Role.INIT, Role.SIDECAR)
    initialized = any(main.run is not None for main in record.of(Role.MAIN))
    reached = max((index for index, init in enumerate(inits) if init.run is not None), default=-1)
    for index, init in enumerate(inits):
        if not initialized and index > reached:
            break
        if init.role is Role.SIDECAR:
            if init.running:
                message, cause, _ = _unfit(init, images[init.name])
                if message:
                    suffix = "" if cause == "resize" else ", will be restarted"
                    actions.kill.append(Kill(init.name, f"{message}{suffix}", cause))
                    actions.init.append(init.name)
            elif init.run is None or init.exited:
                actions.init.append(init.name)
    if initialized:
        return True
    if reached < 0:
        if inits:
            actions.init.append(inits[0].name)
        return not inits
    latest = inits[reached]
    if latest.role is Role.SIDECAR:
        if not latest.started or any(kill.name == latest.name for kill in actions.kill):
            return False
    elif not latest.exited:
        return False
    elif latest.run is not None and latest.run.exit_code != 0:
        if pod["spec"].get("restartPolicy", "Always") == "Never":
            actions.kill_pod = True
        else:
            actions.init.append(latest.name)
        return False
    if reached + 1 < len(inits):
        actions.init.append(inits[reached + 1].name)
        return False
    return True


def plan(pod: Obj, record: PodRecord) -> Actions:
    """The next actions for a pod that is neither deleted nor finished."""
    actions = Actions()
    images = {name: container.get("image", "") for name, container in specs_of(pod).items()}
    restarts = pod["spec"].get("restartPolicy", "Always") != "Never"
    for ephemeral in record.of(Role.EPHEMERAL):
        if ephemeral.run is None and ephemeral.waiting is None:
            actions.ephemeral.append(ephemeral.name)
    if not _plan_init(pod, record, images, actions):
        return actions
    kept = 0
    for main in record.of(Role.MAIN):
        if not main.running:
            if should_restart(pod, main):
                actions.main.append(main.name)
            continue
        message, cause, always = _unfit(main, images[main.name])
        if not message:
            kept += 1
            continue
        if restarts or always:
            if cause != "resize":
                message += ", will be restarted"
            actions.main.append(main.name)
        actions.kill.append(Kill(main.name, message, cause))
    if kept == 0 and not actions.main:
        actions.kill_pod = True
        actions.init, actions.kill = [], []
    return actions
