"""PodDisruptionBudgets: how many pods may be evicted now. Evictions themselves are the API server's; this sets what it reads.

https://kubernetes.io/docs/tasks/run-application/configure-pdb/ has the rules; the numbers follow the disruption controller.
"""

from __future__ import annotations

from collections.abc import Sequence

from halab.cluster.client import Key, rfc3339, seconds_of
from halab.cluster.controllers.actions import with_status
from halab.cluster.controllers.base import Controller
from halab.cluster.controllers.deployment_sizes import scaled
from halab.cluster.controllers.owners import controller_of
from halab.cluster.controllers.pods import is_deleting, is_ready
from halab.cluster.kube.kinds import (
    BUILTIN,
    DEPLOYMENTS,
    POD_DISRUPTION_BUDGETS,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    STATEFUL_SETS,
    Kind,
)
from halab.cluster.kube.selectors import from_label_selector
from halab.cluster.kube.status import ApiError
from halab.cluster.kube.types import Obj

EXPECTED_GONE = 120.0  # seconds that an evicted pod may take until it counts as deleted; then it counts as there again
CACHED = (REPLICA_SETS, DEPLOYMENTS, STATEFUL_SETS)


def uses_scale(pdb: Obj) -> bool:
    """Whether the budget is relative to what the pods' owners want (a percentage, or maxUnavailable)."""
    spec = pdb["spec"]
    return spec.get("maxUnavailable") is not None or (
        isinstance(spec.get("minAvailable"), str) and spec["minAvailable"].endswith("%")
    )


def expected_and_desired(pdb: Obj, pods: Sequence[Obj], wanted: int) -> tuple[int, int]:
    """(expectedPods, desiredHealthy); ``wanted`` is the sum of the owners' replicas."""
    spec = pdb["spec"]
    if (most := spec.get("maxUnavailable")) is not None:
        return wanted, max(0, wanted - scaled(most, wanted, up=True))
    least = spec.get("minAvailable")
    if least is None:
        return len(pods), 0
    if uses_scale(pdb):
        return wanted, scaled(least, wanted, up=True)
    return len(pods), int(least)


def disrupted(pdb: Obj, pods: Sequence[Obj], now: float) -> tuple[dict[str, str], float | None, list[Obj]]:
    """(evicted pods that are still on their way out, seconds until the next of them counts again, pods that were not deleted in time)."""
    noted: dict[str, str] = (pdb.get("status") or {}).get("disruptedPods") or {}
    kept: dict[str, str] = {}
    late: list[Obj] = []
    recheck: float | None = None
    for pod in pods:
        name = pod["metadata"]["name"]
        if name not in noted or is_deleting(pod):
            continue
        left = seconds_of(noted[name]) + EXPECTED_GONE - now
        if left <= 0:
            late.append(pod)
            continue
        kept[name] = noted[name]
        recheck = left if recheck is None else min(recheck, left)
    return kept, recheck, late


def status(pdb: Obj, pods: Sequence[Obj], wanted: int, now: float) -> Obj:
    """The status to be."""
    kept, _, _ = disrupted(pdb, pods, now)
    healthy = sum(is_ready(pod) and not is_deleting(pod) and pod["metadata"]["name"] not in kept for pod in pods)
    expected, desired = expected_and_desired(pdb, pods, wanted)
    allowed = max(0, healthy - desired) if expected > 0 else 0
    made: Obj = {
        "observedGeneration": pdb["metadata"].get("generation", 0),
        "disruptionsAllowed": allowed,
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "expectedPods": expected,
    }
    if kept:
        made["disruptedPods"] = kept
    value, reason = ("True", "SufficientPods") if allowed else ("False", "InsufficientPods")
    return made | {"conditions": _conditions(pdb, value, reason, "", now)}


