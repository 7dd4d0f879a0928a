"""What the scheduler knows of pods and nodes, computed once per object and shared by every filter and score.

Amounts are whole numbers: ``cpu`` in thousandths of a core, everything else in its own unit (bytes, pieces). The rules for what a pod
requests are those of https://kubernetes.io/docs/concepts/workloads/pods/init-containers/#resource-sharing-within-containers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from halab.cluster.kube import quantity
from halab.cluster.kube.types import Obj
from halab.cluster.scheduler.terms import AffinityTerm, Toleration, affinity_terms, anti_affinity_terms, tolerations_of

Amounts = dict[str, int]

# A container that requests nothing still counts in scores, or all of them would land on one node.
ASSUMED_CPU, ASSUMED_MEMORY = 100, 200 * 1024 * 1024
POD_LEVEL = ("cpu", "memory")  # what spec.resources of a pod overrides (hugepages too, by prefix)


def amounts(quantities: Mapping[str, str] | None) -> Amounts:
    """A ResourceList as whole numbers."""
    return {
        name: quantity.to_milli(value) if name == "cpu" else quantity.to_int(value) for name, value in (quantities or {}).items()
    }


def add(total: Amounts, more: Mapping[str, int], sign: int = 1) -> None:
    for name, value in more.items():
        total[name] = total.get(name, 0) + sign * value


def greatest(total: Amounts, other: Mapping[str, int]) -> None:
    for name, value in other.items():
        if value > total.get(name, 0):
            total[name] = value


def _container_requests(container: Obj, assumed: bool) -> Amounts:
    requests = amounts((container.get("resources") or {}).get("requests"))
    if assumed:
        requests.setdefault("cpu", ASSUMED_CPU)
        requests.setdefault("memory", ASSUMED_MEMORY)
    return requests


def pod_requests(spec: Obj, *, assumed: bool = False) -> Amounts:
    """What a pod asks of a node. With ``assumed``, containers without a request count as a small one."""
    total: Amounts = {}
    for container in spec.get("containers") or ():
        add(total, _container_requests(container, assumed))
    sidecars: Amounts = {}
    starting: Amounts = {}
    for container in spec.get("initContainers") or ():
        requests = _container_requests(container, assumed)
        if container.get("restartPolicy") == "Always":
            add(total, requests)
            add(sidecars, requests)
            greatest(starting, sidecars)
        else:
            add(requests, sidecars)
            greatest(starting, requests)
    greatest(total, starting)
    for name, value in amounts((spec.get("resources") or {}).get("requests")).items():
        if name in POD_LEVEL or name.startswith("hugepages-"):
            total[name] = value
    if overhead := spec.get("overhead"):
        add(total, amounts(overhead))
    return total


def host_ports(spec: Obj) -> frozenset[tuple[str, str, int]]:
    """(address, protocol, port) of every host port of containers and sidecars."""
    sidecars = [container for container in spec.get("initContainers") or () if container.get("restartPolicy") == "Always"]
    return frozenset(
        (port.get("hostIP") or "0.0.0.0", port.get("protocol") or "TCP", port["hostPort"])
        for container in [*(spec.get("containers") or ()), *sidecars]
        for port in container.get("ports") or ()
        if port.get("hostPort")
    )


@dataclass(slots=True, eq=False)
class PodInfo:
    """A pod, and what filters and scores ask of it again and again."""

    pod: Obj
    name: str
    namespace: str
    uid: str
    labels: Mapping[str, str]
    priority: int
    terminating: bool
    requests: Amounts
    counted: Amounts  # cpu and memory with the assumed least
    ports: frozenset[tuple[str, str, int]]
    claims: tuple[str, ...]
    tolerations: tuple[Toleration, ...]
    required: tuple[AffinityTerm, ...]
    required_anti: tuple[AffinityTerm, ...]
    preferred: tuple[tuple[int, AffinityTerm], ...]
    preferred_anti: tuple[tuple[int, AffinityTerm], ...]

    @property
    def spec(self) -> Obj:
        spec: Obj = self.pod["spec"]
        return spec

    @property
    def has_affinity(self) -> bool:
        return bool(self.required or self.required_anti or self.preferred or self.preferred_anti)

    @property
    def started(self) -> str:
        """When it began (RFC 3339, so that texts compare as times); one that has not, begins now, later than all others."""
        return str((self.pod.get("status") or {}).get("startTime") or "9")

    @classmethod
    def of(cls, pod: Obj) -> PodInfo:
        meta, spec = pod["metadata"], pod["spec"]
        required, preferred = affinity_terms(pod)
        required_anti, preferred_anti = anti_affinity_terms(pod)
        return cls(
            pod=pod,
            name=meta["name"],
            namespace=meta.get("namespace", ""),
            uid=meta.get("uid", ""),
            labels=meta.get("labels") or {},
            priority=spec.get("priority") or 0,
            terminating="deletionTimestamp" in meta,
            requests=pod_requests(spec),
            counted={name: value for name, value in pod_requests(spec, assumed=True).items() if name in POD_LEVEL},
            ports=host_ports(spec),
            claims=claim_names(pod),
            tolerations=tolerations_of(spec),
            required=required,
            required_anti=required_anti,
            preferred=preferred,
            preferred_anti=preferred_anti,
        )


def claim_names(pod: Obj) -> tuple[str, ...]:
    """The PersistentVolumeClaims that its volumes name, generic ephemeral ones included."""
    names = []
    for volume in pod["spec"].get("volumes") or ():
        if claim := volume.get("persistentVolumeClaim"):
            names.append(claim["claimName"])
        elif "ephemeral" in volume:
            names.append(f"{pod['metadata']['name']}-{volume['name']}")
    return tuple(names)


class NodeInfo:
    """A node and the pods that are on it, or that are about to be."""

    __slots__ = (
        "allocatable",
        "counted",
        "images",
        "labels",
        "name",
        "node",
        "pods",
        "ports",
        "requested",
        "taints",
        "unschedulable",
    )

    def __init__(self, node: Obj, pods: Iterable[PodInfo] = ()) -> None:
        self.pods: dict[str, PodInfo] = {}
        self.requested: Amounts = {}
        self.counted: Amounts = {}
        self.ports: dict[tuple[str, str, int], int] = {}
        self.set_node(node)
        for pod in pods:
            self.add(pod)

    def set_node(self, node: Obj) -> None:
        self.node = node
        self.name: str = node["metadata"]["name"]
        self.labels: Mapping[str, str] = node["metadata"].get("labels") or {}
        spec, status = node.get("spec") or {}, node.get("status") or {}
        self.taints: list[Obj] = spec.get("taints") or []
        self.unschedulable: bool = bool(spec.get("unschedulable"))
        self.allocatable = amounts(status.get("allocatable"))
        self.images: dict[str, int] = {
            name: image.get("sizeBytes") or 0 for image in status.get("images") or () for name in image.get("names") or ()
        }

    def add(self, pod: PodInfo) -> None:
        self.pods[pod.uid] = pod
        self._count(pod, 1)

    def remove(self, uid: str) -> PodInfo | None:
        pod = self.pods.pop(uid, None)
        if pod is not None:
            self._count(pod, -1)
        return pod

    def _count(self, pod: PodInfo, sign: int) -> None:
        add(self.requested, pod.requests, sign)
        add(self.counted, pod.counted, sign)
        for port in pod.ports:
            self.ports[port] = self.ports.get(port, 0) + sign
            if not self.ports[port]:
                del self.ports[port]

    def altered(self, *, without: Iterable[PodInfo] = (), more: Iterable[PodInfo] = ()) -> NodeInfo:
        """A copy with some pods gone and some more there: what preemption and nominations try."""
        gone = {pod.uid for pod in without}
        return NodeInfo(self.node, [*(pod for pod in self.pods.values() if pod.uid not in gone), *more])


class Lookup(Protocol):
    """What filters look up beside pods and nodes. Every answer is from a cache."""

    def claim(self, namespace: str, name: str) -> Obj | None: ...
    def volume(self, name: str) -> Obj | None: ...
    def volumes(self) -> Iterable[Obj]: ...
    def storage_class(self, name: str) -> Obj | None: ...
    def namespace_labels(self, name: str) -> Mapping[str, str]: ...
    def resource_claim(self, namespace: str, name: str) -> Obj | None: ...
    def has_device_class(self, name: str) -> bool: ...
    def spread_selectors(self, pod: PodInfo) -> list[Callable[[Mapping[str, str]], bool]]: ...


@dataclass(slots=True)
class Snapshot:
    """All nodes (by name) at one moment."""

    nodes: dict[str, NodeInfo]
    lookup: Lookup
    image_nodes: dict[str, int] = field(default_factory=dict)

    def replaced(self, node: NodeInfo) -> Snapshot:
        return Snapshot({**self.nodes, node.name: node}, self.lookup, self.image_nodes)
