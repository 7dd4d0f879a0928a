"""May a pod that was assigned to this node run here? The scheduler has asked already; a pod with spec.nodeName of its own has not.

(kubelet: lifecycle.PredicateAdmitHandler; its words)
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from halab.cluster.kube.node_fit import may_stand, untolerated
from halab.cluster.kube.quantity import parse
from halab.cluster.kube.types import Obj

REJECTED = "Pod was rejected: "
OS_LABEL, ANY_ADDRESS = "kubernetes.io/os", "0.0.0.0"
SAFE_SYSCTLS = {"kernel.shm_rmid_forced"} | {
    f"net.ipv4.{name}"
    for name in (
        "ip_local_port_range",
        "ip_local_reserved_ports",
        "ip_unprivileged_port_start",
        "ping_group_range",
        "tcp_fin_timeout",
        "tcp_keepalive_intvl",
        "tcp_keepalive_probes",
        "tcp_keepalive_time",
        "tcp_rmem",
        "tcp_syncookies",
        "tcp_wmem",
    )
}
COUNTED = ("cpu", "memory", "ephemeral-storage")


def requests(pod: Obj) -> dict[str, Decimal]:
    """What the pod asks for: its containers and sidecars together, or its largest init container if that is more."""
    spec = pod["spec"]

    def of(container: Obj, name: str) -> Decimal:
        resources = container.get("resources") or {}
        text = (resources.get("requests") or {}).get(name) or (resources.get("limits") or {}).get(name)
        return parse(text) if text is not None else Decimal(0)

    found = {}
    for name in COUNTED:
        beside = Decimal(0)
        peak = Decimal(0)
        for init in spec.get("initContainers") or ():
            if is_sidecar(init):
                beside += of(init, name)
                peak = max(peak, beside)
            else:
                peak = max(peak, beside + of(init, name))
        total = beside + sum((of(container, name) for container in spec["containers"]), Decimal(0))
        overhead = (spec.get("overhead") or {}).get(name)
        whole = ((spec.get("resources") or {}).get("requests") or {}).get(name) if name != "ephemeral-storage" else None
        found[name] = (parse(whole) if whole else max(total, peak)) + (parse(overhead) if overhead else Decimal(0))
    return found


def shown(name: str, value: Decimal | int) -> str:
    """An amount as kubelet's messages have it: thousandths of a core, or bytes."""
    return str(int(value * 1000)) if name == "cpu" else str(int(value))


def _predicate(name: str, text: str) -> tuple[str, str]:
    return name, f"{REJECTED}Predicate {name} failed: {text}"


def _ports(pod: Obj) -> set[tuple[str, str, int]]:
    """(address, protocol, port) of every host port, of sidecars too."""
    containers = [*pod["spec"]["containers"], *(each for each in pod["spec"].get("initContainers") or () if is_sidecar(each))]
    return {
        (port.get("hostIP") or ANY_ADDRESS, port.get("protocol") or "TCP", int(port["hostPort"]))
        for container in containers
        for port in container.get("ports") or ()
        if port.get("hostPort")
    }


def is_sidecar(init: Obj) -> bool:
    return bool(init.get("restartPolicy") == "Always")


def _conflict(mine: set[tuple[str, str, int]], taken: set[tuple[str, str, int]]) -> bool:
    return any(
        (protocol, port) == (their_protocol, their_port) and (address == theirs or ANY_ADDRESS in (address, theirs))
        for address, protocol, port in mine
        for theirs, their_protocol, their_port in taken
    )


def forbidden_sysctl(spec: Obj) -> str | None:
    """The first kernel parameter that the pod may not set here: only those that a namespace keeps to itself are safe."""
    for each in (spec.get("securityContext") or {}).get("sysctls") or ():
        name = str(each["name"]).replace("/", ".")
        if name not in SAFE_SYSCTLS:
            return f'"{name}" not allowlisted'
        if spec.get("hostNetwork") and name.startswith("net."):
            return f'"{name}" not allowed with host net enabled'
        if spec.get("hostIPC") and name.startswith("kernel."):
            return f'"{name}" not allowed with host ipc enabled'
    return None


def refusal(pod: Obj, others: Iterable[Obj], allocatable: dict[str, str], node: Obj) -> tuple[str, str] | None:
    """(reason, message) if the pod cannot run on this ``node`` beside ``others``; None if it can."""
    spec = pod["spec"]
    if (problem := forbidden_sysctl(spec)) is not None:
        return "SysctlForbidden", f"{REJECTED}forbidden sysctl: {problem}"
    labels = node["metadata"].get("labels") or {}
    if (wanted := (spec.get("nodeSelector") or {}).get(OS_LABEL)) and wanted != labels.get(OS_LABEL):
        text = f"Failed to admit pod as the `{OS_LABEL}` label doesn't match node label"
        return "PodOSSelectorNodeLabelDoesNotMatch", REJECTED + text
    if (spec.get("os") or {}).get("name") not in (None, "linux"):
        return "PodOSNotSupported", f"{REJECTED}Failed to admit pod as the OS field doesn't match node OS"
    present = list(others)
    if (short := _short_of(pod, present, allocatable)) is not None:
        return short
    if not may_stand(spec, node):
        return _predicate("NodeAffinity", "node(s) didn't match Pod's node affinity/selector")
    if _conflict(_ports(pod), {port for other in present for port in _ports(other)}):
        return _predicate("NodePorts", "node(s) didn't have free ports for the requested pod ports")
    if untolerated((node.get("spec") or {}).get("taints") or (), spec.get("tolerations") or (), ["NoExecute"]):
        return _predicate("TaintToleration", "node(s) had taints that the pod didn't tolerate")
    return None


def _short_of(pod: Obj, present: list[Obj], allocatable: dict[str, str]) -> tuple[str, str] | None:
    """What the node has too little of."""
    limit = int(allocatable.get("pods", "110"))
    if len(present) + 1 > limit:
        return (
            "OutOfpods",
            f"{REJECTED}Node didn't have enough resource: pods, requested: 1, used: {len(present)}, capacity: {limit}",
        )
    mine = requests(pod)
    for name in COUNTED:
        capacity = parse(allocatable.get(name, "0"))
        used = sum((requests(other)[name] for other in present), Decimal(0))
        if mine[name] and used + mine[name] > capacity:
            numbers = f"requested: {shown(name, mine[name])}, used: {shown(name, used)}, capacity: {shown(name, capacity)}"
            return f"OutOf{name}", f"{REJECTED}Node didn't have enough resource: {name}, {numbers}"
    return None
