"""Topology spread: how evenly matching pods lie over zones, nodes or any other label's values.

Rules: https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/. Pods without constraints of their own are
spread by the cluster's defaults (hostname with skew 3, zone with skew 5), softly, together with the pods of their Services and owner.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from halab.cluster.kube.selectors import from_label_selector
from halab.cluster.kube.types import Obj
from halab.cluster.scheduler.model import NodeInfo, PodInfo, Snapshot
from halab.cluster.scheduler.status import Refusal
from halab.cluster.scheduler.terms import NodeChoice, untolerated, with_label_keys

PLUGIN = "PodTopologySpread"
NOT_SPREAD = "node(s) didn't match pod topology spread constraints"
NO_LABEL = "node(s) didn't match pod topology spread constraints (missing required label)"
HOSTNAME, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"
DEFAULTS = ((HOSTNAME, 3), (ZONE, 5))

Matches = Callable[[Mapping[str, str]], bool]


@dataclass(slots=True)
class Constraint:
    key: str
    max_skew: int
    min_domains: int
    matches: Matches
    honor_affinity: bool = True
    honor_taints: bool = False

    def includes(self, pod: PodInfo, choice: NodeChoice, node: NodeInfo) -> bool:
        """Whether the node counts as a place at all (nodeAffinityPolicy, nodeTaintsPolicy)."""
        if self.honor_affinity and not choice.matches(node.name, node.labels):
            return False
        return not (self.honor_taints and untolerated(node.taints, pod.tolerations))

    def count(self, node: NodeInfo, namespace: str) -> int:
        return sum(
            1 for pod in node.pods.values() if pod.namespace == namespace and not pod.terminating and self.matches(pod.labels)
        )


def _constraint(item: Obj, pod: PodInfo) -> Constraint:
    selector = with_label_keys(from_label_selector(item.get("labelSelector")), pod.labels, item.get("matchLabelKeys"))
    return Constraint(
        item["topologyKey"],
        item["maxSkew"],
        item.get("minDomains") or 1,
        (lambda _: False) if selector.empty else selector.matches,
        (item.get("nodeAffinityPolicy") or "Honor") == "Honor",
        (item.get("nodeTaintsPolicy") or "Ignore") == "Honor",
    )


def constraints(pod: PodInfo, when: str) -> list[Constraint]:
    return [
        _constraint(item, pod) for item in pod.spec.get("topologySpreadConstraints") or () if item["whenUnsatisfiable"] == when
    ]


class HardSpread:
    """The filter: on which nodes one more matching pod keeps every skew within its bound."""

    def __init__(self, pod: PodInfo, snapshot: Snapshot, choice: NodeChoice) -> None:
        self.pod = pod
        self.constraints = constraints(pod, "DoNotSchedule")
        self.counts: list[dict[str, int]] = [{} for _ in self.constraints]
        if not self.constraints:
            return
        for node in snapshot.nodes.values():
            if any(constraint.key not in node.labels for constraint in self.constraints):
                continue
            for constraint, counts in zip(self.constraints, self.counts, strict=True):
                if constraint.includes(pod, choice, node):
                    place = node.labels[constraint.key]
                    counts[place] = counts.get(place, 0) + constraint.count(node, pod.namespace)

    def check(self, node: NodeInfo) -> Refusal | None:
        for constraint, counts in zip(self.constraints, self.counts, strict=True):
            place = node.labels.get(constraint.key)
            if place is None:
                return Refusal(PLUGIN, (NO_LABEL,), lasting=True)
            least = 0 if len(counts) < constraint.min_domains else min(counts.values(), default=0)
            itself = 1 if constraint.matches(self.pod.labels) else 0
            if counts.get(place, 0) + itself - least > constraint.max_skew:
                return Refusal(PLUGIN, (NOT_SPREAD,))
        return None


def soft_constraints(pod: PodInfo, snapshot: Snapshot) -> tuple[list[Constraint], bool]:
    """The constraints that only score, and whether nodes must carry all their labels (not so for the cluster's defaults)."""
    if pod.spec.get("topologySpreadConstraints"):
        return constraints(pod, "ScheduleAnyway"), True
    selectors = snapshot.lookup.spread_selectors(pod)
    if not selectors:
        return [], False

    def matches(labels: Mapping[str, str]) -> bool:
        return all(selector(labels) for selector in selectors)

    return [Constraint(key, skew, 1, matches) for key, skew in DEFAULTS], False


def score(pod: PodInfo, snapshot: Snapshot, feasible: list[NodeInfo], choice: NodeChoice) -> dict[str, int] | None:
    """0-100 for each feasible node, most for the emptiest places; None where the pod has no soft constraint."""
    soft, strict = soft_constraints(pod, snapshot)
    if not soft:
        return None

    def labelled(node: NodeInfo) -> bool:
        return not strict or all(constraint.key in node.labels for constraint in soft)

    scored = [node for node in feasible if labelled(node)]
    counts: list[dict[str, int]] = []
    weights: list[float] = []
    for constraint in soft:
        places = {} if constraint.key == HOSTNAME else {node.labels.get(constraint.key, ""): 0 for node in scored}
        counts.append(places)
        weights.append(math.log((len(scored) if constraint.key == HOSTNAME else len(places)) + 2))
    for node in snapshot.nodes.values():
        if not labelled(node):
            continue
        for constraint, places in zip(soft, counts, strict=True):
            place = node.labels.get(constraint.key, "")
            if place in places and constraint.includes(pod, choice, node):
                places[place] += constraint.count(node, pod.namespace)
    raw: dict[str, int] = {}
    for node in scored:
        total = 0.0
        for constraint, places, weight in zip(soft, counts, weights, strict=True):
            if constraint.key not in node.labels:
                continue
            here = constraint.count(node, pod.namespace) if constraint.key == HOSTNAME else places[node.labels[constraint.key]]
            total += here * weight + (constraint.max_skew - 1)
        raw[node.name] = math.floor(total + 0.5)
    least, most = min(raw.values(), default=0), max(raw.values(), default=0)
    return {
        node.name: 0 if node.name not in raw else 100 if not most else 100 * (most + least - raw[node.name]) // most
        for node in feasible
    }
