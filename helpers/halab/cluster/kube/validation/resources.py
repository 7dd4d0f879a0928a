"""Rules of resource names and amounts: requests and limits, quotas, limit ranges, capacities."""

from __future__ import annotations

from collections.abc import Callable

from halab.cluster.kube.quantity import parse
from halab.cluster.kube.status import FieldError, duplicate, forbidden_field, invalid_value, not_supported, required
from halab.cluster.kube.types import Obj
from halab.cluster.kube.validation import names
from halab.cluster.kube.validation.meta import NOT_NEGATIVE, Errors, add

_CONTAINER = frozenset({"cpu", "memory", "ephemeral-storage"})
_OBJECT_COUNTS = frozenset({
    "pods", "services", "replicationcontrollers", "resourcequotas", "secrets", "configmaps", "persistentvolumeclaims",
    "services.nodeports", "services.loadbalancers",
})  # fmt: skip
_QUOTA_COMPUTE = frozenset({
    "cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory", "requests.storage", "requests.ephemeral-storage",
    "limits.cpu", "limits.memory", "limits.ephemeral-storage",
})  # fmt: skip
_STANDARD = _CONTAINER | _OBJECT_COUNTS | _QUOTA_COMPUTE | {"storage", "requests.hugepages", "limits.hugepages"}
_INTEGERS = _OBJECT_COUNTS
_HUGE = "hugepages-"
_NATIVE = "kubernetes.io/"


def is_huge_page(name: str) -> bool:
    return name.startswith(_HUGE)


def _is_quota_huge_page(name: str) -> bool:
    return name.startswith((_HUGE, "requests.hugepages-"))


def is_native(name: str) -> bool:
    return "/" not in name or _NATIVE in name


def is_extended(name: str) -> bool:
    """A resource of somebody's domain (``example.com/gpu``)."""
    if is_native(name) or name.startswith("requests."):
        return False
    return not names.qualified(f"requests.{name}")


def may_overcommit(name: str) -> bool:
    return is_native(name) and not is_huge_page(name)


def resource_name(errors: Errors, name: str, path: str) -> bool:
    """Whether the name is fine so far."""
    faults = names.qualified(name)
    if faults:
        add(errors, path, name, faults)
        return False
    if "/" not in name and name not in _STANDARD and not _is_quota_huge_page(name):
        errors.append(invalid_value(path, name, "must be a standard resource type or fully qualified"))
        return False
    return True


def container_resource(errors: Errors, name: str, path: str) -> None:
    resource_name(errors, name, path)
    if "/" not in name:
        if name not in _CONTAINER and not is_huge_page(name):
            errors.append(invalid_value(path, name, "must be a standard resource for containers"))
    elif not is_native(name) and not is_extended(name):
        errors.append(invalid_value(path, name, "doesn't follow extended resource name standard"))


def pod_resource(errors: Errors, name: str, path: str) -> None:
    if resource_name(errors, name, path) and name not in ("cpu", "memory") and not is_huge_page(name):
        errors.append(not_supported(path, name, ["cpu", "hugepages-", "memory"]))


def quota_resource(errors: Errors, name: str, path: str) -> None:
    resource_name(errors, name, path)
    if "/" not in name and name not in _OBJECT_COUNTS and name not in _QUOTA_COMPUTE and not _is_quota_huge_page(name):
        errors.append(invalid_value(path, name, "must be a standard resource for quota"))


def quota_name_is_standard(name: str) -> bool:
    return name in _OBJECT_COUNTS or name in _QUOTA_COMPUTE or _is_quota_huge_page(name)


def amount(errors: Errors, name: str, text: str, path: str) -> None:
    """An amount of the resource ``name`` is not negative, and whole where only whole ones make sense."""
    value = parse(text)
    if value < 0:
        errors.append(invalid_value(path, text, NOT_NEGATIVE))
    if (name in _INTEGERS or is_extended(name)) and value % 1:
        errors.append(invalid_value(path, text, "must be an integer"))


def basic_amount(errors: Errors, text: str, path: str) -> None:
    value = parse(text)
    if value < 0:
        errors.append(invalid_value(path, int(value), "must be a valid resource quantity"))


def _huge_page(errors: Errors, name: str, text: str, path: str) -> None:
    page = parse(name.removeprefix(_HUGE)) if _quantity_or_none(name.removeprefix(_HUGE)) else None
    value = parse(text)
    if page is None or page <= 0 or value % page:
        errors.append(invalid_value(path, text, f"{text} is not positive integer multiple of {name}"))


def _quantity_or_none(text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True


def requirements(
    errors: Errors,
    resources: Obj | None,
    path: str,
    claim_names: frozenset[str] = frozenset(),
    name_rule: Callable[[Errors, str, str], None] = container_resource,
) -> None:
    """Requests and limits, as a container or a pod has them."""
    if not resources:
        return
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    compute = huge = False
    for name in sorted(limits):
        at = f"{path}.limits[{name}]"
        name_rule(errors, name, at)
        amount(errors, name, limits[name], at)
        if is_huge_page(name):
            huge = True
            _huge_page(errors, name, limits[name], at)
        compute = compute or name in ("cpu", "memory")
    for name in sorted(requests):
        at, text = f"{path}.requests[{name}]", requests[name]
        name_rule(errors, name, at)
        amount(errors, name, text, at)
        if name in limits:
            _request_within_limit(errors, name, text, limits[name], f"{path}.requests")
        elif not may_overcommit(name):
            errors.append(required(f"{path}.limits", "Limit must be set for non overcommitable resources"))
        if is_huge_page(name):
            huge = True
            _huge_page(errors, name, text, at)
        compute = compute or name in ("cpu", "memory")
    if huge and not compute:
        errors.append(forbidden_field(path, "HugePages require cpu or memory"))
    _claims(errors, resources.get("claims"), claim_names, f"{path}.claims")


def _request_within_limit(errors: Errors, name: str, request: str, limit: str, path: str) -> None:
    if request == limit:
        return
    asked, most = parse(request), parse(limit)
    if asked != most and not may_overcommit(name):
        errors.append(invalid_value(path, request, f"must be equal to {name} limit of {limit}"))
    elif asked > most:
        errors.append(invalid_value(path, request, f"must be less than or equal to {name} limit of {limit}"))


def _claims(errors: Errors, claims: list[Obj] | None, known: frozenset[str], path: str) -> None:
    seen: set[str] = set()
    for index, claim in enumerate(claims or ()):
        name, at = claim.get("name") or "", f"{path}[{index}]"
        if not name:
            errors.append(required(at))
            continue
        key = f"{name}/{claim['request']}" if claim.get("request") else name
        if name in seen or key in seen:
            errors.append(duplicate(at, name if name in seen else key))
        elif claim.get("request"):
            add(errors, f"{at}.request", claim["request"], names.label(claim["request"]))
        seen.add(key)
        if name not in known:
            known_names = f": {', '.join(sorted(known))}" if known else " which is empty"
            detail = f"must be one of the names in pod.spec.resourceClaims{known_names}"
            errors.append(FieldError(at, "FieldValueNotFound", detail, name))
