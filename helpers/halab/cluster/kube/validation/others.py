"""Rules of rbac, scheduling, coordination, node, authorization and webhooks."""

from __future__ import annotations

from halab.cluster.kube.status import forbidden_field, invalid_value, not_supported, required
from halab.cluster.kube.types import Obj
from halab.cluster.kube.validation import names, placement, resources
from halab.cluster.kube.validation.meta import (
    IMMUTABLE,
    Errors,
    add,
    core_finalizers,
    label_selector,
    labels,
    metadata,
    metadata_update,
)  # fmt: skip
from halab.cluster.kube.validation.networking import path_segment

RBAC = "rbac.authorization.k8s.io"
_SYSTEM_CLASSES = {"system-cluster-critical": 2000000000, "system-node-critical": 2000001000}
_HIGHEST_USER_PRIORITY = 1000000000


def role(errors: Errors, obj: Obj, namespaced: bool = True) -> None:
    metadata(errors, obj["metadata"], namespaced, path_segment)
    for index, rule in enumerate(obj.get("rules") or ()):
        _rule(errors, rule, namespaced, f"rules[{index}]")


def _rule(errors: Errors, rule: Obj, namespaced: bool, path: str) -> None:
    if not rule.get("verbs"):
        errors.append(required(f"{path}.verbs", "verbs must contain at least one value"))
    urls = rule.get("nonResourceURLs")
    if urls:
        if namespaced:
            errors.append(invalid_value(f"{path}.nonResourceURLs", urls, "namespaced rules cannot apply to non-resource URLs"))
        if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
            detail = "rules cannot apply to both regular resources and non-resource URLs"
            errors.append(invalid_value(f"{path}.nonResourceURLs", urls, detail))
        return
    if not rule.get("apiGroups"):
        errors.append(required(f"{path}.apiGroups", "resource rules must supply at least one api group"))
    if not rule.get("resources"):
        errors.append(required(f"{path}.resources", "resource rules must supply at least one resource"))


def cluster_role(errors: Errors, obj: Obj) -> None:
    role(errors, obj, namespaced=False)
    aggregation = obj.get("aggregationRule")
    if aggregation is not None:
        selectors = aggregation.get("clusterRoleSelectors") or []
        if not selectors:
            errors.append(
                required(
                    "aggregationRule.clusterRoleSelectors",
                    "at least one clusterRoleSelector required if aggregationRule is non-nil",
                )
            )
        for index, selector in enumerate(selectors):
            label_selector(errors, selector, f"aggregationRule.clusterRoleSelectors[{index}]")


def role_binding(errors: Errors, obj: Obj, namespaced: bool = True) -> None:
    metadata(errors, obj["metadata"], namespaced, path_segment)
    reference = obj["roleRef"]
    if reference.get("apiGroup") != RBAC:
        errors.append(not_supported("roleRef.apiGroup", reference.get("apiGroup") or "", [RBAC]))
    supported = ["Role", "ClusterRole"] if namespaced else ["ClusterRole"]
    if reference.get("kind") not in supported:
        errors.append(not_supported("roleRef.kind", reference.get("kind") or "", supported))
    name = reference.get("name") or ""
    if not name:
        errors.append(required("roleRef.name"))
    else:
        add(errors, "roleRef.name", name, path_segment(name))
    for index, subject in enumerate(obj.get("subjects") or ()):
        _subject(errors, subject, namespaced, f"subjects[{index}]")


def cluster_role_binding(errors: Errors, obj: Obj) -> None:
    role_binding(errors, obj, namespaced=False)


def _subject(errors: Errors, subject: Obj, namespaced: bool, path: str) -> None:
    kind, name, group = subject.get("kind") or "", subject.get("name") or "", subject.get("apiGroup") or ""
    if not name:
        errors.append(required(f"{path}.name"))
    if kind == "ServiceAccount":
        if name:
            add(errors, f"{path}.name", name, names.subdomain(name))
        if group:
            errors.append(not_supported(f"{path}.apiGroup", group, [""]))
        if not namespaced and not subject.get("namespace"):
            errors.append(required(f"{path}.namespace"))
    elif kind in ("User", "Group"):
        if group != RBAC:
            errors.append(not_supported(f"{path}.apiGroup", group, [RBAC]))
    else:
        errors.append(not_supported(f"{path}.kind", kind, ["ServiceAccount", "User", "Group"]))


def role_binding_update(errors: Errors, new: Obj, old: Obj, namespaced: bool = True) -> None:
    role_binding(errors, new, namespaced)
    metadata_update(errors, new["metadata"], old["metadata"])
    if new["roleRef"] != old["roleRef"]:
        reference = new["roleRef"]
        shown = {"APIGroup": reference.get("apiGroup", ""), "Kind": reference.get("kind", ""), "Name": reference.get("name", "")}
        errors.append(invalid_value("roleRef", shown, "cannot change roleRef"))


def cluster_role_binding_update(errors: Errors, new: Obj, old: Obj) -> None:
    role_binding_update(errors, new, old, namespaced=False)


