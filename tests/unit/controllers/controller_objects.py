"""Objects as the API would return them, for plans: what a test does not say has a sensible value."""

from __future__ import annotations

import copy
import itertools
from typing import Any

from halab.cluster.client import rfc3339
from halab.cluster.controllers.actions import Action, Create, Delete, Emit, Patch, Update
from halab.cluster.kube.types import Obj

NOW = 1_700_000_000.0
_serial = itertools.count(1)


def made(kind: str, name: str, api: str = "v1", *, labels: dict[str, str] | None = None, age: float = 100.0, **parts: Any) -> Obj:
    meta: Obj = {
        "name": name,
        "namespace": "ns",
        "uid": f"uid-{name}",
        "resourceVersion": str(next(_serial)),
        "generation": 1,
        "creationTimestamp": rfc3339(NOW - age),
    }
    if labels:
        meta["labels"] = labels
    return {"apiVersion": api, "kind": kind, "metadata": meta, **parts}


def owned(obj: Obj, owner: Obj) -> Obj:
    meta = owner["metadata"]
    reference = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": meta["name"], "uid": meta["uid"]}
    obj["metadata"]["ownerReferences"] = [reference | {"controller": True, "blockOwnerDeletion": True}]
    return obj


def pod(
    name: str,
    *,
    ready: bool = False,
    phase: str = "Running",
    node: str = "node-1",
    labels: dict[str, str] | None = None,
    since: float = 50.0,
    deleting: bool = False,
    ip: str = "",
    **spec: Any,
) -> Obj:
    condition = {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": rfc3339(NOW - since)}
    status: Obj = {"phase": phase, "conditions": [condition], "startTime": rfc3339(NOW - 1000)}
    if ip:
        status |= {"podIP": ip, "podIPs": [{"ip": ip}]}
    body: Obj = {"containers": [{"name": "main", "image": "nginx"}]} | spec
    if node:
        body["nodeName"] = node
    obj = made("Pod", name, labels=labels or {"app": "web"}, spec=body, status=status)
    if deleting:
        obj["metadata"]["deletionTimestamp"] = rfc3339(NOW)
    return obj


def deployment(replicas: int = 3, *, version: str = "1", status: Obj | None = None, **spec: Any) -> Obj:
    template = {
        "metadata": {"labels": {"app": "web", "v": version}},
        "spec": {"containers": [{"name": "main", "image": "nginx"}]},
    }
    body = {
        "replicas": replicas,
        "selector": {"matchLabels": {"app": "web"}},
        "template": template,
        "progressDeadlineSeconds": 600,
        "revisionHistoryLimit": 10,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
    }
    return made("Deployment", "web", "apps/v1", spec=body | spec, status=status or {})


def replica_set(
    owner: Obj,
    version: str,
    replicas: int,
    *,
    available: int | None = None,
    revision: int = 1,
    desired: int | None = None,
    age: float = 90.0,
) -> Obj:
    template = copy.deepcopy(owner["spec"]["template"])
    template["metadata"]["labels"] = {"app": "web", "v": version, "pod-template-hash": f"h{version}"}
    up = replicas if available is None else available
    rs = made(
        "ReplicaSet",
        f"web-h{version}",
        "apps/v1",
        labels=dict(template["metadata"]["labels"]),
        age=age,
        spec={
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web", "pod-template-hash": f"h{version}"}},
            "template": template,
        },
        status={"replicas": replicas, "readyReplicas": up, "availableReplicas": up, "observedGeneration": 1},
    )
    want = owner["spec"]["replicas"] if desired is None else desired
    rs["metadata"]["annotations"] = {
        "deployment.kubernetes.io/revision": str(revision),
        "deployment.kubernetes.io/desired-replicas": str(want),
        "deployment.kubernetes.io/max-replicas": str(want + 1),
    }
    return owned(rs, owner)


def brief(actions: list[Action]) -> list[str]:
    """Actions in a line each: what a golden test compares."""
    lines = []
    for action in actions:
        match action:
            case Create():
                size = action.obj.get("spec", {}).get("replicas")
                name = action.obj["metadata"].get("name") or action.obj["metadata"]["generateName"]
                lines.append(f"create {action.kind.kind} {name}" + (f" x{size}" if size is not None else ""))
            case Update():
                name = f"{action.kind.kind} {action.obj['metadata']['name']}"
                if action.subresource:
                    lines.append(f"{action.subresource} of {name}")
                else:
                    lines.append(f"update {name} x{action.obj.get('spec', {}).get('replicas')}")
            case Patch():
                lines.append(f"patch {action.kind.kind} {action.name}")
            case Delete():
                lines.append(f"delete {action.kind.kind} {action.obj['metadata']['name']}")
            case Emit():
                lines.append(f"{action.reason}: {action.message}")
    return lines


def status_in(actions: list[Action]) -> Obj:
    """The status that the last status update writes."""
    found = [action.obj["status"] for action in actions if isinstance(action, Update) and action.subresource == "status"]
    result: Obj = found[-1]
    return result


def condition_in(status: Obj, type: str) -> tuple[str, str, str]:
    found = next(each for each in status["conditions"] if each["type"] == type)
    return found["status"], found["reason"], found["message"]
