"""Rules of autoscalers and disruption budgets."""

from __future__ import annotations

from halab.cluster.kube.quantity import parse
from halab.cluster.kube.schema import definition_node, in_order
from halab.cluster.kube.status import forbidden_field, invalid_value, not_supported, required
from halab.cluster.kube.types import Obj
from halab.cluster.kube.validation import names
from halab.cluster.kube.validation.meta import (
    LABEL_SELECTOR,
    Errors,
    add,
    label_selector,
    metadata,
    metadata_update,
    not_negative,
)
from halab.cluster.kube.validation.networking import path_segment
from halab.cluster.kube.validation.workloads import amount_or_percent, at_most_100_percent

_SOURCES = {
    "Object": "object", "External": "external", "Pods": "pods", "Resource": "resource", "ContainerResource": "containerResource",
}  # fmt: skip
_LONGEST_WINDOW, _LONGEST_PERIOD = 3600, 1800


def autoscaler(errors: Errors, obj: Obj) -> None:
    metadata(errors, obj["metadata"], True, names.subdomain)
    _autoscaler_spec(errors, obj["spec"])


def autoscaler_update(errors: Errors, new: Obj, old: Obj) -> None:
    metadata_update(errors, new["metadata"], old["metadata"])
    _autoscaler_spec(errors, new["spec"])


def _autoscaler_spec(errors: Errors, spec: Obj) -> None:
    least, most = spec.get("minReplicas"), spec.get("maxReplicas") or 0
    if least is not None and least < 1:
        errors.append(invalid_value("spec.minReplicas", least, "must be greater than or equal to 1"))
    if most < 1:
        errors.append(invalid_value("spec.maxReplicas", most, "must be greater than 0"))
    if least is not None and most < least:
        errors.append(invalid_value("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`"))
    _reference(errors, spec.get("scaleTargetRef") or {}, "spec.scaleTargetRef")
    percent = spec.get("targetCPUUtilizationPercentage")
    if percent is not None and percent < 1:
        errors.append(invalid_value("spec.targetCPUUtilizationPercentage", percent, "must be greater than 0"))
    for index, metric in enumerate(spec.get("metrics") or ()):
        _metric(errors, metric, f"spec.metrics[{index}]")
    behavior = spec.get("behavior") or {}
    for name in ("scaleUp", "scaleDown"):
        if name in behavior:
            _rules(errors, behavior[name], f"spec.behavior.{name}")


def _reference(errors: Errors, reference: Obj, path: str) -> None:
    for field in ("kind", "name"):
        value = reference.get(field) or ""
        if not value:
            errors.append(required(f"{path}.{field}"))
        else:
            add(errors, f"{path}.{field}", value, path_segment(value))


def _metric(errors: Errors, metric: Obj, path: str) -> None:
    kind = metric.get("type") or ""
    if not kind:
        errors.append(required(f"{path}.type", "must specify a metric source type"))
    elif kind not in _SOURCES:
        supported = ["ContainerResource", "External", "Object", "Pods", "Resource"]
        errors.append(not_supported(f"{path}.type", kind, supported))
    present = [field for field in _SOURCES.values() if field in metric]
    for field in present:
        _source(errors, metric[field], field, f"{path}.{field}")
    expected = _SOURCES.get(kind, "")
    if expected and expected not in present:
        errors.append(required(f"{path}.{expected}", "must populate information for the given metric source"))
    if len(present) != 1:
        for field in present:
            if field != expected:
                errors.append(forbidden_field(f"{path}.{field}", "must populate the given metric source only"))


def _source(errors: Errors, source: Obj, kind: str, path: str) -> None:
    target = source.get("target") or {}
    if kind in ("resource", "containerResource"):
        if not source.get("name"):
            errors.append(required(f"{path}.name", "must specify a resource name"))
        if kind == "containerResource" and not source.get("container"):
            errors.append(required(f"{path}.container", "must specify a container"))
    else:
        if kind == "object":
            _reference(errors, source.get("describedObject") or {}, f"{path}.describedObject")
        metric = source.get("metric") or {}
        if not metric.get("name"):
            errors.append(required(f"{path}.metric.name", "must specify a metric name"))
        else:
            add(errors, f"{path}.metric.name", metric["name"], path_segment(metric["name"]))
        label_selector(errors, metric.get("selector"), f"{path}.metric.selector")
    _target(errors, target, f"{path}.target")
    if kind in ("resource", "containerResource"):
        if "averageUtilization" not in target and "averageValue" not in target:
            detail = "must set either a target raw value or a target utilization"
            errors.append(required(f"{path}.target.averageUtilization", detail))
        if "averageUtilization" in target and "averageValue" in target:
            detail = "may not set both a target raw value and a target utilization"
            errors.append(forbidden_field(f"{path}.target.averageValue", detail))
    elif kind == "pods":
        if "averageValue" not in target or parse(target["averageValue"]) <= 0:
            errors.append(required(f"{path}.target.averageValue", "must specify a positive target averageValue"))
    elif "value" not in target and "averageValue" not in target:
        detail = "must set either a target value for metric or a per-pod target"
        errors.append(required(f"{path}.target.{'value' if kind == 'external' else 'averageValue'}", detail))
    elif kind == "external" and "value" in target and "averageValue" in target:
        detail = "may not set both a target value for metric and a per-pod target"
        errors.append(forbidden_field(f"{path}.target.value", detail))


