"""Rules of Deployments, ReplicaSets, StatefulSets, DaemonSets, ReplicationControllers and ControllerRevisions."""

from __future__ import annotations

from typing import Any

from halab.cluster.kube.selectors import from_label_selector
from halab.cluster.kube.status import forbidden_field, invalid_value, not_supported, required
from halab.cluster.kube.types import Obj
from halab.cluster.kube.validation import names, pods
from halab.cluster.kube.validation.meta import (
    IMMUTABLE,
    Errors,
    add,
    core_finalizers,
    label_selector,
    metadata,
    metadata_update,
    not_negative,
    shown_selector,
)  # fmt: skip
from halab.cluster.kube.validation.storage import claim_spec

_MISMATCH = "`selector` does not match template `labels`"
_STATEFUL_MUTABLE = (
    "replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit", "persistentVolumeClaimRetentionPolicy", "minReadySeconds",
)  # fmt: skip
_STATEFUL_RULE = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
    "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)


def _begin(errors: Errors, obj: Obj, name_rule: Any = names.subdomain) -> Obj:
    metadata(errors, obj["metadata"], True, name_rule)
    core_finalizers(errors, obj["metadata"])
    spec: Obj = obj["spec"]
    return spec


def _selector(errors: Errors, spec: Obj, kind: str, path: str = "spec.selector") -> None:
    selector = spec.get("selector")
    if selector is None:
        errors.append(required(path))
        return
    label_selector(errors, selector, path)
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        errors.append(invalid_value(path, shown_selector(selector), f"empty selector is invalid for {kind}"))


def _matches(errors: Errors, spec: Obj, template: Obj, path: str) -> None:
    """The template's labels are of those that the selector selects; no selector at all selects nothing, an empty one everything."""
    selector = spec.get("selector")
    if selector is not None and not selector:
        return
    labels = template["metadata"].get("labels")
    try:
        matched = selector is not None and from_label_selector(selector).matches(labels or {})
    except ValueError:
        return
    if not matched:
        errors.append(invalid_value(f"{path}.metadata.labels", dict(sorted(labels.items())) if labels else None, _MISMATCH))


def _always(errors: Errors, template: Obj, kind: str, path: str) -> None:
    policy = template["spec"].get("restartPolicy")
    if policy != "Always":
        errors.append(not_supported(f"{path}.spec.restartPolicy", policy or "", ["Always"]))
    if "activeDeadlineSeconds" in template["spec"]:
        errors.append(forbidden_field(f"{path}.spec.activeDeadlineSeconds", f"activeDeadlineSeconds in {kind} is not Supported"))


def amount_or_percent(errors: Errors, value: Any, path: str) -> None:
    if isinstance(value, str):
        add(errors, path, value, names.percent(value))
    else:
        not_negative(errors, value, path)


def at_most_100_percent(errors: Errors, value: Any, path: str) -> None:
    if isinstance(value, str) and value.endswith("%") and value[:-1].isdigit() and int(value[:-1]) > 100:
        errors.append(invalid_value(path, value, "must not be greater than 100%"))


def _number(value: Any) -> int:
    """A percentage as its number, as Kubernetes compares it with zero."""
    if isinstance(value, str):
        return int(value[:-1]) if value.endswith("%") and value[:-1].isdigit() else 0
    return int(value or 0)


def deployment(errors: Errors, obj: Obj) -> None:
    spec = _begin(errors, obj)
    _deployment_spec(errors, spec)


def _deployment_spec(errors: Errors, spec: Obj) -> None:
    not_negative(errors, spec.get("replicas"), "spec.replicas")
    _selector(errors, spec, "deployment")
    template = spec["template"]
    _matches(errors, spec, template, "spec.template")
    pods.template(errors, template, "spec.template")
    _always(errors, template, "ReplicaSet", "spec.template")
    _deployment_strategy(errors, spec["strategy"])
    not_negative(errors, spec.get("minReadySeconds"), "spec.minReadySeconds")
    not_negative(errors, spec.get("revisionHistoryLimit"), "spec.revisionHistoryLimit")
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None:
        not_negative(errors, deadline, "spec.progressDeadlineSeconds")
        if deadline <= (spec.get("minReadySeconds") or 0):
            errors.append(invalid_value("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"))


