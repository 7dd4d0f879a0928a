"""Volumes and places: claims that are bound, that wait for their first consumer, or that cannot be had on a node.

Rules: https://kubernetes.io/docs/concepts/storage/storage-classes/#volume-binding-mode. What is decided here is written by ``binding.py``:
a PersistentVolume's ``claimRef``, or the claim's selected-node annotation for the provisioner.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from halab.cluster.kube import quantity
from halab.cluster.kube.selectors import from_label_selector
from halab.cluster.kube.types import Obj
from halab.cluster.scheduler.model import NodeInfo, PodInfo, Snapshot
from halab.cluster.scheduler.status import Refusal
from halab.cluster.scheduler.terms import volume_fits

PLUGIN, RESTRICTIONS, ZONES = "VolumeBinding", "VolumeRestrictions", "VolumeZone"
UNBOUND = "pod has unbound immediate PersistentVolumeClaims"
NODE_CONFLICT = "node(s) didn't match PersistentVolume's node affinity"
NOTHING_TO_BIND = "node(s) didn't find available persistent volumes to bind"
NO_VOLUME = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"
ALONE = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
NO_ZONE = "node(s) had no available volume zone"

SELECTED_NODE = "volume.kubernetes.io/selected-node"
BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
NO_PROVISIONER = "kubernetes.io/no-provisioner"
ZONE_LABELS = (
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
)


@dataclass(slots=True)
class Choice:
    """What must be written before the pod can be bound to the node: volumes for claims, claims for the provisioner."""

    volumes: list[tuple[Obj, Obj]] = field(default_factory=list)  # (claim, volume)
    provision: list[Obj] = field(default_factory=list)


def binding_mode(claim: Obj, snapshot: Snapshot) -> str:
    found = snapshot.lookup.storage_class(class_of(claim))
    return str((found or {}).get("volumeBindingMode") or "Immediate")


def class_of(claim: Obj) -> str:
    legacy = (claim["metadata"].get("annotations") or {}).get("volume.beta.kubernetes.io/storage-class")
    return str(legacy or claim["spec"].get("storageClassName") or "")


def is_bound(claim: Obj) -> bool:
    return bool(claim["spec"].get("volumeName")) and BIND_COMPLETED in (claim["metadata"].get("annotations") or {})


class Volumes:
    """The filter. ``general`` is a refusal that holds for every node."""

    def __init__(self, pod: PodInfo, snapshot: Snapshot) -> None:
        self.pod, self.snapshot = pod, snapshot
        self.general: Refusal | None = None
        self.bound: list[Obj] = []
        self.waiting: list[Obj] = []
        self._alone = False
        self._taken: set[str] = set()
        if not pod.claims:
            return
        ephemeral = {f"{pod.name}-{volume['name']}" for volume in pod.spec.get("volumes") or () if "ephemeral" in volume}
        immediate = False
        for name in pod.claims:
            claim = snapshot.lookup.claim(pod.namespace, name)
            if problem := _problem(claim, name, name in ephemeral):
                self.general = Refusal(PLUGIN, (problem,), lasting=True)
                return
            assert claim is not None
            if "ReadWriteOncePod" in (claim["spec"].get("accessModes") or ()):
                self._alone = self._alone or self._used(name)
            if is_bound(claim):
                self.bound.append(claim)
            elif binding_mode(claim, snapshot) == "WaitForFirstConsumer" and not claim["spec"].get("volumeName"):
                self.waiting.append(claim)
            else:
                immediate = True
        if immediate:
            self.general = Refusal(PLUGIN, (UNBOUND,), lasting=True)

    def _used(self, name: str) -> bool:
        return any(
            other.namespace == self.pod.namespace and name in other.claims and other.uid != self.pod.uid
            for node in self.snapshot.nodes.values()
            for other in node.pods.values()
        )

    def check(self, node: NodeInfo) -> Refusal | None:
        if not self.pod.claims:
            return None
        if self._alone:
            return Refusal(RESTRICTIONS, (ALONE,))
        reasons = self._bound_reasons(node)
        if self.choose(node) is None:
            reasons.append(NOTHING_TO_BIND)
        if reasons:
            return Refusal(PLUGIN, tuple(dict.fromkeys(reasons)), lasting=True)
        return self._check_zone(node)

    def _bound_reasons(self, node: NodeInfo) -> list[str]:
        for claim in self.bound:
            volume = self.snapshot.lookup.volume(claim["spec"]["volumeName"])
            if volume is None:
                return [NO_VOLUME]
            if not volume_fits(volume, node.name, node.labels):
                return [NODE_CONFLICT]
        return []

    def _check_zone(self, node: NodeInfo) -> Refusal | None:
        for claim in self.bound:
            volume = self.snapshot.lookup.volume(claim["spec"]["volumeName"])
            labels = (volume or {}).get("metadata", {}).get("labels") or {}
            for key in ZONE_LABELS:
                if key in labels and node.labels.get(key) not in str(labels[key]).split("__"):
                    return Refusal(ZONES, (NO_ZONE,), lasting=True)
        return None

    def choose(self, node: NodeInfo) -> Choice | None:
        """How every waiting claim could be satisfied on this node; None if one cannot."""
        choice = Choice()
        used: set[str] = set()
        for claim in sorted(self.waiting, key=lambda claim: _size(claim["spec"].get("resources", {}).get("requests"))):
            selected = (claim["metadata"].get("annotations") or {}).get(SELECTED_NODE)
            if selected is not None:
                if selected != node.name:
                    return None
                choice.provision.append(claim)
                continue
            volume = self._match(claim, node, used)
            if volume is not None:
                used.add(volume["metadata"]["name"])
                choice.volumes.append((claim, volume))
            elif self._can_provision(claim, node):
                choice.provision.append(claim)
            else:
                return None
        return choice

    def _match(self, claim: Obj, node: NodeInfo, used: set[str]) -> Obj | None:
        """The smallest volume that the claim could take on this node; one that names the claim goes first."""
        best: Obj | None = None
        spec = claim["spec"]
        selector = None if "selector" not in spec else from_label_selector(spec["selector"])
        for volume in self.snapshot.lookup.volumes():
            offered = volume["spec"]
            reserved = offered.get("claimRef")
            if volume["metadata"]["name"] in used or "deletionTimestamp" in volume["metadata"]:
                continue
            if reserved is not None:
                mine = reserved.get("namespace") == self.pod.namespace and reserved.get("name") == claim["metadata"]["name"]
                if not mine or reserved.get("uid") not in (None, "", claim["metadata"].get("uid")):
                    continue
            elif (volume.get("status") or {}).get("phase") not in (None, "Available"):
                continue
            if (
                (offered.get("storageClassName") or "") != class_of(claim)
                or (offered.get("volumeMode") or "Filesystem") != (spec.get("volumeMode") or "Filesystem")
                or not set(spec.get("accessModes") or ()) <= set(offered.get("accessModes") or ())
                or _size(offered.get("capacity")) < _size((spec.get("resources") or {}).get("requests"))
                or (selector is not None and not selector.matches(volume["metadata"].get("labels")))
                or not volume_fits(volume, node.name, node.labels)
            ):
                continue
            if reserved is not None:
                return volume
            if best is None or _size(offered.get("capacity")) < _size(best["spec"].get("capacity")):
                best = volume
        return best

    def _can_provision(self, claim: Obj, node: NodeInfo) -> bool:
        found = self.snapshot.lookup.storage_class(class_of(claim))
        if found is None or found.get("provisioner") in (None, "", NO_PROVISIONER):
            return False
        topologies = found.get("allowedTopologies")
        return not topologies or any(
            all(node.labels.get(item["key"]) in item["values"] for item in term.get("matchLabelExpressions") or ())
            for term in topologies
        )


def _size(resources: Obj | None) -> int:
    return quantity.to_int((resources or {}).get("storage") or "0")


def _problem(claim: Obj | None, name: str, ephemeral: bool) -> str:
    if claim is None:
        if ephemeral:
            return f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{name}"'
        return f'persistentvolumeclaim "{name}" not found'
    if (claim.get("status") or {}).get("phase") == "Lost":
        return f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{claim["spec"].get("volumeName", "")}"'
    if "deletionTimestamp" in claim["metadata"]:
        return f'persistentvolumeclaim "{name}" is being deleted'
    return ""