def _target(errors: Errors, target: Obj, path: str) -> None:
    kind = target.get("type") or ""
    if not kind:
        errors.append(required(f"{path}.type", "must specify a metric target type"))
    if kind not in ("Utilization", "Value", "AverageValue"):
        errors.append(invalid_value(f"{path}.type", kind, "must be either Utilization, Value, or AverageValue"))
    for field in ("value", "averageValue"):
        if field in target and parse(target[field]) <= 0:
            errors.append(invalid_value(f"{path}.{field}", target[field], "must be positive"))
    percent = target.get("averageUtilization")
    if percent is not None and percent < 1:
        errors.append(invalid_value(f"{path}.averageUtilization", percent, "must be greater than 0"))


def _rules(errors: Errors, rules: Obj, path: str) -> None:
    window = rules.get("stabilizationWindowSeconds")
    if window is not None:
        not_negative_word(errors, window, f"{path}.stabilizationWindowSeconds")
        if window > _LONGEST_WINDOW:
            detail = f"must be less than or equal to {_LONGEST_WINDOW}"
            errors.append(invalid_value(f"{path}.stabilizationWindowSeconds", window, detail))
    select = rules.get("selectPolicy")
    if select is not None and select not in ("Max", "Min", "Disabled"):
        errors.append(not_supported(f"{path}.selectPolicy", select, ["Disabled", "Max", "Min"]))
    policies = rules.get("policies") or []
    if not policies:
        errors.append(required(f"{path}.policies", "must specify at least one Policy"))
    for index, policy in enumerate(policies):
        at = f"{path}.policies[{index}]"
        if policy.get("type") not in ("Pods", "Percent"):
            errors.append(not_supported(f"{at}.type", policy.get("type") or "", ["Percent", "Pods"]))
        if policy.get("value", 0) <= 0:
            errors.append(invalid_value(f"{at}.value", policy.get("value", 0), "must be greater than zero"))
        period = policy.get("periodSeconds", 0)
        if period <= 0:
            errors.append(invalid_value(f"{at}.periodSeconds", period, "must be greater than zero"))
        if period > _LONGEST_PERIOD:
            errors.append(invalid_value(f"{at}.periodSeconds", period, f"must be less than or equal to {_LONGEST_PERIOD}"))


def not_negative_word(errors: Errors, value: int, path: str) -> None:
    if value < 0:
        errors.append(invalid_value(path, value, "must be greater than or equal to zero"))


def budget(errors: Errors, obj: Obj) -> None:
    metadata(errors, obj["metadata"], True, names.subdomain)
    _budget_spec(errors, obj["spec"])


def _budget_spec(errors: Errors, spec: Obj) -> None:
    if "minAvailable" in spec and "maxUnavailable" in spec:
        shown = {
            "MinAvailable": spec["minAvailable"],
            "Selector": in_order(definition_node(LABEL_SELECTOR), spec.get("selector")),
            "MaxUnavailable": spec["maxUnavailable"],
            "UnhealthyPodEvictionPolicy": spec.get("unhealthyPodEvictionPolicy"),
        }
        errors.append(invalid_value("spec", shown, "minAvailable and maxUnavailable cannot be both set"))
    for field in ("minAvailable", "maxUnavailable"):
        if field in spec:
            amount_or_percent(errors, spec[field], f"spec.{field}")
            at_most_100_percent(errors, spec[field], f"spec.{field}")
    label_selector(errors, spec.get("selector"), "spec.selector")
    policy = spec.get("unhealthyPodEvictionPolicy")
    if policy is not None and policy not in ("AlwaysAllow", "IfHealthyBudget"):
        errors.append(not_supported("spec.unhealthyPodEvictionPolicy", policy, ["AlwaysAllow", "IfHealthyBudget"]))


def budget_update(errors: Errors, new: Obj, old: Obj) -> None:
    metadata_update(errors, new["metadata"], old["metadata"])
    _budget_spec(errors, new["spec"])


def budget_status_update(errors: Errors, new: Obj, old: Obj) -> None:
    metadata_update(errors, new["metadata"], old["metadata"])
    for field in ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"):
        not_negative(errors, new["status"].get(field), f"status.{field}")


def scale(errors: Errors, obj: Obj) -> None:
    """A ``Scale``, as the scale subresource speaks it."""
    not_negative(errors, obj["spec"].get("replicas"), "spec.replicas")
