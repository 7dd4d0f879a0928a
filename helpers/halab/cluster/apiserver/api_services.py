"""APIServices of the groups that this server serves itself: each has one, always available, as the aggregator registers them.

Priorities are the aggregator's: they are what ``kubectl get apiservices -o yaml`` shows, and the order of ``/apis`` follows them (``kinds.GROUPS``).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from halab.cluster.apiserver.names import now
from halab.cluster.kube import kinds
from halab.cluster.store.store import Transaction

Obj = dict[str, Any]
AUTOMANAGED = "kube-aggregator.kubernetes.io/automanaged"
_PRIORITIES = {
    "": 18000, "apps": 17800, "events.k8s.io": 17750, "authentication.k8s.io": 17700, "authorization.k8s.io": 17600, "autoscaling": 17500,
    "batch": 17400, "certificates.k8s.io": 17300, "networking.k8s.io": 17200, "policy": 17100, "rbac.authorization.k8s.io": 17000,
    "storage.k8s.io": 16800, "apiextensions.k8s.io": 16700, "admissionregistration.k8s.io": 16700, "scheduling.k8s.io": 16600,
    "coordination.k8s.io": 16500, "node.k8s.io": 16300, "discovery.k8s.io": 16200, "resource.k8s.io": 15900, "flowcontrol.apiserver.k8s.io": 16100,
    "metrics.k8s.io": 100,
}  # fmt: skip
_VERSIONS = {
    ("", "v1"): 1,
    ("flowcontrol.apiserver.k8s.io", "v1"): 21,
    ("resource.k8s.io", "v1"): 20,
    ("autoscaling", "v2"): 30,
    ("networking.k8s.io", "v1"): 25,
    ("metrics.k8s.io", "v1beta1"): 100,
}
_CUSTOM = (1000, 100)


def name_of(group: str, version: str) -> str:
    return f"{version}.{group}"


def local(group: str, version: str) -> Obj:
    """The APIService of a group's version, without what every new object gets."""
    custom = group not in _PRIORITIES
    first, second = _CUSTOM if custom else (_PRIORITIES[group], _VERSIONS.get((group, version), 15))
    spec: Obj = {"version": version, "groupPriorityMinimum": first, "versionPriority": second}
    if group:
        spec["group"] = group
    available = {"type": "Available", "status": "True", "reason": "Local", "message": "Local APIServices are always available"}
    return {
        "metadata": {"name": name_of(group, version), "labels": {AUTOMANAGED: "true" if custom else "onstart"}},
        "spec": spec,
        "status": {"conditions": [{**available, "lastTransitionTime": now()}]},
    }


def builtin() -> Iterable[tuple[str, str]]:
    """The groups and versions that are registered at the start; apiregistration.k8s.io registers nobody but others."""
    return [(group, version) for group, versions in kinds.GROUPS for version in versions if group != "apiregistration.k8s.io"]


def ensure(tx: Transaction, group: str, version: str, make: Any) -> None:
    """Register a group's version unless it is; ``make`` gives a new object what every one gets."""
    kind = kinds.API_SERVICES
    if tx.get(kind.storage, "", name_of(group, version)) is None:
        wanted = local(group, version)
        made = make(kind, wanted)
        tx.put(kind.storage, "", wanted["metadata"]["name"], made | {"status": wanted["status"]})


def forget(tx: Transaction, group: str, version: str) -> None:
    """A custom group's version is no longer served by anybody."""
    kind = kinds.API_SERVICES
    entry = tx.get(kind.storage, "", name_of(group, version))
    if entry is not None and (entry.obj()["metadata"].get("labels") or {}).get(AUTOMANAGED) == "true":
        tx.delete(kind.storage, "", entry.name, entry.obj())
