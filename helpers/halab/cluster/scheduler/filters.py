"""The filters, in the order of Kubernetes' default profile: the first that refuses a node names the reason.

A ``Cycle`` is one attempt to place one pod: what is the same for all nodes is computed once in its constructor.
"""

from __future__ import annotations

from collections.abc import Iterable

from halab.cluster.scheduler.claims import Claims
from halab.cluster.scheduler.interpod import InterPod
from halab.cluster.scheduler.model import NodeInfo, PodInfo, Snapshot
from halab.cluster.scheduler.spread import HardSpread
from halab.cluster.scheduler.status import Refusal, Unfit, Waits
from halab.cluster.scheduler.terms import NodeChoice, untolerated
from halab.cluster.scheduler.volumes import Volumes

UNSCHEDULABLE_TAINT = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
ANY_ADDRESS = "0.0.0.0"


class Cycle:
    def __init__(self, pod: PodInfo, snapshot: Snapshot) -> None:
        self.pod, self.snapshot = pod, snapshot
        self.choice = NodeChoice.of(pod.spec)
        self.volumes = Volumes(pod, snapshot)
        self.spread = HardSpread(pod, snapshot, self.choice)
        self.interpod = InterPod(pod, snapshot)
        self.claims = Claims(pod, snapshot)

    def check(self, node: NodeInfo) -> Refusal | None:
        """Why the pod cannot run on the node, or None."""
        return (
            self._unschedulable(node)
            or self._taints(node)
            or self._node_affinity(node)
            or self._ports(node)
            or self._resources(node)
            or self.volumes.check(node)
            or self.spread.check(node)
            or self.interpod.check(node)
            or self.claims.refusal
        )

    def _unschedulable(self, node: NodeInfo) -> Refusal | None:
        if node.unschedulable and not any(toleration.tolerates(UNSCHEDULABLE_TAINT) for toleration in self.pod.tolerations):
            return Refusal("NodeUnschedulable", ("node(s) were unschedulable",), lasting=True)
        return None

    def _taints(self, node: NodeInfo) -> Refusal | None:
        if untolerated(node.taints, self.pod.tolerations):
            return Refusal("TaintToleration", ("node(s) had untolerated taint(s)",), lasting=True)
        return None

    def _node_affinity(self, node: NodeInfo) -> Refusal | None:
        if not self.choice.matches(node.name, node.labels):
            return Refusal("NodeAffinity", ("node(s) didn't match Pod's node affinity/selector",), lasting=True)
        return None

    def _ports(self, node: NodeInfo) -> Refusal | None:
        for address, protocol, port in self.pod.ports:
            for taken_address, taken_protocol, taken_port in node.ports:
                if (protocol, port) == (taken_protocol, taken_port) and (
                    address == taken_address or ANY_ADDRESS in (address, taken_address)
                ):
                    return Refusal("NodePorts", ("node(s) didn't have free ports for the requested pod ports",))
        return None

    def _resources(self, node: NodeInfo) -> Refusal | None:
        reasons, lasting = [], False
        if len(node.pods) + 1 > node.allocatable.get("pods", 0):
            reasons.append("Too many pods")
        for name, wanted in self.pod.requests.items():
            there = node.allocatable.get(name, 0)
            if wanted > 0 and wanted > there - node.requested.get(name, 0):
                reasons.append(f"Insufficient {name}")
                lasting = lasting or wanted > there
        return Refusal("NodeResourcesFit", tuple(reasons), lasting) if reasons else None


def with_nominated(pod: PodInfo, node: NodeInfo, nominated: Iterable[PodInfo]) -> NodeInfo | None:
    """The node as it will be when pods of at least this priority that were promised a place on it have come; None if there are none."""
    coming = [other for other in nominated if other.uid != pod.uid and other.priority >= pod.priority]
    return node.altered(more=coming) if coming else None


def feasible(pod: PodInfo, snapshot: Snapshot, nominated: dict[str, list[PodInfo]] | None = None) -> tuple[Cycle, list[NodeInfo]]:
    """The nodes that pass every filter. Raises Unfit when there are none.

    ``nominated`` are, by node, the pods for which preemption has made or is making room.
    """
    if not snapshot.nodes:
        raise Unfit(0, {}, Refusal("", ("no nodes available to schedule pods",)))
    cycle = Cycle(pod, snapshot)
    if cycle.claims.waits:
        raise Waits
    if cycle.volumes.general is not None:
        raise Unfit(len(snapshot.nodes), {}, cycle.volumes.general)
    named = cycle.choice.names()
    if named is not None and not named:
        raise Unfit(len(snapshot.nodes), {}, Refusal("NodeAffinity", ("pod affinity terms conflict",), lasting=True))
    if cycle.claims.general is not None:
        raise Unfit(len(snapshot.nodes), {}, cycle.claims.general)
    found: list[NodeInfo] = []
    refusals: dict[str, Refusal] = {}
    for node in snapshot.nodes.values():
        if named is not None and node.name not in named:
            continue
        refusal = None
        if nominated and (coming := with_nominated(pod, node, nominated.get(node.name, ()))):
            refusal = Cycle(pod, snapshot.replaced(coming)).check(coming)
        refusal = refusal or cycle.check(node)
        if refusal is None:
            found.append(node)
        else:
            refusals[node.name] = refusal
    if not found:
        rest = None
        if named is not None:
            rest = Refusal("NodeAffinity", ("node(s) didn't satisfy plugin(s) [NodeAffinity]",), lasting=True)
        raise Unfit(len(snapshot.nodes), refusals, rest=rest)
    return cycle, found
