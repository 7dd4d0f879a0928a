"""What an object uses of a ResourceQuota, and which quotas count it
(https://kubernetes.io/docs/concepts/policy/resource-quotas/).

Shared by admission, which refuses what would exceed a quota, and by the quota controller, which counts again. Amounts are quantities
as text, keyed by Kubernetes' names: ``pods``, ``requests.cpu``, ``count/deployments.apps``, ``gold.storageclass.storage.k8s.io/requests.storage``.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from halab.cluster.kube import quantity
from halab.cluster.kube.kinds import Kind
from halab.cluster.kube.types import Obj

Usage = dict[str, str]

_COUNTED = frozenset({"replicationcontrollers", "resourcequotas", "secrets", "configmaps", "services", "persistentvolumeclaims"})
_COMPUTE = ("cpu", "memory", "ephemeral-storage")
_STORAGE_CLASS = ".storageclass.storage.k8s.io/"
_BETA_CLASS = "volume.beta.kubernetes.io/storage-class"


def usage(kind: Kind, obj: Obj, now: datetime | None = None) -> Usage:
    """What ``obj`` uses. A finished pod uses nothing but ``count/pods``."""
    found = {f"count/{kind.group_resource}": "1"}
    if kind.group:
        return found
    if kind.plural == "pods":
        return found | (_pod(obj) if _is_active(obj, now or datetime.now(UTC)) else {})
    if kind.plural in _COUNTED:
        found[kind.plural] = "1"
    if kind.plural == "services":
        found |= _service(obj)
    elif kind.plural == "persistentvolumeclaims":
        found |= _claim(obj)
    return found


def _is_active(pod: Obj, now: datetime) -> bool:
    if (pod.get("status") or {}).get("phase") in ("Failed", "Succeeded"):
        return False
    deleted = pod["metadata"].get("deletionTimestamp")
    if not deleted:
        return True
    return now <= datetime.fromisoformat(deleted) + timedelta(seconds=pod["metadata"].get("deletionGracePeriodSeconds") or 0)


def _sum(amounts: Iterable[dict[str, str]]) -> dict[str, str]:
    total: dict[str, str] = {}
    for each in amounts:
        for name, value in each.items():
            total[name] = quantity.add(total[name], value) if name in total else value
    return total


def _largest(left: dict[str, str], right: dict[str, str]) -> dict[str, str]:
    found = dict(left)
    for name, value in right.items():
        if name not in found or quantity.compare(found[name], value) < 0:
            found[name] = value
    return found


def pod_resources(pod: Obj, which: str) -> dict[str, str]:
    """What a pod as a whole requests (``which`` = "requests") or is limited to ("limits"): init containers run before the others,
    sidecars beside them; the overhead comes on top."""
    spec = pod.get("spec") or {}

    def of(container: Obj) -> dict[str, str]:
        resources = container.get("resources") or {}
        amounts: dict[str, str] = dict(resources.get(which) or {})
        return amounts

    total = _sum(of(container) for container in spec.get("containers") or ())
    sidecars: dict[str, str] = {}
    starting: dict[str, str] = {}
    for container in spec.get("initContainers") or ():
        if container.get("restartPolicy") == "Always":
            sidecars = _sum([sidecars, of(container)])
            starting = _largest(starting, sidecars)
        else:
            starting = _largest(starting, _sum([sidecars, of(container)]))
    total = _largest(_sum([total, sidecars]), starting)
    pod_level = (spec.get("resources") or {}).get(which)
    if pod_level:
        total |= pod_level
    return _sum([total, spec.get("overhead") or {}]) if total or which == "requests" else total


def _pod(pod: Obj) -> Usage:
    found: Usage = {"pods": "1"}
    for name, value in pod_resources(pod, "requests").items():
        if name in _COMPUTE:
            found[name] = value
        found[f"requests.{name}"] = value
        if name.startswith("hugepages-"):
            found[name] = value
    for name, value in pod_resources(pod, "limits").items():
        if name in _COMPUTE:
            found[f"limits.{name}"] = value
    return found


def _service(service: Obj) -> Usage:
    spec = service.get("spec") or {}
    ports = len(spec.get("ports") or ())
    match spec.get("type"):
        case "NodePort":
            return {"services.nodeports": str(ports), "services.loadbalancers": "0"}
        case "LoadBalancer":
            if spec.get("allocateLoadBalancerNodePorts") is False:
                ports = sum(1 for port in spec.get("ports") or () if port.get("nodePort"))
            return {"services.nodeports": str(ports), "services.loadbalancers": "1"}
    return {"services.nodeports": "0", "services.loadbalancers": "0"}


def _claim(claim: Obj) -> Usage:
    spec = claim.get("spec") or {}
    found: Usage = {}
    name = (claim["metadata"].get("annotations") or {}).get(_BETA_CLASS) or spec.get("storageClassName") or ""
    if name:
        found[f"{name}{_STORAGE_CLASS}persistentvolumeclaims"] = "1"
    size = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    allocated = ((claim.get("status") or {}).get("allocatedResources") or {}).get("storage")
    if size and allocated and quantity.compare(allocated, size) > 0:
        size = allocated
    if size:
        found["requests.storage"] = size
        if name:
            found[f"{name}{_STORAGE_CLASS}requests.storage"] = size
    return found


# --- which quotas count an object ------------------------------------------------------------------------------------------------


def _selectors(quota: Obj) -> list[Obj]:
    spec = quota.get("spec") or {}
    scopes = [{"scopeName": scope, "operator": "Exists"} for scope in spec.get("scopes") or ()]
    return scopes + list((spec.get("scopeSelector") or {}).get("matchExpressions") or ())


def covers(quota: Obj, kind: Kind, obj: Obj) -> bool:
    """Whether ``quota`` counts ``obj``: it names something that the kind uses, and all its scopes match."""
    hard = (quota.get("status") or {}).get("hard") or (quota.get("spec") or {}).get("hard") or {}
    if not any(tracks(kind, name) for name in hard):
        return False
    selectors = _selectors(quota)
    if not selectors:
        return True
    if kind.group or kind.plural != "pods":
        return False
    return all(_in_scope(obj, selector) for selector in selectors)


def tracks(kind: Kind, name: str) -> bool:
    """Whether objects of ``kind`` can use the quota resource ``name``."""
    if name == f"count/{kind.group_resource}":
        return True
    if kind.group:
        return False
    if kind.plural == "pods":
        return name in ("pods", *_COMPUTE) or (
            name.startswith(("requests.", "limits.", "hugepages-")) and name != "requests.storage"
        )
    if kind.plural == "services":
        return name in ("services", "services.nodeports", "services.loadbalancers")
    if kind.plural == "persistentvolumeclaims":
        return name in ("persistentvolumeclaims", "requests.storage") or _STORAGE_CLASS in name
    return kind.plural in _COUNTED and name == kind.plural


def _in_scope(pod: Obj, selector: Obj) -> bool:
    spec = pod.get("spec") or {}
    match selector.get("scopeName"):
        case "Terminating":
            return spec.get("activeDeadlineSeconds") is not None
        case "NotTerminating":
            return spec.get("activeDeadlineSeconds") is None
        case "BestEffort":
            return is_best_effort(pod)
        case "NotBestEffort":
            return not is_best_effort(pod)
        case "PriorityClass":
            return _priority(spec.get("priorityClassName") or "", selector)
        case "CrossNamespacePodAffinity":
            return _crosses_namespaces(spec)
    return False


def is_best_effort(pod: Obj) -> bool:
    spec = pod.get("spec") or {}
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ()), spec]
    for container in containers:
        resources = container.get("resources") or {}
        for which in ("requests", "limits"):
            amounts = resources.get(which) or {}
            if any(name in amounts and quantity.parse(amounts[name]) for name in ("cpu", "memory")):
                return False
    return True


def _priority(name: str, selector: Obj) -> bool:
    values = selector.get("values") or ()
    match selector.get("operator"):
        case "Exists":
            return bool(name)
        case "DoesNotExist":
            return not name
        case "In":
            return name in values
        case "NotIn":
            return name not in values
    return False


def _crosses_namespaces(spec: Obj) -> bool:
    affinity = spec.get("affinity") or {}
    terms: list[Any] = []
    for which in ("podAffinity", "podAntiAffinity"):
        part = affinity.get(which) or {}
        terms += part.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
        weighted = part.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        terms += [term.get("podAffinityTerm") or {} for term in weighted]
    return any(term.get("namespaces") or term.get("namespaceSelector") is not None for term in terms)


def unspecified(hard: Iterable[str], pod: Obj) -> str:
    """What a pod must say because a quota limits it: "must specify limits.cpu for: a,b; requests.cpu for: a"; "" if nothing."""
    spec = pod.get("spec") or {}
    if spec.get("resources"):
        return ""
    wanted = [name for name in hard if name.removeprefix("requests.").removeprefix("limits.") in _COMPUTE]
    missing: dict[str, set[str]] = {}
    for container in [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]:
        resources = container.get("resources") or {}
        for name in wanted:
            which, resource = ("limits", name[7:]) if name.startswith("limits.") else ("requests", name.removeprefix("requests."))
            if resource not in (resources.get(which) or {}):
                missing.setdefault(name, set()).add(container.get("name", ""))
    if not missing:
        return ""
    return "must specify " + "; ".join(f"{name} for: {','.join(sorted(missing[name]))}" for name in sorted(missing))
