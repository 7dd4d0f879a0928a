"""What a node's silence means: conditions, taints, and whether pods may be driven away. Pure.

https://kubernetes.io/docs/concepts/architecture/nodes/#node-controller and .../scheduling-eviction/taint-and-toleration/ have the rules.
"""

from __future__ import annotations

from collections.abc import Sequence

from halab.cluster.client import rfc3339
from halab.cluster.controllers.pods import condition
from halab.cluster.kube.types import Obj

GRACE = 40.0  # seconds of silence until a node counts as lost, if its Lease does not say
_PREFIX = "node.kubernetes.io/"
NOT_READY, UNREACHABLE, UNSCHEDULABLE = f"{_PREFIX}not-ready", f"{_PREFIX}unreachable", f"{_PREFIX}unschedulable"
REPORTED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
# (condition, status) -> the taint that keeps new pods away
BY_CONDITION = {
    ("Ready", "False"): NOT_READY,
    ("Ready", "Unknown"): UNREACHABLE,
    ("MemoryPressure", "True"): f"{_PREFIX}memory-pressure",
    ("DiskPressure", "True"): f"{_PREFIX}disk-pressure",
    ("PIDPressure", "True"): f"{_PREFIX}pid-pressure",
    ("NetworkUnavailable", "True"): f"{_PREFIX}network-unavailable",
}
MANAGED = {*BY_CONDITION.values(), UNSCHEDULABLE}
# Beyond this share of unready nodes the fault is probably ours, not theirs (a network split), and nobody is driven away.
UNHEALTHY_SHARE, UNHEALTHY_COUNT = 0.55, 2


def readiness(node: Obj) -> str:
    """``True``, ``False`` or ``Unknown``: the Ready condition; empty for a node that has not reported yet."""
    found = condition(node, "Ready")
    return str(found["status"]) if found else ""


def is_down(node: Obj) -> bool:
    """A node that has reported once, and is not ready now."""
    return readiness(node) in ("False", "Unknown")


def silent_conditions(node: Obj, now: float) -> list[Obj]:
    """The node's conditions once it has been silent for too long: all that it reports become Unknown."""
    time = rfc3339(now)
    made: list[Obj] = []
    present = {each["type"]: each for each in (node.get("status") or {}).get("conditions") or ()}
    for type in [*present, *(type for type in REPORTED if type not in present)]:
        old = present.get(type)
        if old is None:
            made.append(
                {
                    "type": type,
                    "status": "Unknown",
                    "lastHeartbeatTime": node["metadata"].get("creationTimestamp"),
                    "lastTransitionTime": time,
                    "reason": "NodeStatusNeverUpdated",
                    "message": "Kubelet never posted node status.",
                }
            )
        elif type in REPORTED and old["status"] != "Unknown":
            reason, message = "NodeStatusUnknown", "Kubelet stopped posting node status."
            made.append({**old, "status": "Unknown", "reason": reason, "message": message, "lastTransitionTime": time})
        else:
            made.append(old)
    return made


def taints(node: Obj, *, evict: bool, now: float) -> list[Obj]:
    """The node's taints: those of others kept, ours as its conditions say. ``evict`` adds NoExecute to a node that is not ready."""
    current: list[Obj] = list(node["spec"].get("taints") or ())
    wanted = {(key, "NoSchedule") for (type, value), key in BY_CONDITION.items() if _status(node, type) == value}
    if node["spec"].get("unschedulable"):
        wanted.add((UNSCHEDULABLE, "NoSchedule"))
    ready = readiness(node)
    if is_down(node):
        key = NOT_READY if ready == "False" else UNREACHABLE
        if evict or any(each["key"] in (NOT_READY, UNREACHABLE) and each.get("effect") == "NoExecute" for each in current):
            wanted.add((key, "NoExecute"))

    def ours(taint: Obj) -> bool:
        return taint["key"] in MANAGED and taint.get("effect") in ("NoSchedule", "NoExecute")

    kept = [each for each in current if not ours(each) or (each["key"], each["effect"]) in wanted]
    have = {(each["key"], each.get("effect")) for each in kept}
    time = rfc3339(now)
    return kept + [
        {"key": key, "effect": effect, "timeAdded": time} for key, effect in sorted(wanted) if (key, effect) not in have
    ]


def _status(node: Obj, type: str) -> str:
    found = condition(node, type)
    return str(found["status"]) if found else ""


def may_evict(nodes: Sequence[Obj]) -> bool:
    """Whether pods of unready nodes are driven away: not if all nodes are unready, nor most of more than a few."""
    unready = sum(readiness(node) != "True" for node in nodes)
    if unready == len(nodes):
        return False
    return not (unready > UNHEALTHY_COUNT and unready / len(nodes) >= UNHEALTHY_SHARE)


def unready_pod_conditions(pod: Obj, now: float) -> list[Obj] | None:
    """The conditions of a pod whose node is lost: not ready; None if it is not ready already."""
    conditions = list((pod.get("status") or {}).get("conditions") or ())
    for i, each in enumerate(conditions):
        if each["type"] == "Ready" and each["status"] == "True":
            conditions[i] = {**each, "status": "False", "lastTransitionTime": rfc3339(now)}
            return conditions
    return None
