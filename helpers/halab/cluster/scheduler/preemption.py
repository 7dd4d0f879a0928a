"""Preemption: which pods of lower priority must go so that one of higher priority can run, and on which node that hurts least.

Rules: https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/. Pure: the victims are named, not deleted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from halab.cluster.kube.selectors import from_label_selector
from halab.cluster.kube.types import Obj
from halab.cluster.scheduler.filters import Cycle, with_nominated
from halab.cluster.scheduler.model import NodeInfo, PodInfo, Snapshot
from halab.cluster.scheduler.status import NO_VICTIMS, PREEMPTION_HELPLESS, Refusal, Unfit

PREEMPTED = "PreemptionByScheduler"  # the reason of the DisruptionTarget condition of a victim
NEVER = "not eligible due to preemptionPolicy=Never."
WAITING = "not eligible due to a terminating pod on the nominated node."


@dataclass(slots=True)
class Victims:
    node: str
    pods: list[PodInfo]  # most important first
    violations: int  # how many of them a PodDisruptionBudget protects


def ineligible(pod: PodInfo, snapshot: Snapshot, unfit: Unfit) -> str:
    """Why this pod may not preempt now, or an empty string."""
    if pod.spec.get("preemptionPolicy") == "Never":
        return NEVER
    nominated = (pod.pod.get("status") or {}).get("nominatedNodeName")
    node = snapshot.nodes.get(nominated or "")
    if nominated and node is not None:
        refusal = unfit.refusals.get(node.name)
        if refusal is not None and refusal.lasting:
            return ""
        if any(other.priority < pod.priority and being_preempted(other) for other in node.pods.values()):
            return WAITING
    return ""


def being_preempted(pod: PodInfo) -> bool:
    conditions = (pod.pod.get("status") or {}).get("conditions") or ()
    return pod.terminating and any(
        condition.get("type") == "DisruptionTarget" and condition.get("reason") == PREEMPTED for condition in conditions
    )


def preempt(
    pod: PodInfo, snapshot: Snapshot, unfit: Unfit, budgets: Sequence[Obj], nominated: dict[str, list[PodInfo]] | None = None
) -> Victims | str:
    """The victims on the best node, or the message that says why nobody can be preempted."""
    refusals: dict[str, Refusal] = {}
    candidates: list[Victims] = []
    for node in snapshot.nodes.values():
        refusal = unfit.refusals.get(node.name)
        if refusal is None or refusal.lasting:
            continue
        coming = with_nominated(pod, node, (nominated or {}).get(node.name, ())) or node
        outcome = _victims(pod, snapshot, coming, budgets)
        if isinstance(outcome, Victims):
            candidates.append(outcome)
        else:
            refusals[node.name] = outcome
    if candidates:
        return _least_harm(candidates)
    return Unfit(len(snapshot.nodes), refusals, rest=Refusal("", (PREEMPTION_HELPLESS,))).message()


def importance(pod: PodInfo) -> tuple[int, str]:
    """Sorts the most important first: higher priority, then longer running."""
    return -pod.priority, pod.started


def _victims(pod: PodInfo, snapshot: Snapshot, node: NodeInfo, budgets: Sequence[Obj]) -> Victims | Refusal:
    lower = sorted((other for other in node.pods.values() if other.priority < pod.priority), key=importance)
    if not lower:
        return Refusal("DefaultPreemption", (NO_VICTIMS,), lasting=True)

    def refusal_without(gone: list[PodInfo]) -> Refusal | None:
        rest = node.altered(without=gone)
        return Cycle(pod, snapshot.replaced(rest)).check(rest)

    refusal = refusal_without(lower)
    if refusal is not None:
        return refusal
    protected = _protected(lower, budgets)
    victims = list(lower)
    for other in [*(p for p in lower if p.uid in protected), *(p for p in lower if p.uid not in protected)]:
        spared = [victim for victim in victims if victim.uid != other.uid]
        if refusal_without(spared) is None:
            victims = spared
    return Victims(node.name, victims, sum(1 for victim in victims if victim.uid in protected))


def _protected(pods: Sequence[PodInfo], budgets: Sequence[Obj]) -> set[str]:
    """Those whose going would break a budget, when they go one after the other."""
    left = [(budget.get("status") or {}).get("disruptionsAllowed") or 0 for budget in budgets]
    selectors = [from_label_selector(budget["spec"].get("selector")) for budget in budgets]
    found: set[str] = set()
    for pod in pods:
        for index, budget in enumerate(budgets):
            selector = selectors[index]
            if budget["metadata"].get("namespace") != pod.namespace or not pod.labels or selector.empty:
                continue
            if not selector.matches(pod.labels) or pod.name in ((budget.get("status") or {}).get("disruptedPods") or {}):
                continue
            left[index] -= 1
            if left[index] < 0:
                found.add(pod.uid)
    return found


def _least_harm(candidates: list[Victims]) -> Victims:
    """Fewest broken budgets, then the least important victims, then the fewest, then those that began last."""

    def latest_start(victims: Victims) -> str:
        if not victims.pods:
            return "9"
        top = victims.pods[0].priority
        return min(pod.started for pod in victims.pods if pod.priority == top)

    def harm(victims: Victims) -> tuple[int, int, int, int]:
        priorities = [pod.priority for pod in victims.pods]
        highest = max(priorities, default=-(2**31))
        return victims.violations, highest, sum(priority + 2**31 for priority in priorities), len(priorities)

    least = min(harm(candidate) for candidate in candidates)
    return max((candidate for candidate in candidates if harm(candidate) == least), key=latest_start)
