"""Pods, nodes and look-ups to schedule with, in one line each."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from halab.cluster.kube.types import Obj
from halab.cluster.scheduler import preemption, scores
from halab.cluster.scheduler.filters import feasible
from halab.cluster.scheduler.model import NodeInfo, PodInfo, Snapshot
from halab.cluster.scheduler.status import Unfit

_numbers = itertools.count(1)


class Look:
    """Look-ups over plain dictionaries."""

    def __init__(self, **parts: Any) -> None:
        self.claims: dict[str, Obj] = parts.get("claims", {})
        self.pvs: dict[str, Obj] = parts.get("volumes", {})
        self.classes: dict[str, Obj] = parts.get("classes", {})
        self.namespaces: dict[str, dict[str, str]] = parts.get("namespaces", {})
        self.resource_claims: dict[str, Obj] = parts.get("resource_claims", {})
        self.device_classes: set[str] = parts.get("device_classes", set())
        self.selectors: list[Callable[[Mapping[str, str]], bool]] = parts.get("selectors", [])

    def claim(self, namespace: str, name: str) -> Obj | None:
        return self.claims.get(name)

    def volume(self, name: str) -> Obj | None:
        return self.pvs.get(name)

    def volumes(self) -> Iterable[Obj]:
        return self.pvs.values()

    def storage_class(self, name: str) -> Obj | None:
        return self.classes.get(name)

    def resource_claim(self, namespace: str, name: str) -> Obj | None:
        return self.resource_claims.get(name)

    def has_device_class(self, name: str) -> bool:
        return name in self.device_classes

    def namespace_labels(self, name: str) -> Mapping[str, str]:
        return self.namespaces.get(name, {})

    def spread_selectors(self, pod: PodInfo) -> list[Callable[[Mapping[str, str]], bool]]:
        return self.selectors


def pod(name: str = "", *, labels: dict[str, str] | None = None, requests: Obj | None = None, **spec: Any) -> PodInfo:
    number = next(_numbers)
    meta = {"name": name or f"pod-{number}", "namespace": spec.pop("namespace", "default"), "uid": f"uid-{number}"}
    status = spec.pop("status", {})
    if spec.pop("terminating", False):
        meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    containers = spec.pop("containers", [{"name": "main", "resources": {"requests": requests or {}}}])
    return PodInfo.of(
        {"metadata": {**meta, "labels": labels or {}}, "spec": {"containers": containers, **spec}, "status": status}
    )


def node(name: str, *pods: PodInfo, labels: dict[str, str] | None = None, **parts: Any) -> NodeInfo:
    allocatable = {"cpu": "4", "memory": "8Gi", "pods": "110", **parts.pop("allocatable", {})}
    images = parts.pop("images", [])
    return NodeInfo(
        {
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **(labels or {})}},
            "spec": parts,
            "status": {"allocatable": allocatable, "images": images},
        },
        pods,
    )


def snapshot(*nodes: NodeInfo, **look: Any) -> Snapshot:
    return Snapshot({each.name: each for each in nodes}, Look(**look))


def names(wanted: PodInfo, where: Snapshot) -> list[str]:
    """The nodes that pass the filters."""
    return [found.name for found in feasible(wanted, where)[1]]


def place(wanted: PodInfo, where: Snapshot) -> str:
    """The best node, the first by name among equals; the pod is put on it."""
    cycle, nodes = feasible(wanted, where)
    chosen = scores.best(cycle, nodes, min)
    where.nodes[chosen].add(wanted)
    return chosen


def refusal(wanted: PodInfo, where: Snapshot, budgets: Iterable[Obj] = ()) -> str:
    """What the event and the condition say of a pod that fits nowhere."""
    try:
        feasible(wanted, where)
    except Unfit as unfit:
        if unfit.general is not None:
            return unfit.message("not found")
        if reason := preemption.ineligible(wanted, where, unfit):
            return unfit.message(f"preemption: {reason}")
        outcome = preemption.preempt(wanted, where, unfit, list(budgets))
        return unfit.message(f"preemption: {outcome}") if isinstance(outcome, str) else unfit.message()
    raise AssertionError("it fits")


def victims(wanted: PodInfo, where: Snapshot, budgets: Iterable[Obj] = ()) -> tuple[str, list[str]]:
    """The node to preempt on and the names of those that must go."""
    try:
        feasible(wanted, where)
    except Unfit as unfit:
        outcome = preemption.preempt(wanted, where, unfit, list(budgets))
        assert not isinstance(outcome, str), outcome
        return outcome.node, [victim.name for victim in outcome.pods]
    raise AssertionError("it fits")
