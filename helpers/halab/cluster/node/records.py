"""What the agent knows of a pod's containers: their runs, why they wait, how their probes fare. Plain data, no behaviour."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

from halab.cluster.kube.types import Obj

RunState = Literal["created", "running", "exited"]


class Probe(Enum):
    """The standing verdict of a probe (not its last single result)."""

    UNKNOWN = "unknown"
    SUCCESS = "success"
    FAILURE = "failure"


class Role(Enum):
    INIT = "initContainers"
    SIDECAR = "sidecars"  # an init container with restartPolicy Always
    MAIN = "containers"
    EPHEMERAL = "ephemeralContainers"


@dataclass(slots=True)
class Run:
    """One run of a container, from its creation to its end. Times are Unix seconds; ``started`` 0 means that it never ran."""

    id: str
    attempt: int
    image: str
    image_id: str
    spec_image: str  # the image as the pod's specification named it then; another name later restarts the container
    state: RunState = "created"
    created: float = 0.0
    started: float = 0.0
    finished: float = 0.0
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    user: Obj | None = None
    handle: Any = None  # the runtime's container
    resources: Obj = field(default_factory=dict)  # what it really has, see resize.py
    must_restart: bool = False  # it can have other resources only at a start
    hooked: bool = False  # its postStart hook is over


@dataclass(slots=True)
class Record:
    """One container of a pod. ``waiting`` is (reason, message) of the last failure to start it, None when there was none."""

    name: str
    role: Role
    run: Run | None = None
    last: Run | None = None
    waiting: tuple[str, str] | None = None
    startup: Probe | None = None  # None: no such probe
    readiness: Probe | None = None
    liveness: Probe | None = None

    @property
    def running(self) -> bool:
        return self.run is not None and self.run.state == "running"

    @property
    def exited(self) -> bool:
        return self.run is not None and self.run.state == "exited"

    @property
    def started(self) -> bool:
        """Running, and its startup probe (if any) has succeeded."""
        return self.running and self.startup in (None, Probe.SUCCESS)

    @property
    def ready(self) -> bool:
        if self.role is Role.INIT:
            return self.exited and self.run is not None and self.run.exit_code == 0
        if self.role is Role.EPHEMERAL:
            return False
        return self.started and self.readiness in (None, Probe.SUCCESS)


@dataclass(slots=True)
class PodRecord:
    """The containers of one pod in the order of its specification, and its sandbox."""

    containers: dict[str, Record] = field(default_factory=dict)
    address: str = ""
    sandbox_ready: bool = False
    start_time: str = ""

    def of(self, *roles: Role) -> list[Record]:
        return [record for record in self.containers.values() if record.role in roles]


def role_of(section: str, container: Obj) -> Role:
    if section == "initContainers":
        return Role.SIDECAR if container.get("restartPolicy") == "Always" else Role.INIT
    return Role.EPHEMERAL if section == "ephemeralContainers" else Role.MAIN


def specs_of(pod: Obj) -> dict[str, Obj]:
    """Every container of the pod's specification by name: init, main and ephemeral ones."""
    spec = pod["spec"]
    return {
        container["name"]: container
        for section in ("initContainers", "containers", "ephemeralContainers")
        for container in spec.get(section) or ()
    }


def adapt(record: PodRecord, pod: Obj) -> None:
    """Make a Record for each container of the specification that has none yet (ephemeral containers come later)."""
    for section in ("initContainers", "containers", "ephemeralContainers"):
        for container in pod["spec"].get(section) or ():
            if container["name"] not in record.containers:
                made = Record(container["name"], role_of(section, container))
                if made.role in (Role.MAIN, Role.SIDECAR):
                    made.startup = Probe.UNKNOWN if container.get("startupProbe") else None
                    made.readiness = Probe.FAILURE if container.get("readinessProbe") else None
                    made.liveness = Probe.SUCCESS if container.get("livenessProbe") else None
                record.containers[container["name"]] = made


def field_path(record: Record) -> str:
    """Where the container stands in its pod, as the involvedObject of an event says it."""
    section = {Role.SIDECAR: "initContainers"}.get(record.role, record.role.value)
    return f"spec.{section}{{{record.name}}}"
