"""May a pod that was assigned to this node run here? The scheduler has asked already; a pod with spec.nodeName of its own has not.

(kubelet: lifecycle.PredicateAdmitHandler; its words)
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from halab.cluster.kube.quantity import parse
from halab.cluster.kube.types import Obj

REJECTED = "Pod was rejected: "
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
            if init.get("restartPolicy") == "Always":
                beside += of(init, name)
                peak = max(peak, beside)
            else:
                peak = max(peak, beside + of(init, name))
        total = beside + sum((of(container, name) for container in spec["containers"]), Decimal(0))
        overhead = (spec.get("overhead") or {}).get(name)
        found[name] = max(total, peak) + (parse(overhead) if overhead else Decimal(0))
    return found


def _shown(name: str, value: Decimal) -> str:
    return str(int(value * 1000)) if name == "cpu" else str(int(value))


def refusal(pod: Obj, others: Iterable[Obj], allocatable: dict[str, str], labels: dict[str, str]) -> tuple[str, str] | None:
    """(reason, message) if the pod cannot run on this node beside ``others``; None if it can."""
    present = list(others)
    selector = pod["spec"].get("nodeSelector") or {}
    if any(labels.get(key) != value for key, value in selector.items()):
        return "NodeAffinity", f"{REJECTED}Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"
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
            numbers = f"requested: {_shown(name, mine[name])}, used: {_shown(name, used)}, capacity: {_shown(name, capacity)}"
            return f"OutOf{name}", f"{REJECTED}Node didn't have enough resource: {name}, {numbers}"
    return None
