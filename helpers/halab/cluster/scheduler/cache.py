"""The scheduler's picture of the cluster: nodes with their pods, what was decided but is not written yet, and look-ups for the filters.

Fed by informers, read by the pure parts. A pod that was just placed counts on its node at once ("assumed"), long before the API server
tells of it; so does a volume that was just given to a claim.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from halab.cluster.client import Informer
from halab.cluster.kube.kinds import (
    DEVICE_CLASSES,
    NAMESPACES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    RESOURCE_CLAIMS,
    SERVICES,
    STATEFUL_SETS,
    STORAGE_CLASSES,
    Kind,
)
from halab.cluster.kube.selectors import from_label_selector, from_labels
from halab.cluster.kube.types import Obj
from halab.cluster.scheduler.model import NodeInfo, PodInfo, Snapshot
from halab.cluster.scheduler.terms import AffinityTerm

CLAIM_KINDS = (RESOURCE_CLAIMS, DEVICE_CLASSES)
VOLUME_KINDS = (PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, STORAGE_CLASSES)

Matches = Callable[[Mapping[str, str]], bool]


class Cache:
    """``informer`` gives the followed objects of a kind, or None while they are not followed (yet)."""

    def __init__(self, informer: Callable[[Kind], Informer | None]) -> None:
        self._informer = informer
        self.nodes: dict[str, NodeInfo] = {}
        self.snapshot = Snapshot(self.nodes, self)
        self._places: dict[str, str] = {}  # pod uid -> node name
        self._assumed: set[str] = set()
        self._homeless: dict[str, dict[str, PodInfo]] = {}  # pods on nodes that are not known (yet)
        self._claimed: dict[str, tuple[str, Obj]] = {}  # volume -> (resourceVersion it had, the volume as it will be)

    # Nodes and pods

    def set_node(self, node: Obj) -> None:
        name = node["metadata"]["name"]
        known = self.nodes.get(name)
        if known is None:
            self.nodes[name] = NodeInfo(node, self._homeless.pop(name, {}).values())
        else:
            known.set_node(node)

    def remove_node(self, name: str) -> None:
        gone = self.nodes.pop(name, None)
        if gone is not None and gone.pods:
            self._homeless[name] = dict(gone.pods)

    def place(self, pod: PodInfo, node: str, *, assumed: bool = False) -> None:
        """``pod`` is on ``node``, or will be as soon as its binding is written."""
        self.take_away(pod.uid)
        self._places[pod.uid] = node
        if assumed:
            self._assumed.add(pod.uid)
        home = self.nodes.get(node)
        if home is None:
            self._homeless.setdefault(node, {})[pod.uid] = pod
        else:
            home.add(pod)

    def take_away(self, uid: str) -> PodInfo | None:
        node = self._places.pop(uid, None)
        self._assumed.discard(uid)
        if node is None:
            return None
        home = self.nodes.get(node)
        if home is not None:
            return home.remove(uid)
        strangers = self._homeless.get(node, {})
        pod = strangers.pop(uid, None)
        if not strangers:
            self._homeless.pop(node, None)
        return pod

    def is_assumed(self, uid: str) -> bool:
        return uid in self._assumed

    def placed(self, uid: str) -> PodInfo | None:
        node = self._places.get(uid)
        if node is None:
            return None
        home = self.nodes.get(node)
        return home.pods.get(uid) if home is not None else self._homeless.get(node, {}).get(uid)

    # Volumes that were promised

    def promise(self, volume: Obj, claim: Obj) -> None:
        meta, owner = volume["metadata"], claim["metadata"]
        reference = {
            "kind": "PersistentVolumeClaim",
            "namespace": owner.get("namespace"),
            "name": owner["name"],
            "uid": owner.get("uid"),
        }
        promised = {**volume, "spec": {**volume["spec"], "claimRef": reference}}
        self._claimed[meta["name"]] = (meta.get("resourceVersion", ""), promised)

    def forget_promise(self, volume: str) -> None:
        self._claimed.pop(volume, None)

    # Look-ups

    def claim(self, namespace: str, name: str) -> Obj | None:
        informer = self._informer(PERSISTENT_VOLUME_CLAIMS)
        return informer.get(namespace, name) if informer else None

    def volume(self, name: str) -> Obj | None:
        informer = self._informer(PERSISTENT_VOLUMES)
        return informer.get("", name) if informer else None

    def volumes(self) -> Iterable[Obj]:
        informer = self._informer(PERSISTENT_VOLUMES)
        for volume in informer.objects() if informer else ():
            promised = self._claimed.get(volume["metadata"]["name"])
            if promised is not None and promised[0] == volume["metadata"].get("resourceVersion", ""):
                yield promised[1]
            else:
                yield volume

    def storage_class(self, name: str) -> Obj | None:
        informer = self._informer(STORAGE_CLASSES)
        return informer.get("", name) if informer else None

    def resource_claim(self, namespace: str, name: str) -> Obj | None:
        informer = self._informer(RESOURCE_CLAIMS)
        return informer.get(namespace, name) if informer else None

    def has_device_class(self, name: str) -> bool:
        informer = self._informer(DEVICE_CLASSES)
        return informer is not None and informer.get("", name) is not None

    def namespace_labels(self, name: str) -> Mapping[str, str]:
        informer = self._informer(NAMESPACES)
        namespace = informer.get("", name) if informer else None
        return ((namespace or {}).get("metadata") or {}).get("labels") or {}

    def spread_selectors(self, pod: PodInfo) -> list[Matches]:
        """What the cluster's default spreading counts as the pod's like: the pods of its Services and of its owner."""
        services = self._informer(SERVICES)
        found: list[Matches] = []
        for service in services.objects(pod.namespace) if services else ():
            if labels := service["spec"].get("selector"):
                selector = from_labels(labels)
                if selector.matches(pod.labels):
                    found.append(selector.matches)
        owner = next((ref for ref in pod.pod["metadata"].get("ownerReferences") or () if ref.get("controller")), None)
        kind = _SPREAD_OWNERS.get((owner["apiVersion"].partition("/")[0], owner["kind"])) if owner else None
        if owner and kind is not None and (informer := self._informer(kind)):
            workload = informer.get(pod.namespace, owner["name"])
            wanted = ((workload or {}).get("spec") or {}).get("selector")
            if wanted:
                chosen = from_labels(wanted) if kind is REPLICATION_CONTROLLERS else from_label_selector(wanted)
                if not chosen.empty:
                    found.append(chosen.matches)
        return found

    # What must be followed before a pod can be tried

    def needs(self, pod: PodInfo) -> tuple[Kind, ...]:
        kinds: list[Kind] = list(VOLUME_KINDS) if pod.claims else []
        if pod.spec.get("resourceClaims"):
            kinds += CLAIM_KINDS
        if any(_by_labels(term) for term in _all_terms(pod)):
            kinds.append(NAMESPACES)
        if any(ref.get("kind") == "ReplicationController" for ref in pod.pod["metadata"].get("ownerReferences") or ()):
            kinds.append(REPLICATION_CONTROLLERS)
        return tuple(kinds)


_SPREAD_OWNERS: dict[tuple[str, str], Kind] = {
    ("apps", "ReplicaSet"): REPLICA_SETS,
    ("apps", "StatefulSet"): STATEFUL_SETS,
    ("v1", "ReplicationController"): REPLICATION_CONTROLLERS,
}


def _all_terms(pod: PodInfo) -> list[AffinityTerm]:
    preferred = [term for _, term in (*pod.preferred, *pod.preferred_anti)]
    return [*pod.required, *pod.required_anti, *preferred]


def _by_labels(term: AffinityTerm) -> bool:
    return term.namespace_selector is not None and not term.namespace_selector.empty
