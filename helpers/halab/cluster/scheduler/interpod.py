"""Pod affinity and anti-affinity: which pods want to be together, which apart, and how much.

Rules: https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#inter-pod-affinity-and-anti-affinity.
Anti-affinity binds both ways: a pod that is already there may refuse the newcomer.
"""

from __future__ import annotations

from collections import defaultdict

from halab.cluster.scheduler.model import NodeInfo, PodInfo, Snapshot
from halab.cluster.scheduler.status import Refusal
from halab.cluster.scheduler.terms import AffinityTerm

PLUGIN = "InterPodAffinity"
NO_FRIENDS = "node(s) didn't match pod affinity rules"
ENEMIES = "node(s) didn't match pod anti-affinity rules"
UNWELCOME = "node(s) didn't satisfy existing pods anti-affinity rules"
HARD_WEIGHT = 1  # what an existing pod's required affinity for the newcomer is worth in scores

Place = tuple[str, str]  # topology key and value


class InterPod:
    """The filter."""

    def __init__(self, pod: PodInfo, snapshot: Snapshot) -> None:
        self.pod = pod
        self.friends: defaultdict[Place, int] = defaultdict(int)
        self.enemies: defaultdict[Place, int] = defaultdict(int)
        self.unwelcome: set[Place] = set()
        namespace_labels = snapshot.lookup.namespace_labels
        self._fits_itself = bool(pod.required) and all(
            term.matches(pod.namespace, pod.labels, namespace_labels) for term in pod.required
        )
        for node in snapshot.nodes.values():
            for other in node.pods.values():
                for term in other.required_anti:
                    place = _place(term, node)
                    if place is not None and term.matches(pod.namespace, pod.labels, namespace_labels):
                        self.unwelcome.add(place)
                if pod.required and all(term.matches(other.namespace, other.labels, namespace_labels) for term in pod.required):
                    for term in pod.required:
                        if (place := _place(term, node)) is not None:
                            self.friends[place] += 1
                for term in pod.required_anti:
                    if (place := _place(term, node)) is not None and term.matches(
                        other.namespace, other.labels, namespace_labels
                    ):
                        self.enemies[place] += 1

    def check(self, node: NodeInfo) -> Refusal | None:
        if not self._has_friends(node):
            return Refusal(PLUGIN, (NO_FRIENDS,), lasting=True)
        if any((place := _place(term, node)) is not None and place in self.enemies for term in self.pod.required_anti):
            return Refusal(PLUGIN, (ENEMIES,))
        if self.unwelcome and any(item in self.unwelcome for item in node.labels.items()):
            return Refusal(PLUGIN, (UNWELCOME,))
        return None

    def _has_friends(self, node: NodeInfo) -> bool:
        together = True
        for term in self.pod.required:
            place = _place(term, node)
            if place is None:
                return False
            together = together and place in self.friends
        # The first of a group that wants to be together may go anywhere.
        return together or (not self.friends and self._fits_itself)


def _place(term: AffinityTerm, node: NodeInfo) -> Place | None:
    value = node.labels.get(term.topology_key)
    return None if value is None else (term.topology_key, value)


def score(pod: PodInfo, snapshot: Snapshot, feasible: list[NodeInfo]) -> dict[str, int] | None:
    """0-100 for each feasible node; None where nobody prefers anything."""
    sums: defaultdict[Place, int] = defaultdict(int)
    labels_of = snapshot.lookup.namespace_labels
    choosy = bool(pod.preferred or pod.preferred_anti)
    for node in snapshot.nodes.values():
        for other in node.pods.values():
            if not choosy and not other.has_affinity:
                continue
            wishes = [(weight, term, other) for weight, term in pod.preferred]
            wishes += [(-weight, term, other) for weight, term in pod.preferred_anti]
            wishes += [(HARD_WEIGHT, term, pod) for term in other.required]
            wishes += [(weight, term, pod) for weight, term in other.preferred]
            wishes += [(-weight, term, pod) for weight, term in other.preferred_anti]
            for weight, term, target in wishes:
                place = _place(term, node)
                if place is not None and term.matches(target.namespace, target.labels, labels_of):
                    sums[place] += weight
    if not sums:
        return None
    raw = {node.name: sum(sums.get(item, 0) for item in node.labels.items()) for node in feasible}
    least, most = min(raw.values()), max(raw.values())
    return {name: int(100 * (value - least) / (most - least)) if most > least else 0 for name, value in raw.items()}