def _deployment_strategy(errors: Errors, strategy: Obj) -> None:
    kind, rolling, path = strategy.get("type") or "", strategy.get("rollingUpdate"), "spec.strategy.rollingUpdate"
    if kind == "Recreate":
        if rolling is not None:
            errors.append(forbidden_field(path, "may not be specified when strategy `type` is 'Recreate'"))
    elif kind == "RollingUpdate":
        if rolling is None:
            errors.append(required(path, "this should be defaulted and never be nil"))
            return
        unavailable, surge = rolling.get("maxUnavailable", 0), rolling.get("maxSurge", 0)
        amount_or_percent(errors, unavailable, f"{path}.maxUnavailable")
        amount_or_percent(errors, surge, f"{path}.maxSurge")
        if not _number(unavailable) and not _number(surge):
            errors.append(invalid_value(f"{path}.maxUnavailable", unavailable, "may not be 0 when `maxSurge` is 0"))
        at_most_100_percent(errors, unavailable, f"{path}.maxUnavailable")
    else:
        shown = {"Type": kind, "RollingUpdate": _internal_rolling(rolling)}
        errors.append(not_supported("spec.strategy", shown, ["Recreate", "RollingUpdate"]))


def _internal_rolling(rolling: Obj | None) -> Obj | None:
    return (
        None if rolling is None else {"MaxUnavailable": rolling.get("maxUnavailable", 0), "MaxSurge": rolling.get("maxSurge", 0)}
    )


def deployment_update(errors: Errors, new: Obj, old: Obj) -> None:
    metadata_update(errors, new["metadata"], old["metadata"])
    _deployment_spec(errors, new["spec"])
    _selector_is_immutable(errors, new, old)


def _selector_is_immutable(errors: Errors, new: Obj, old: Obj) -> None:
    if new["spec"].get("selector") != old["spec"].get("selector"):
        errors.append(invalid_value("spec.selector", shown_selector(new["spec"].get("selector")), IMMUTABLE))


def replica_set(errors: Errors, obj: Obj) -> None:
    _replica_set_spec(errors, _begin(errors, obj))


def _replica_set_spec(errors: Errors, spec: Obj) -> None:
    not_negative(errors, spec.get("replicas"), "spec.replicas")
    not_negative(errors, spec.get("minReadySeconds"), "spec.minReadySeconds")
    _selector(errors, spec, "deployment")
    _matches(errors, spec, spec["template"], "spec.template")
    pods.template(errors, spec["template"], "spec.template")
    _always(errors, spec["template"], "ReplicaSet", "spec.template")


def replica_set_update(errors: Errors, new: Obj, old: Obj) -> None:
    metadata_update(errors, new["metadata"], old["metadata"])
    _replica_set_spec(errors, new["spec"])
    _selector_is_immutable(errors, new, old)


def replication_controller(errors: Errors, obj: Obj) -> None:
    _replication_controller_spec(errors, _begin(errors, obj))


def _replication_controller_spec(errors: Errors, spec: Obj) -> None:
    not_negative(errors, spec.get("minReadySeconds"), "spec.minReadySeconds")
    selector, template = spec.get("selector"), spec.get("template")
    if not selector:
        errors.append(required("spec.selector"))
    not_negative(errors, spec.get("replicas"), "spec.replicas")
    if template is None:
        errors.append(required("spec.template"))
        return
    labels = template["metadata"].get("labels") or {}
    if selector and any(labels.get(k) != v for k, v in selector.items()):
        errors.append(invalid_value("spec.template.metadata.labels", dict(sorted(labels.items())) or None, _MISMATCH))
    pods.template(errors, template, "spec.template")
    _always(errors, template, "ReplicationController", "spec.template")


def replication_controller_update(errors: Errors, new: Obj, old: Obj) -> None:
    metadata_update(errors, new["metadata"], old["metadata"])
    _replication_controller_spec(errors, new["spec"])


def daemon_set(errors: Errors, obj: Obj) -> None:
    _daemon_set_spec(errors, _begin(errors, obj))


def _daemon_set_spec(errors: Errors, spec: Obj) -> None:
    selector, template = spec.get("selector"), spec["template"]
    label_selector(errors, selector, "spec.selector")
    _daemon_matches(errors, selector, template)
    if selector is not None and not selector.get("matchLabels") and not selector.get("matchExpressions"):
        errors.append(invalid_value("spec.selector", shown_selector(selector), "empty selector is invalid for daemonset"))
    pods.template(errors, template, "spec.template")
    _always(errors, template, "DaemonSet", "spec.template")
    not_negative(errors, spec.get("minReadySeconds"), "spec.minReadySeconds")
    _daemon_strategy(errors, spec["updateStrategy"])
    not_negative(errors, spec.get("revisionHistoryLimit"), "spec.revisionHistoryLimit")


