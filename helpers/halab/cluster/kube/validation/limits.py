"""Rules of resource quotas and limit ranges."""

from __future__ import annotations

from halab.cluster.kube.quantity import parse
from halab.cluster.kube.status import duplicate, forbidden_field, invalid_value, required
from halab.cluster.kube.types import Obj
from halab.cluster.kube.validation import names, resources
from halab.cluster.kube.validation.core import plain
from halab.cluster.kube.validation.meta import IMMUTABLE, Errors, add, metadata_update

_POD_SCOPES = frozenset({
    "pods", "cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory", "ephemeral-storage",
    "requests.ephemeral-storage", "limits.ephemeral-storage",
})  # fmt: skip
_SCOPES = {
    "Terminating": _POD_SCOPES,
    "NotTerminating": _POD_SCOPES,
    "NotBestEffort": _POD_SCOPES,
    "PriorityClass": _POD_SCOPES,
    "CrossNamespacePodAffinity": _POD_SCOPES,
    "BestEffort": frozenset({"pods"}),
    "VolumeAttributesClass": frozenset({"persistentvolumeclaims", "requests.storage"}),
}
_CONFLICTS = (("BestEffort", "NotBestEffort"), ("NotTerminating", "Terminating"))
_EXISTS_RULE = (
    "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
    "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
)


def _amounts(errors: Errors, values: Obj | None, path: str) -> None:
    for name, text in sorted((values or {}).items()):
        resources.quota_resource(errors, name, f"{path}[{name}]")
        resources.amount(errors, name, text, f"{path}[{name}]")


def quota(errors: Errors, obj: Obj) -> None:
    plain(errors, obj)
    _quota_spec(errors, obj["spec"])


def _quota_spec(errors: Errors, spec: Obj) -> None:
    hard, scopes = spec.get("hard") or {}, spec.get("scopes") or []
    _amounts(errors, hard, "spec.hard")
    for scope in scopes:
        if scope not in _SCOPES:
            errors.append(invalid_value("spec.scopes", scopes, "unsupported scope"))
        _scope_fits(errors, scope, hard, "spec.scopes", scopes)
    _no_conflict(errors, scopes, "spec.scopes", scopes)
    selector = spec.get("scopeSelector")
    if selector is not None:
        _scope_selector(errors, selector, hard, scopes)


def _scope_fits(errors: Errors, scope: str, hard: Obj, path: str, shown: object) -> None:
    for name in sorted(hard):
        if resources.quota_name_is_standard(name) and name not in _SCOPES.get(
            scope, _SCOPES["Terminating"] if scope in _SCOPES else frozenset({name})
        ):
            errors.append(invalid_value(path, shown, "unsupported scope applied to resource"))


def _no_conflict(errors: Errors, scopes: list[str], path: str, shown: object) -> None:
    for pair in _CONFLICTS:
        if set(pair) <= set(scopes):
            errors.append(invalid_value(path, shown, "conflicting scopes"))


def _scope_selector(errors: Errors, selector: Obj, hard: Obj, scopes: list[str]) -> None:
    path = "spec.scopeSelector.matchExpressions"
    expressions = selector.get("matchExpressions") or []
    for expression in expressions:
        scope, operator, values = (
            expression.get("scopeName") or "",
            expression.get("operator") or "",
            expression.get("values") or [],
        )
        if scope not in _SCOPES:
            errors.append(invalid_value(f"{path}.scopeName", scope, "unsupported scope"))
        _scope_fits(errors, scope, hard, path, selector)
        if scope not in ("PriorityClass", "VolumeAttributesClass") and scope in _SCOPES and operator != "Exists":
            errors.append(invalid_value(f"{path}.operator", operator, _EXISTS_RULE))
        if operator in ("In", "NotIn"):
            if not values:
                detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
                errors.append(required(f"{path}.values", detail))
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
                errors.append(invalid_value(f"{path}.values", values, detail))
        else:
            errors.append(invalid_value(f"{path}.operator", operator, "not a valid selector operator"))
    _no_conflict(errors, [e.get("scopeName") or "" for e in expressions], path, scopes or None)


def quota_update(errors: Errors, new: Obj, old: Obj) -> None:
    metadata_update(errors, new["metadata"], old["metadata"])
    _quota_spec(errors, new["spec"])
    scopes = new["spec"].get("scopes") or []
    if set(scopes) != set(old["spec"].get("scopes") or ()):
        errors.append(invalid_value("spec.scopes", scopes or None, IMMUTABLE))


