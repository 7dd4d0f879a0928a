"""Which events may change a filter's mind. A pod that waits is tried again when one of them happens, and at no other time.

The scheduler's queueing hints (https://kubernetes.io/docs/concepts/scheduling-eviction/scheduling-framework/#queueinghint) by kind of
event; node heartbeats and status updates of pods wake nobody.
"""

from __future__ import annotations

from typing import Literal

from halab.cluster.kube.types import Obj

Event = Literal[
    "node-add",
    "node-delete",
    "node-label",
    "node-taint",
    "node-allocatable",
    "pod-add",
    "pod-delete",
    "pod-label",
    "pod-smaller",
    "volume",
    "claim",
]

_WAKES: dict[str, frozenset[Event]] = {
    "": frozenset({"node-add"}),
    "NodeUnschedulable": frozenset({"node-add", "node-taint"}),
    "TaintToleration": frozenset({"node-add", "node-taint"}),
    "NodeAffinity": frozenset({"node-add", "node-label"}),
    "NodePorts": frozenset({"node-add", "pod-delete"}),
    "NodeResourcesFit": frozenset({"node-add", "node-allocatable", "pod-delete", "pod-smaller"}),
    "VolumeRestrictions": frozenset({"node-add", "pod-delete", "volume"}),
    "VolumeBinding": frozenset({"node-add", "node-label", "volume"}),
    "VolumeZone": frozenset({"node-add", "node-label", "volume"}),
    "DynamicResources": frozenset({"node-add", "claim"}),
    "PodTopologySpread": frozenset({"node-add", "node-delete", "node-label", "node-taint", "pod-add", "pod-delete", "pod-label"}),
    "InterPodAffinity": frozenset({"node-add", "node-label", "pod-add", "pod-delete", "pod-label"}),
}


def wakes(event: Event, plugins: frozenset[str]) -> bool:
    """Whether ``event`` may help a pod that these plugins refused."""
    return any(event in _WAKES.get(plugin, ()) for plugin in plugins)


def node_events(old: Obj | None, new: Obj | None) -> set[Event]:
    """What a change of a node means for pods that wait."""
    if new is None:
        return {"node-delete"}
    if old is None:
        return {"node-add"}
    found: set[Event] = set()
    if old["metadata"].get("labels") != new["metadata"].get("labels"):
        found.add("node-label")
    before, after = old.get("spec") or {}, new.get("spec") or {}
    if before.get("taints") != after.get("taints") or before.get("unschedulable") != after.get("unschedulable"):
        found.add("node-taint")
    if (old.get("status") or {}).get("allocatable") != (new.get("status") or {}).get("allocatable"):
        found.add("node-allocatable")
    return found
