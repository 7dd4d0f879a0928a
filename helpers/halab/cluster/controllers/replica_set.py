"""ReplicaSets: keep the number of pods; adopt and release; choose well which pods go.

The order of deletion is Kubernetes' ActivePodsWithRanks (controller_utils.go names the rules; the ReplicaSet documentation explains them).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from halab.cluster.client import Key, rfc3339, seconds_of
from halab.cluster.controllers.actions import with_status
from halab.cluster.controllers.base import Controller, is_terminating, slow_start
from halab.cluster.controllers.deployment_sizes import replicas_of
from halab.cluster.controllers.owners import candidates, claim, controller_of, index_by_controller
from halab.cluster.controllers.pods import (
    condition,
    from_template,
    is_active,
    is_available,
    is_ready,
    phase,
    restarts,
    wait_for_available,
)
from halab.cluster.kube.kinds import PODS, REPLICA_SETS, REPLICATION_CONTROLLERS, Kind
from halab.cluster.kube.selectors import Selector, from_label_selector, from_labels
from halab.cluster.kube.status import ApiError
from halab.cluster.kube.types import Obj

BURST = 500  # pods made or deleted in one pass at most, as in Kubernetes
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"


@dataclass(frozen=True)
class Plan:
    """``create`` that many pods, or delete these."""

    create: int
    delete: list[Obj]


def plan(rs: Obj, pods: Sequence[Obj], related: Sequence[Obj], now: float) -> Plan:
    """``pods`` are the set's active pods; ``related`` those of all sets of the same owner (who stands where is judged by them)."""
    if rs["metadata"].get("deletionTimestamp"):
        return Plan(0, [])
    surplus = len(pods) - replicas_of(rs)
    if surplus <= 0:
        return Plan(min(-surplus, BURST), [])
    if surplus >= len(pods):
        return Plan(0, list(pods)[:BURST])
    crowd: dict[str, int] = {}
    for pod in related:
        if is_active(pod) and (node := pod["spec"].get("nodeName")):
            crowd[node] = crowd.get(node, 0) + 1
    ordered = sorted(pods, key=lambda pod: _worth(pod, crowd.get(pod["spec"].get("nodeName", ""), 0), now))
    return Plan(0, ordered[: min(surplus, BURST)])


def _worth(pod: Obj, neighbours: int, now: float) -> tuple[float, ...]:
    """Pods with the smallest worth go first."""
    ready = is_ready(pod)
    since = seconds_of((condition(pod, "Ready") or {}).get("lastTransitionTime")) if ready else 0.0
    cost = (pod["metadata"].get("annotations") or {}).get(DELETION_COST, "0")
    return (
        bool(pod["spec"].get("nodeName")),
        {"Pending": 0, "Unknown": 1, "Running": 2}.get(phase(pod), 0),
        ready,
        int(cost) if cost.lstrip("+-").isdecimal() else 0,
        -neighbours,
        _age_class(since, now) if ready else 0,
        -restarts(pod),
        _age_class(seconds_of(pod["metadata"].get("creationTimestamp")), now),
    )


def _age_class(since: float, now: float) -> float:
    """Ages are compared by their order of magnitude only, so that no deletion always hits the youngest zone or node."""
    age = (now - since) * 1e9
    return math.floor(math.log2(age)) if since and age >= 1 else -1.0


def status(rs: Obj, pods: Sequence[Obj], failure: tuple[str, str] | None, now: float) -> Obj:
    """The status to be; ``failure`` is (reason, message) if pods could not be made or deleted."""
    template_labels = from_labels((rs["spec"]["template"].get("metadata") or {}).get("labels") or {})
    minimum = rs["spec"].get("minReadySeconds", 0)
    counts = {
        "replicas": len(pods),
        "fullyLabeledReplicas": sum(template_labels.matches(pod["metadata"].get("labels") or {}) for pod in pods),
        "readyReplicas": sum(is_ready(pod) for pod in pods),
        "availableReplicas": sum(is_available(pod, minimum, now) for pod in pods),
        "observedGeneration": rs["metadata"].get("generation", 0),
    }
    made: Obj = {"replicas": counts.pop("replicas")} | {key: value for key, value in counts.items() if value}
    conditions = list((rs.get("status") or {}).get("conditions") or ())
    failing = any(each["type"] == "ReplicaFailure" for each in conditions)
    if failure and not failing:
        reason, message = failure
        failed = {
            "type": "ReplicaFailure",
            "status": "True",
            "lastTransitionTime": rfc3339(now),
            "reason": reason,
            "message": message,
        }
        conditions.append(failed)
    elif failing and not failure:
        conditions = [each for each in conditions if each["type"] != "ReplicaFailure"]
    if conditions:
        made["conditions"] = conditions
    return made


