"""``pods/binding`` (and the old ``bindings``): the scheduler gives a pod its node."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from halab.cluster.apiserver import names, objects
from halab.cluster.apiserver.admission import connecting
from halab.cluster.apiserver.context import Context
from halab.cluster.apiserver.options import write_options
from halab.cluster.apiserver.request import Request
from halab.cluster.kube import kinds, status
from halab.cluster.kube.kinds import Kind
from halab.cluster.store.store import Transaction

Obj = dict[str, Any]
CREATED = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
TOPOLOGY = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")


async def create(context: Context, request: Request, kind: Kind) -> None:
    options = write_options(request, "CreateOptions")
    await request.read_body()
    binding = objects.decode(request, kinds.BINDINGS, context.node(kinds.BINDINGS), options)
    name = request.name or binding["metadata"].get("name") or ""
    if request.name and binding["metadata"].get("name") not in (None, "", request.name):
        raise status.bad_request("name in URL does not match name in Binding object")
    _check_target(binding, name)

    def work(tx: Transaction) -> None:
        asked = deepcopy(binding)
        connecting.admit(request, tx, context, kind, kinds.BINDINGS, asked, options.dry_run)
        entry = tx.get(kinds.PODS.storage, request.namespace, name)
        if entry is None:
            raise status.not_found(kinds.PODS, name)
        pod = entry.obj()
        _assign(tx, pod, asked)
        tx.put(kinds.PODS.storage, request.namespace, name, pod)

    await context.transact(request, work, dry_run=options.dry_run)
    await request.answer_json(201, CREATED)


def _check_target(binding: Obj, name: str) -> None:
    target = binding.get("target") or {}
    errors = []
    if target.get("kind") not in (None, "", "Node"):
        errors.append(status.not_supported("target.kind", target["kind"], ["Node", "<empty>"]))
    if not target.get("name"):
        errors.append(status.required("target.name", ""))
    if errors:
        raise status.invalid(kinds.BINDINGS, name, errors)


def _assign(tx: Transaction, pod: Obj, binding: Obj) -> None:
    """Raises 409 for a pod that cannot be bound."""
    meta, spec, given = pod["metadata"], pod["spec"], binding["metadata"]
    name = meta["name"]
    problem = ""
    if given.get("uid") and given["uid"] != meta["uid"]:
        problem = f"Precondition failed: UID in precondition: {given['uid']}, UID in object meta: {meta['uid']}"
    elif meta.get("deletionTimestamp"):
        problem = f"pod {name} is being deleted, cannot be assigned to a host"
    elif spec.get("nodeName"):
        problem = f'pod {name} is already assigned to node "{spec["nodeName"]}"'
    elif spec.get("schedulingGates"):
        problem = f"pod {name} has non-empty .spec.schedulingGates"
    if problem:
        raise status.conflict("pods/binding", name, problem)
    spec["nodeName"] = binding["target"]["name"]
    for field in ("annotations", "labels"):
        if given.get(field):
            meta[field] = (meta.get(field) or {}) | given[field]
    node = tx.get(kinds.NODES.storage, "", spec["nodeName"])
    topology = {key: node.labels[key] for key in TOPOLOGY if node and node.labels and key in node.labels}
    if topology:
        meta["labels"] = (meta.get("labels") or {}) | topology
    _scheduled(pod)


def _scheduled(pod: Obj) -> None:
    state = pod.setdefault("status", {})
    condition: Obj = {"type": "PodScheduled", "observedGeneration": pod["metadata"].get("generation", 1), "status": "True"}
    condition |= {"lastProbeTime": None, "lastTransitionTime": names.now()}
    conditions = list(state.get("conditions") or ())
    for index, present in enumerate(conditions):
        if present["type"] == "PodScheduled":
            if present["status"] == "True":
                condition["lastTransitionTime"] = present.get("lastTransitionTime")
            conditions[index] = condition
            break
    else:
        conditions.append(condition)
    state["conditions"] = conditions