def priority_class(errors: Errors, obj: Obj) -> None:
    metadata(errors, obj["metadata"], False, names.subdomain)
    name, value = obj["metadata"].get("name") or "", obj.get("value") or 0
    if name.startswith("system-"):
        fault = _system_class_fault(name, value, bool(obj.get("globalDefault")))
        if fault:
            detail = f"priority class names with 'system-' prefix are reserved for system use only. error: {fault}"
            errors.append(forbidden_field("metadata.name", detail))
    elif value > _HIGHEST_USER_PRIORITY:
        errors.append(forbidden_field("value", f"maximum allowed value of a user defined priority is {_HIGHEST_USER_PRIORITY}"))
    policy = obj.get("preemptionPolicy")
    if policy is not None and policy not in ("PreemptLowerPriority", "Never"):
        errors.append(not_supported("preemptionPolicy", policy, ["PreemptLowerPriority", "Never"]))


def _system_class_fault(name: str, value: int, default: bool) -> str:
    if name not in _SYSTEM_CLASSES:
        return f"{name} is not a known system priority class"
    if value != _SYSTEM_CLASSES[name]:
        return f"value of {name} PriorityClass must be {_SYSTEM_CLASSES[name]}"
    return f"globalDefault of {name} PriorityClass must be false" if default else ""


def priority_class_update(errors: Errors, new: Obj, old: Obj) -> None:
    metadata_update(errors, new["metadata"], old["metadata"])
    if (new.get("value") or 0) != (old.get("value") or 0):
        errors.append(forbidden_field("value", "may not be changed in an update."))
    if new.get("preemptionPolicy") != old.get("preemptionPolicy"):
        errors.append(invalid_value("preemptionPolicy", new.get("preemptionPolicy"), IMMUTABLE))


def lease(errors: Errors, obj: Obj) -> None:
    metadata(errors, obj["metadata"], True, names.subdomain)
    _lease_spec(errors, obj["spec"])


def lease_update(errors: Errors, new: Obj, old: Obj) -> None:
    metadata_update(errors, new["metadata"], old["metadata"])
    _lease_spec(errors, new["spec"])


def _lease_spec(errors: Errors, spec: Obj) -> None:
    if spec.get("leaseDurationSeconds") is not None and spec["leaseDurationSeconds"] <= 0:
        errors.append(invalid_value("spec.leaseDurationSeconds", spec["leaseDurationSeconds"], "must be greater than 0"))
    if (spec.get("leaseTransitions") or 0) < 0:
        errors.append(invalid_value("spec.leaseTransitions", spec["leaseTransitions"], "must be greater than or equal to 0"))
    strategy = spec.get("strategy")
    if strategy is not None:
        if "/" in strategy:
            add(errors, "spec.strategy.strategy", strategy, names.qualified(strategy))
        elif strategy != "OldestEmulationVersion":
            errors.append(not_supported("spec.strategy.strategy", strategy, ["OldestEmulationVersion"]))
    if spec.get("preferredHolder") and not strategy:
        errors.append(forbidden_field("spec.preferredHolder", "may only be specified if `strategy` is defined"))


def runtime_class(errors: Errors, obj: Obj) -> None:
    metadata(errors, obj["metadata"], False, names.subdomain)
    add(errors, "handler", obj.get("handler") or "", names.label(obj.get("handler") or ""))
    if "overhead" in obj:
        resources.requirements(errors, {"limits": obj["overhead"].get("podFixed") or {}}, "overhead")
    if "scheduling" in obj:
        labels(errors, obj["scheduling"].get("nodeSelector"), "scheduling.nodeSelector")
        placement.tolerations(errors, obj["scheduling"].get("tolerations") or [], "scheduling.tolerations")


def runtime_class_update(errors: Errors, new: Obj, old: Obj) -> None:
    metadata_update(errors, new["metadata"], old["metadata"])
    if new.get("handler") != old.get("handler"):
        errors.append(invalid_value("handler", new.get("handler") or "", IMMUTABLE))


def access_review(errors: Errors, obj: Obj) -> None:
    """Subject access reviews: what is asked about is a resource or a path, and it is asked of somebody."""
    spec = obj["spec"]
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is not None and path is not None:
        shown = {"Path": path.get("path", ""), "Verb": path.get("verb", "")}
        errors.append(
            invalid_value("spec.nonResourceAttributes", shown, "cannot be specified in combination with resourceAttributes")
        )
    if resource is None and path is None:
        errors.append(
            invalid_value(
                "spec.resourceAttributes", None, "exactly one of nonResourceAttributes or resourceAttributes must be specified"
            )
        )
    if not obj["kind"].startswith("Self") and not spec.get("user") and not spec.get("groups"):
        errors.append(invalid_value("spec.user", spec.get("user") or "", "at least one of user or group must be specified"))


def named_cluster(errors: Errors, obj: Obj) -> None:
    """Cluster-scoped kinds of which only the metadata is checked."""
    metadata(errors, obj["metadata"], False, names.subdomain)
    core_finalizers(errors, obj["metadata"])


def named(errors: Errors, obj: Obj) -> None:
    metadata(errors, obj["metadata"], True, names.subdomain)


def custom(errors: Errors, obj: Obj, namespaced: bool) -> None:
    """The metadata of a custom resource; its schema is checked elsewhere."""
    metadata(errors, obj["metadata"], namespaced, names.subdomain)