class ReplicaSetController(Controller):
    """``kind`` is what it keeps the pods of."""

    name = "replicaset-controller"
    workers = 8
    kind: ClassVar[Kind] = REPLICA_SETS

    def setup(self) -> None:
        self.follow(self.kind)
        self.sets, self.pods = self.informers(self.kind), self.informers(PODS)
        index_by_controller(self.sets)
        self.follow_dependents(self.pods, self.sets, self.kind, self.selector)

    @staticmethod
    def selector(rs: Obj) -> Selector:
        return from_label_selector(rs["spec"]["selector"])

    def _related(self, rs: Obj) -> list[Obj]:
        reference = controller_of(rs)
        siblings = self.sets.indexed("controller", reference["uid"]) if reference else [rs]
        return [pod for each in siblings for pod in self.pods.indexed("controller", each["metadata"]["uid"])]

    async def reconcile(self, key: Key) -> None:
        rs = self.sets.get(*key)
        if rs is None:
            return
        selector = self.selector(rs)
        active = [pod for pod in candidates(self.pods, rs) if is_active(pod)]
        pods, claims = claim(rs, self.kind, PODS, active, lambda pod: selector.matches(pod["metadata"].get("labels") or {}))
        await self.apply(claims)
        failure, error = await self._act(rs, plan(rs, pods, self._related(rs), self.now()))
        now = self.now()
        # What was just made and deleted is in the cache already (see Informer.observe), so the status can tell of it at once.
        pods = [pod for pod in self.pods.indexed("controller", rs["metadata"]["uid"]) if is_active(pod)]
        rs = self.sets.get(*key) or rs
        made = status(rs, pods, failure, now)
        if made != (rs.get("status") or {}):
            await self.context.update(self.kind, with_status(rs, made), subresource="status")
        if error is not None:
            raise error
        if (wait := wait_for_available(pods, rs["spec"].get("minReadySeconds", 0), now)) is not None:
            self.queue.add_after(key, wait)

    async def _act(self, rs: Obj, todo: Plan) -> tuple[tuple[str, str] | None, BaseException | None]:
        async def make(_: int) -> None:
            try:
                pod = await self.context.create(PODS, from_template(rs["spec"]["template"], rs, self.kind))
            except ApiError as exc:
                if not is_terminating(exc):
                    self.emit(rs, "Warning", "FailedCreate", f"Error creating: {exc}")
                raise
            self.emit(rs, "Normal", "SuccessfulCreate", f"Created pod: {pod['metadata']['name']}")

        async def drop(number: int) -> None:
            pod = todo.delete[number]
            try:
                await self.context.delete(PODS, pod)
            except ApiError as exc:
                self.emit(rs, "Warning", "FailedDelete", f"Error deleting: {exc}")
                raise
            self.emit(rs, "Normal", "SuccessfulDelete", f"Deleted pod: {pod['metadata']['name']}")

        if todo.delete:
            _, error = await slow_start(len(todo.delete), drop)
            return (("FailedDelete", str(error)) if error else None), error
        _, error = await slow_start(todo.create, make)
        return (
            ("FailedCreate", str(error)) if error and not (isinstance(error, ApiError) and is_terminating(error)) else None
        ), error


class ReplicationControllerController(ReplicaSetController):
    """The same for the older kind, whose selector is a plain map of labels."""

    name = "replication-controller"
    workers = 2
    kind: ClassVar[Kind] = REPLICATION_CONTROLLERS

    @staticmethod
    def selector(rs: Obj) -> Selector:
        return from_labels(rs["spec"].get("selector") or {})