def quota_status_update(errors: Errors, new: Obj, old: Obj) -> None:
    metadata_update(errors, new["metadata"], old["metadata"])
    for field in ("hard", "used"):
        _amounts(errors, new["status"].get(field), f"status.{field}")


_LIMIT_TYPES = ("Pod", "Container", "PersistentVolumeClaim")


def limit_range(errors: Errors, obj: Obj) -> None:
    plain(errors, obj)
    seen: set[str] = set()
    for index, item in enumerate(obj["spec"].get("limits") or ()):
        path, kind = f"spec.limits[{index}]", item.get("type") or ""
        faults = names.qualified(kind)
        add(errors, f"{path}.type", kind, faults)
        if not faults and "/" not in kind and kind not in _LIMIT_TYPES:
            errors.append(invalid_value(f"{path}.type", kind, "must be a standard limit type or fully qualified"))
        if kind in seen:
            errors.append(duplicate(f"{path}.type", kind))
        seen.add(kind)
        _limit(errors, item, kind, path)


def _limit(errors: Errors, item: Obj, kind: str, path: str) -> None:
    rule = resources.container_resource if kind in ("Pod", "Container") else resources.resource_name

    def bag(field: str) -> Obj:
        values: Obj = item.get(field) or {}
        for name in sorted(values):
            rule(errors, name, f"{path}.{field}[{name}]")
        return values

    most, least = bag("max"), bag("min")
    default: Obj = {}
    request: Obj = {}
    if kind == "Pod":
        for field in ("default", "defaultRequest"):
            if item.get(field):
                errors.append(forbidden_field(f"{path}.{field}", "may not be specified when `type` is 'Pod'"))
    else:
        default, request = bag("default"), bag("defaultRequest")
    if kind == "PersistentVolumeClaim" and "storage" not in most and "storage" not in least:
        detail = "either minimum or maximum storage value is required, but neither was provided"
        errors.append(required(f"{path}.limits", detail))
    ratio = bag("maxLimitRequestRatio")
    for name in sorted({*most, *least, *default, *request, *ratio}):
        _limit_order(errors, name, {"min": least, "max": most, "default": default, "defaultRequest": request}, path)
        if name in ratio:
            _limit_ratio(errors, ratio[name], least.get(name), most.get(name), f"{path}.maxLimitRequestRatio[{name}]")
        if (
            not resources.may_overcommit(name)
            and name in default
            and name in request
            and parse(default[name]) != parse(request[name])
        ):
            detail = f"default value {default[name]} must equal to defaultRequest value {request[name]} in {name}"
            errors.append(invalid_value(f"{path}.defaultRequest[{name}]", request[name], detail))


_ORDER = (  # lower bag, its name in messages, higher bag, its name, bag that is blamed, bag whose value is shown
    ("min", "min value", "max", "max value", "min", "min"),
    ("min", "min value", "defaultRequest", "default request value", "defaultRequest", "defaultRequest"),
    ("defaultRequest", "default request value", "max", "max value", "defaultRequest", "defaultRequest"),
    ("defaultRequest", "default request value", "default", "default limit value", "defaultRequest", "defaultRequest"),
    ("min", "min value", "default", "default value", "default", "min"),
    ("default", "default value", "max", "max value", "default", "max"),
)


def _limit_order(errors: Errors, name: str, bags: dict[str, Obj], path: str) -> None:
    for lower, lower_text, higher, higher_text, blamed, shown in _ORDER:
        low, high = bags[lower].get(name), bags[higher].get(name)
        if low is not None and high is not None and parse(low) > parse(high):
            detail = f"{lower_text} {low} is greater than {higher_text} {high}"
            errors.append(invalid_value(f"{path}.{blamed}[{name}]", bags[shown][name], detail))


def _limit_ratio(errors: Errors, text: str, least: str | None, most: str | None, path: str) -> None:
    ratio = parse(text)
    if ratio < 1:
        errors.append(invalid_value(path, text, f"ratio {text} is less than 1"))
    if least is not None and most is not None and parse(least):
        limit = parse(most) / parse(least)
        if ratio > limit:
            errors.append(invalid_value(path, text, f"ratio {text} is greater than max/min = {float(limit):f}"))
