"""``pods/eviction``: a deletion that a PodDisruptionBudget may refuse
(https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/).

Checking the budget, taking one disruption from it and deleting the pod are one transaction.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from halab.cluster.apiserver import names, objects
from halab.cluster.apiserver.admission import connecting
from halab.cluster.apiserver.context import Context
from halab.cluster.apiserver.deletes import delete_object
from halab.cluster.apiserver.options import DeleteOptions, from_object, write_options
from halab.cluster.apiserver.request import Request
from halab.cluster.apiserver.subresources.binding import CREATED
from halab.cluster.kube import kinds, status
from halab.cluster.kube.kinds import Kind
from halab.cluster.kube.selectors import SelectorError, from_label_selector
from halab.cluster.kube.status import ApiError
from halab.cluster.store.store import Transaction

Obj = dict[str, Any]
REFUSED = "Cannot evict pod as it would violate the pod's disruption budget."
MAX_DISRUPTED = 2000
PROCESSING_SECONDS = 10


async def create(context: Context, request: Request, kind: Kind) -> None:
    options = write_options(request, "CreateOptions")
    await request.read_body()
    eviction = objects.decode(request, kinds.EVICTIONS, context.node(kinds.EVICTIONS), options)
    if eviction["metadata"].get("name") and eviction["metadata"]["name"] != request.name:
        raise status.bad_request("name in URL does not match name in Eviction object")
    wanted = from_object(eviction.get("deleteOptions") or {})
    wanted.dry_run = wanted.dry_run or options.dry_run

    def work(tx: Transaction) -> None:
        connecting.admit(request, tx, context, kind, kinds.EVICTIONS, deepcopy(eviction), wanted.dry_run)
        _evict(tx, request, wanted)

    await context.transact(request, work, dry_run=wanted.dry_run)
    await request.answer_json(201, CREATED)


def _evict(tx: Transaction, request: Request, options: DeleteOptions) -> None:
    entry = tx.get(kinds.PODS.storage, request.namespace, request.name)
    if entry is None:
        raise status.not_found(kinds.PODS, request.name)
    pod = entry.obj()
    if not _needs_no_budget(pod):
        budgets = [budget for budget in _budgets(tx, request.namespace) if _matches(budget, pod)]
        if len(budgets) > 1:
            raise status.unclassified(
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
            )
        if budgets and not _spared(budgets[0], pod):
            _take(tx, budgets[0], pod)
    _mark_disrupted(tx, request, pod)
    marked = tx.get(kinds.PODS.storage, request.namespace, request.name)
    if marked is not None:
        if options.resource_version == str(entry.revision):
            options.resource_version = str(marked.revision)
        delete_object(tx, kinds.PODS, marked, options, request.user)


def _needs_no_budget(pod: Obj) -> bool:
    """A pod that serves nobody yet, or no more."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed", "Pending") or bool(
        pod["metadata"].get("deletionTimestamp")
    )


def _budgets(tx: Transaction, namespace: str) -> list[Obj]:
    return [entry.obj() for entry in tx.list(kinds.POD_DISRUPTION_BUDGETS.storage, namespace)]


def _matches(budget: Obj, pod: Obj) -> bool:
    try:
        return from_label_selector((budget.get("spec") or {}).get("selector")).matches(pod["metadata"].get("labels"))
    except SelectorError:
        return False


def _is_ready(pod: Obj) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def _spared(budget: Obj, pod: Obj) -> bool:
    """Whether an unready pod may go without asking its budget (unhealthyPodEvictionPolicy)."""
    if _is_ready(pod):
        return False
    if (budget.get("spec") or {}).get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    state = budget.get("status") or {}
    desired = state.get("desiredHealthy") or 0
    return bool((state.get("currentHealthy") or 0) >= desired and desired > 0)


def _refusal(message: str, retry_after: int = 0) -> ApiError:
    return status.too_many_requests(REFUSED, retry_after, [{"reason": "DisruptionBudget", "message": message}])


def _take(tx: Transaction, budget: Obj, pod: Obj) -> None:
    """Take one disruption from the budget; raises 429 if it has none."""
    meta, state = budget["metadata"], budget.setdefault("status", {})
    name = meta["name"]
    if (state.get("observedGeneration") or 0) < (meta.get("generation") or 0):
        raise _refusal(f"The disruption budget {name} is still being processed by the server.", PROCESSING_SECONDS)
    allowed = state.get("disruptionsAllowed") or 0
    if allowed < 0:
        raise status.forbidden(kinds.POD_DISRUPTION_BUDGETS, name, "pdb disruptions allowed is negative")
    disrupted = state.get("disruptedPods") or {}
    if len(disrupted) > MAX_DISRUPTED:
        raise status.forbidden(
            kinds.POD_DISRUPTION_BUDGETS, name, "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        )
    if allowed == 0:
        failed = next(
            (c for c in state.get("conditions") or () if c["type"] == "DisruptionAllowed" and c.get("reason") == "SyncFailed"),
            None,
        )
        if failed is not None and failed["status"] == "False":
            raise _refusal(
                f"The disruption budget {name} does not allow evicting pods currently because it failed sync: {failed.get('message', '')}"
            )
        raise _refusal(
            f"The disruption budget {name} needs {state.get('desiredHealthy', 0)} healthy pods and has {state.get('currentHealthy', 0)} currently"
        )
    state["disruptionsAllowed"] = allowed - 1
    if allowed == 1:
        _insufficient(state, meta)
    state["disruptedPods"] = disrupted | {pod["metadata"]["name"]: names.now()}
    tx.put(kinds.POD_DISRUPTION_BUDGETS.storage, meta["namespace"], name, budget)


def _insufficient(state: Obj, meta: Obj) -> None:
    condition = {
        "type": "DisruptionAllowed",
        "status": "False",
        "observedGeneration": state.get("observedGeneration", meta.get("generation", 0)),
        "lastTransitionTime": names.now(),
        "reason": "InsufficientPods",
        "message": "",
    }
    others = [present for present in state.get("conditions") or () if present["type"] != "DisruptionAllowed"]
    state["conditions"] = [*others, condition]


def _mark_disrupted(tx: Transaction, request: Request, pod: Obj) -> None:
    """The pod says why it goes."""
    state = pod.setdefault("status", {})
    condition = {
        "type": "DisruptionTarget",
        "observedGeneration": pod["metadata"].get("generation", 1),
        "status": "True",
        "lastProbeTime": None,
        "lastTransitionTime": names.now(),
        "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting",
    }
    state["conditions"] = [c for c in state.get("conditions") or () if c["type"] != "DisruptionTarget"] + [condition]
    tx.put(kinds.PODS.storage, request.namespace, request.name, pod)
