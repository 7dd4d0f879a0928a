"""The scores: which of the nodes that pass the filters is best. Each gives 0-100 a node; their weighted sum decides, chance breaks ties.

The plugins and weights of Kubernetes' default profile (https://kubernetes.io/docs/reference/scheduling/config/#scheduling-plugins).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from halab.cluster.scheduler import interpod, spread
from halab.cluster.scheduler.filters import Cycle
from halab.cluster.scheduler.model import NodeInfo, PodInfo, Snapshot
from halab.cluster.scheduler.terms import NodeTerm, untolerated

MEBIBYTE = 1024 * 1024
LEAST_IMAGE, MOST_IMAGE = 23 * MEBIBYTE, 1000 * MEBIBYTE  # below the first an image does not matter, above the second not more

Scores = Mapping[str, int]


def _normalized(raw: dict[str, int], *, reverse: bool = False) -> dict[str, int]:
    most = max(raw.values(), default=0)
    if not most:
        return dict.fromkeys(raw, 100 if reverse else 0)
    return {name: 100 - 100 * value // most if reverse else 100 * value // most for name, value in raw.items()}


def taints(pod: PodInfo, nodes: list[NodeInfo]) -> Scores:
    """Fewer untolerated PreferNoSchedule taints are better."""

    def soft(node: NodeInfo) -> int:
        return sum(1 for taint in node.taints if untolerated((taint,), pod.tolerations, ("PreferNoSchedule",)))

    return _normalized({node.name: soft(node) for node in nodes}, reverse=True)


def node_affinity(pod: PodInfo, nodes: list[NodeInfo]) -> Scores | None:
    affinity = (pod.spec.get("affinity") or {}).get("nodeAffinity") or {}
    preferred = affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
    terms = [(item["weight"], NodeTerm.of(item.get("preference") or {})) for item in preferred]
    if not terms:
        return None
    return _normalized(
        {node.name: sum(weight for weight, term in terms if term.matches(node.name, node.labels)) for node in nodes}
    )


def least_allocated(pod: PodInfo, node: NodeInfo) -> int:
    """The share of CPU and memory that stays free."""
    total, counted = 0, 0
    for name in ("cpu", "memory"):
        there = node.allocatable.get(name, 0)
        if not there:
            continue
        counted += 1
        used = node.counted.get(name, 0) + pod.counted.get(name, 0)
        total += (there - used) * 100 // there if used <= there else 0
    return total // counted if counted else 0


def balanced(pod: PodInfo, node: NodeInfo) -> int:
    """How alike the used shares of CPU and memory are."""
    shares = []
    for name in ("cpu", "memory"):
        there = node.allocatable.get(name, 0)
        if there:
            shares.append(min((node.requested.get(name, 0) + pod.requests.get(name, 0)) / there, 1.0))
    deviation = abs(shares[0] - shares[1]) / 2 if len(shares) == 2 else 0.0
    return int((1 - deviation) * 100)


def image_locality(pod: PodInfo, snapshot: Snapshot, nodes: list[NodeInfo]) -> Scores | None:
    """Nodes that have large images of the pod already are better, the more so the commoner the image is."""
    images = [_full(container.get("image") or "") for container in pod.spec.get("containers") or ()]
    holders = {image: sum(1 for node in snapshot.nodes.values() if image in node.images) for image in images}
    if not any(holders.values()):
        return None
    least, most = LEAST_IMAGE, MOST_IMAGE * len(images)

    def score(node: NodeInfo) -> int:
        size = sum(int(node.images.get(image, 0) * holders[image] / len(snapshot.nodes)) for image in images)
        return 100 * (max(least, min(size, most)) - least) // (most - least)

    return {node.name: score(node) for node in nodes}


def _full(image: str) -> str:
    return image if ":" in image.rpartition("/")[2] or "@" in image else f"{image}:latest"


def total(cycle: Cycle, nodes: list[NodeInfo]) -> dict[str, int]:
    """The weighted sum of all scores for each feasible node."""
    pod, snapshot = cycle.pod, cycle.snapshot
    sums = {node.name: least_allocated(pod, node) + (balanced(pod, node) if pod.requests else 0) for node in nodes}
    weighted: tuple[tuple[int, Scores | None], ...] = (
        (3, taints(pod, nodes)),
        (2, node_affinity(pod, nodes)),
        (2, spread.score(pod, snapshot, nodes, cycle.choice)),
        (2, interpod.score(pod, snapshot, nodes)),
        (1, image_locality(pod, snapshot, nodes)),
    )
    for weight, scores in weighted:
        if scores is not None:
            for name in sums:
                sums[name] += weight * scores[name]
    return sums


def best(cycle: Cycle, nodes: list[NodeInfo], choose: Callable[[list[str]], str] = random.choice) -> str:
    """The name of the node with the highest sum; among equals, whichever ``choose`` takes."""
    if len(nodes) == 1:
        return nodes[0].name
    sums = total(cycle, nodes)
    most = max(sums.values())
    return choose([name for name, value in sums.items() if value == most])