def _daemon_matches(errors: Errors, selector: Obj | None, template: Obj) -> None:
    labels = template["metadata"].get("labels")
    try:
        matched = selector is not None and from_label_selector(selector).matches(labels or {})
    except ValueError:
        return
    if not matched:
        errors.append(invalid_value("spec.template.metadata.labels", dict(sorted(labels.items())) if labels else None, _MISMATCH))


def _daemon_strategy(errors: Errors, strategy: Obj) -> None:
    kind, rolling, path = strategy.get("type") or "", strategy.get("rollingUpdate"), "spec.updateStrategy.rollingUpdate"
    if kind == "OnDelete":
        return
    if kind != "RollingUpdate":
        errors.append(
            not_supported(
                "spec.updateStrategy", {"Type": kind, "RollingUpdate": _internal_rolling(rolling)}, ["RollingUpdate", "OnDelete"]
            )
        )
        return
    if rolling is None:
        errors.append(required(path))
        return
    unavailable, surge = rolling.get("maxUnavailable", 0), rolling.get("maxSurge", 0)
    for name, value in (("maxUnavailable", unavailable), ("maxSurge", surge)):
        amount_or_percent(errors, value, f"{path}.{name}")
        at_most_100_percent(errors, value, f"{path}.{name}")
    has_surge, has_unavailable = bool(_number(surge)), bool(_number(unavailable))
    if has_surge and has_unavailable:
        errors.append(invalid_value(f"{path}.maxSurge", surge, "may not be set when maxUnavailable is non-zero"))
    elif not has_surge and not has_unavailable:
        errors.append(required(f"{path}.maxUnavailable", "cannot be 0 when maxSurge is 0"))


def daemon_set_update(errors: Errors, new: Obj, old: Obj) -> None:
    metadata_update(errors, new["metadata"], old["metadata"])
    _daemon_set_spec(errors, new["spec"])
    _selector_is_immutable(errors, new, old)


def stateful_set(errors: Errors, obj: Obj) -> None:
    _stateful_set_spec(errors, _begin(errors, obj, names.label), creating=True)


def _stateful_set_spec(errors: Errors, spec: Obj, creating: bool) -> None:
    management = spec.get("podManagementPolicy") or ""
    if not management:
        errors.append(required("spec.podManagementPolicy"))
    elif management not in ("OrderedReady", "Parallel"):
        errors.append(invalid_value("spec.podManagementPolicy", management, "must be 'OrderedReady' or 'Parallel'"))
    _stateful_strategy(errors, spec["updateStrategy"])
    for name, value in (spec.get("persistentVolumeClaimRetentionPolicy") or {}).items():
        if value not in ("Delete", "Retain"):
            errors.append(not_supported(f"spec.persistentVolumeClaimRetentionPolicy.{name}", value, ["Retain", "Delete"]))
    if creating:
        for index, claim in enumerate(spec.get("volumeClaimTemplates") or ()):
            claim_spec(errors, claim["spec"], f"spec.volumeClaimTemplates[{index}].spec")
    not_negative(errors, spec.get("replicas"), "spec.replicas")
    not_negative(errors, spec.get("minReadySeconds"), "spec.minReadySeconds")
    not_negative(errors, (spec.get("ordinals") or {}).get("start"), "spec.ordinals.start")
    not_negative(errors, spec.get("revisionHistoryLimit"), "spec.revisionHistoryLimit")
    if creating and spec.get("serviceName"):
        add(errors, "spec.serviceName", spec["serviceName"], names.subdomain(spec["serviceName"]))
    _selector(errors, spec, "statefulset")
    template = spec["template"]
    _matches(errors, spec, template, "spec.template")
    _stateful_template(errors, spec, template)
    policy = template["spec"].get("restartPolicy")
    if policy != "Always":
        errors.append(not_supported("spec.template.spec.restartPolicy", policy or "", ["Always"]))
    if "activeDeadlineSeconds" in template["spec"]:
        errors.append(
            forbidden_field("spec.template.spec.activeDeadlineSeconds", "activeDeadlineSeconds in StatefulSet is not Supported")
        )


