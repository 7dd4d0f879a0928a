"""Priority: a pod's priority is that of its class, or of the default class; system classes are for kube-system."""

from __future__ import annotations

from typing import Any

from halab.cluster.apiserver.admission.attributes import Attributes
from halab.cluster.kube import kinds

Obj = dict[str, Any]


def mutate(attributes: Attributes) -> None:
    if not attributes.is_(kinds.PODS, "CREATE"):
        return
    spec = attributes.obj["spec"]
    name = spec.get("priorityClassName") or ""
    if name:
        chosen = attributes.find(kinds.PRIORITY_CLASSES, name)
        if chosen is None:
            raise attributes.forbidden(f"no PriorityClass with name {name} was found")
    else:
        defaults = [item for item in attributes.all(kinds.PRIORITY_CLASSES) if item.get("globalDefault")]
        chosen = min(defaults, key=lambda item: item.get("value", 0)) if defaults else None
        if chosen is not None:
            spec["priorityClassName"] = chosen["metadata"]["name"]
    value = (chosen or {}).get("value", 0)
    policy = (chosen or {}).get("preemptionPolicy") or "PreemptLowerPriority"
    if "priority" in spec and spec["priority"] is not None and spec["priority"] != value:
        raise attributes.forbidden(
            f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; priority admission controller computed "
            f"{value} from the given PriorityClass name"
        )
    if spec.get("preemptionPolicy") and spec["preemptionPolicy"] != policy:
        raise attributes.forbidden(
            f"the string value of PreemptionPolicy ({spec['preemptionPolicy']}) must not be provided in pod spec; priority admission "
            f"controller computed {policy} from the given PriorityClass name"
        )
    spec["priority"] = value
    spec["preemptionPolicy"] = policy


def validate(attributes: Attributes) -> None:
    if not attributes.is_(kinds.PRIORITY_CLASSES) or not attributes.obj.get("globalDefault"):
        return
    for other in attributes.all(kinds.PRIORITY_CLASSES):
        if other.get("globalDefault") and other["metadata"]["name"] != attributes.obj["metadata"]["name"]:
            raise attributes.forbidden(
                f"PriorityClass {other['metadata']['name']} is already marked as default. Only one default can exist"
            )