def failed_status(pdb: Obj, message: str, now: float) -> Obj:
    """When the owners' wishes cannot be found out, nothing may be evicted."""
    old: Obj = pdb.get("status") or {}
    zero = {"currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0}
    return zero | old | {"disruptionsAllowed": 0, "conditions": _conditions(pdb, "False", "SyncFailed", message, now)}


def _conditions(pdb: Obj, value: str, reason: str, message: str, now: float) -> list[Obj]:
    old = list((pdb.get("status") or {}).get("conditions") or ())
    made = {
        "type": "DisruptionAllowed",
        "status": value,
        "observedGeneration": pdb["metadata"].get("generation", 0),
        "lastTransitionTime": rfc3339(now),
        "reason": reason,
        "message": message,
    }
    for i, each in enumerate(old):
        if each["type"] == made["type"]:
            if each["status"] == value:
                made["lastTransitionTime"] = each["lastTransitionTime"]
            old[i] = made
            return old
    return [*old, made]


class DisruptionController(Controller):
    name = "controllermanager"  # the event source that Kubernetes' disruption controller has

    def setup(self) -> None:
        self.follow(POD_DISRUPTION_BUDGETS)
        self.budgets, self.pods = self.informers(POD_DISRUPTION_BUDGETS), self.informers(PODS)
        self.pods.add_handler(self._pod_changed)
        for kind in CACHED:
            self.informers(kind).add_handler(self._owner_changed)

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        if old and new and _aspects(old) == _aspects(new):
            return
        for pdb in self.budgets.objects((new or old or {})["metadata"]["namespace"]):
            selector = from_label_selector(pdb["spec"].get("selector"))
            if any(pod is not None and selector.matches(pod["metadata"].get("labels") or {}) for pod in (old, new)):
                self.queue.add((pdb["metadata"]["namespace"], pdb["metadata"]["name"]))

    def _owner_changed(self, old: Obj | None, new: Obj | None) -> None:
        """A changed count of a workload changes what is expected."""
        if old and new and old["spec"].get("replicas") == new["spec"].get("replicas"):
            return
        for pdb in self.budgets.objects((new or old or {})["metadata"]["namespace"]):
            if uses_scale(pdb):
                self.queue.add((pdb["metadata"]["namespace"], pdb["metadata"]["name"]))

    async def reconcile(self, key: Key) -> None:
        pdb = self.budgets.get(*key)
        if pdb is None:
            return
        selector = from_label_selector(pdb["spec"].get("selector"))
        pods = [pod for pod in self.pods.objects(key[0]) if selector.matches(pod["metadata"].get("labels") or {})]
        now = self.now()
        if not pods:
            self.emit(pdb, "Normal", "NoPods", "No matching pods found")
        try:
            wanted = await self._wanted(pdb, pods) if uses_scale(pdb) else 0
            made = status(pdb, pods, wanted, now)
        except (ApiError, LookupError) as exc:
            message = str(exc.args[0] if exc.args else exc)
            self.emit(
                pdb, "Warning", "CalculateExpectedPodCountFailed", f"Failed to calculate the number of expected pods: {message}"
            )
            made = failed_status(pdb, message, now)
        if made != (pdb.get("status") or {}):
            await self.context.update(POD_DISRUPTION_BUDGETS, with_status(pdb, made), subresource="status")
        _, recheck, late = disrupted(pdb, pods, now)
        for pod in late:
            message = f"Pod was expected by PDB {key[0]}/{key[1]} to be deleted but it wasn't"
            self.emit(pod, "Warning", "NotDeleted", message)
        if recheck is not None:
            self.queue.add_after(key, recheck)

    async def _wanted(self, pdb: Obj, pods: Sequence[Obj]) -> int:
        """The sum of the replicas that the pods' owners want. Raises LookupError for an owner that has no count."""
        owners: dict[str, int] = {}
        unmanaged: list[str] = []
        for pod in pods:
            reference = controller_of(pod)
            if reference is None:
                unmanaged.append(pod["metadata"]["name"])
            elif reference["uid"] not in owners:
                uid, count = await self._scale(pod["metadata"]["namespace"], reference)
                owners[uid] = count
                owners.setdefault(reference["uid"], 0 if uid != reference["uid"] else count)
        if unmanaged:
            message = (
                f"Pods selected by this PodDisruptionBudget (selector: {from_label_selector(pdb['spec'].get('selector'))}) were found to be "
                "unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may result in undefined behavior. To "
                'account for these pods please set ".spec.minAvailable" field of the PDB to an integer value.'
            )
            self.emit(pdb, "Warning", "UnmanagedPods", message)
        return sum(owners.values())

    async def _scale(self, namespace: str, reference: Obj) -> tuple[str, int]:
        """(uid, replicas) of the owner that counts: the Deployment of a ReplicaSet, else the owner itself."""
        kind = next((k for k in BUILTIN if (k.api_version, k.kind) == (reference["apiVersion"], reference["kind"])), None)
        if kind is not None and self.informers.has(kind) and kind in CACHED:
            owner = self.informers(kind).get(namespace, reference["name"])
            if owner is None or owner["metadata"]["uid"] != reference["uid"]:
                return reference["uid"], 0
            above = controller_of(owner) if kind == REPLICA_SETS else None
            if above is not None and above["kind"] == DEPLOYMENTS.kind:
                return await self._scale(namespace, above)
            return reference["uid"], int(owner["spec"].get("replicas", 1))
        return reference["uid"], await self._scale_of_other(namespace, reference, kind)

    async def _scale_of_other(self, namespace: str, reference: Obj, kind: Kind | None) -> int:
        if kind is not None and kind != REPLICATION_CONTROLLERS and kind.subresource("scale") is None:
            group = kind.plural + (f".{kind.group}" if kind.group else "")
            raise LookupError(f"{group} does not implement the scale subresource")
        if kind is None:
            raise LookupError(f"no matches for kind {reference['kind']!r} in {reference['apiVersion']!r}".replace("'", '"'))
        scale = await self.context.client.get(kind, reference["name"], namespace, subresource="scale")
        return int((scale.get("spec") or {}).get("replicas", 0))


def _aspects(pod: Obj) -> tuple[object, ...]:
    return pod["metadata"].get("labels"), is_ready(pod), is_deleting(pod), controller_of(pod)