def _stateful_template(errors: Errors, spec: Obj, template: Obj) -> None:
    """Mounts may refer to the claims that each pod will get, as if they were volumes of the template."""
    claims = [
        {"name": c["metadata"].get("name") or "", "persistentVolumeClaim": {"claimName": "x"}}
        for c in spec.get("volumeClaimTemplates") or ()
    ]
    own = template["spec"].get("volumes") or []
    taken = {c["name"] for c in claims}
    merged = [*(v for v in own if v.get("name") not in taken), *claims]
    whole = template | {"spec": template["spec"] | ({"volumes": merged} if merged else {})}
    pods.template(errors, whole, "spec.template")


def _stateful_strategy(errors: Errors, strategy: Obj) -> None:
    kind, rolling, path = strategy.get("type") or "", strategy.get("rollingUpdate"), "spec.updateStrategy"
    if not kind:
        errors.append(required(path))
    elif kind == "OnDelete":
        if rolling is not None:
            shown = {"Partition": rolling.get("partition", 0), "MaxUnavailable": rolling.get("maxUnavailable")}
            errors.append(invalid_value(f"{path}.rollingUpdate", shown, "only allowed for updateStrategy 'RollingUpdate'"))
    elif kind == "RollingUpdate":
        if rolling is not None:
            not_negative(errors, rolling.get("partition"), f"{path}.rollingUpdate.partition")
            if "maxUnavailable" in rolling:
                value, at = rolling["maxUnavailable"], f"{path}.rollingUpdate.maxUnavailable"
                amount_or_percent(errors, value, at)
                if not _number(value):
                    errors.append(invalid_value(at, value, "cannot be 0"))
                at_most_100_percent(errors, value, at)
    else:
        shown_rolling = (
            None
            if rolling is None
            else {"Partition": rolling.get("partition", 0), "MaxUnavailable": rolling.get("maxUnavailable")}
        )
        errors.append(
            invalid_value(path, {"Type": kind, "RollingUpdate": shown_rolling}, "must be 'RollingUpdate' or 'OnDelete'")
        )


def stateful_set_update(errors: Errors, new: Obj, old: Obj) -> None:
    metadata_update(errors, new["metadata"], old["metadata"])
    _stateful_set_spec(errors, new["spec"], creating=False)
    left_new = {n: v for n, v in new["spec"].items() if n not in _STATEFUL_MUTABLE}
    left_old = {n: v for n, v in old["spec"].items() if n not in _STATEFUL_MUTABLE}
    if left_new != left_old:
        errors.append(forbidden_field("spec", _STATEFUL_RULE))


def controller_revision(errors: Errors, obj: Obj) -> None:
    metadata(errors, obj["metadata"], True, names.subdomain)
    core_finalizers(errors, obj["metadata"])
    if obj.get("data") is None:
        errors.append(required("data", "data is mandatory"))
    not_negative(errors, obj.get("revision"), "revision")


def controller_revision_update(errors: Errors, new: Obj, old: Obj) -> None:
    metadata_update(errors, new["metadata"], old["metadata"])
    controller_revision(errors, new)
    if new.get("data") != old.get("data"):
        errors.append(invalid_value("data", new.get("data"), IMMUTABLE))


_COUNTED = {
    "Deployment": ("updatedReplicas", "readyReplicas", "availableReplicas"),
    "ReplicaSet": ("fullyLabeledReplicas", "readyReplicas", "availableReplicas"),
    "ReplicationController": ("fullyLabeledReplicas", "readyReplicas", "availableReplicas"),
    "StatefulSet": ("readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"),
}
"""The counts of each kind that are counts among its replicas."""


def status_update(errors: Errors, new: Obj, old: Obj) -> None:
    """The counts of a workload's status make sense."""
    metadata_update(errors, new["metadata"], old["metadata"])
    status = new["status"]
    for name, value in status.items():
        if isinstance(value, int) and not isinstance(value, bool):
            not_negative(errors, value, f"status.{name}")
    total = status.get("replicas") or 0
    for name in _COUNTED.get(new.get("kind", ""), ()):
        if (status.get(name) or 0) > total:
            errors.append(invalid_value(f"status.{name}", status.get(name) or 0, "cannot be greater than status.replicas"))
    if (status.get("availableReplicas") or 0) > (status.get("readyReplicas") or 0):
        errors.append(
            invalid_value(
                "status.availableReplicas", status.get("availableReplicas") or 0, "cannot be greater than readyReplicas"
            )
        )
    count, before = status.get("collisionCount"), old["status"].get("collisionCount")
    if before is not None and (count is None or count < before):
        errors.append(invalid_value("status.collisionCount", count or 0, "cannot be decremented"))
