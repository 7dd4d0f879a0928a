"""Workloads: deployments, replica sets, stateful sets, daemon sets, jobs, cron jobs, and what scales and protects them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from halab.cluster.kube.quantity import canonical
from halab.cluster.kube.selectors import from_label_selector
from halab.cluster.kube.tables.columns import (
    AGE,
    CONTAINERS,
    IMAGES,
    NAME,
    NONE,
    SELECTOR,
    UNKNOWN,
    UNSET,
    Cells,
    Column,
    Layout,
    age,
    at,
    boolean,
    containers,
    duration,
    labels_text,
    meta,
    name_of,
    number,
    parse_time,
    selector_text,
    since,
    spec_of,
    status_of,
    text,
)
from halab.cluster.kube.types import Obj


def _template(obj: Obj) -> Obj:
    return at(obj, "spec", "template", default={})  # type: ignore[no-any-return]


def _deployment(obj: Obj, now: datetime) -> Cells:
    spec, status = spec_of(obj), status_of(obj)
    return [
        name_of(obj),
        f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 0)}",
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
        age(obj, now),
        *containers(_template(obj)),
        str(from_label_selector(spec.get("selector"))),
    ]


def _replicas(selector: Callable[[Any], str]) -> Callable[[Obj, datetime], Cells]:
    def cells(obj: Obj, now: datetime) -> Cells:
        spec, status = spec_of(obj), status_of(obj)
        counts = [spec.get("replicas", 0), status.get("replicas", 0), status.get("readyReplicas", 0)]
        return [name_of(obj), *counts, age(obj, now), *containers(_template(obj)), selector(spec.get("selector"))]

    return cells


def _stateful_set(obj: Obj, now: datetime) -> Cells:
    ready = f"{status_of(obj).get('readyReplicas', 0)}/{spec_of(obj).get('replicas', 0)}"
    return [name_of(obj), ready, age(obj, now), *containers(_template(obj))]


_DAEMON_COUNTS = ("desiredNumberScheduled", "currentNumberScheduled", "numberReady", "updatedNumberScheduled", "numberAvailable")


def _daemon_set(obj: Obj, now: datetime) -> Cells:
    return [
        name_of(obj),
        *(status_of(obj).get(field, 0) for field in _DAEMON_COUNTS),
        labels_text(at(obj, "spec", "template", "spec", "nodeSelector")),
        age(obj, now),
        *containers(_template(obj)),
        selector_text(spec_of(obj).get("selector")),
    ]


def _job(obj: Obj, now: datetime) -> Cells:
    spec, status = spec_of(obj), status_of(obj)
    succeeded, wanted, parallelism = status.get("succeeded", 0), spec.get("completions"), spec.get("parallelism", 0)
    if wanted is not None:
        completions = f"{succeeded}/{wanted}"
    else:
        completions = f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"
    started, ended = parse_time(status.get("startTime")), parse_time(status.get("completionTime"))
    lasted = "" if started is None else duration(((ended or now) - started).total_seconds())
    return [
        name_of(obj),
        _job_state(obj),
        completions,
        lasted,
        age(obj, now),
        *containers(_template(obj)),
        selector_text(spec.get("selector")),
    ]


def _job_state(obj: Obj) -> str:
    true = {c.get("type") for c in status_of(obj).get("conditions") or () if c.get("status") == "True"}
    for condition in ("Complete", "Failed"):
        if condition in true:
            return condition
    if meta(obj).get("deletionTimestamp"):
        return "Terminating"
    return next((c for c in ("Suspended", "FailureTarget", "SuccessCriteriaMet") if c in true), "Running")


def _cron_job(obj: Obj, now: datetime) -> Cells:
    spec, status = spec_of(obj), status_of(obj)
    last = status.get("lastScheduleTime")
    job = at(spec, "jobTemplate", "spec", default={})
    return [
        name_of(obj),
        spec.get("schedule", ""),
        spec.get("timeZone") or NONE,
        boolean(spec.get("suspend")),
        len(status.get("active") or ()),
        since(last, now) if last else NONE,
        age(obj, now),
        *containers(job.get("template") or {}),
        selector_text(job.get("selector")),
    ]


def _disruption_budget(obj: Obj, now: datetime) -> Cells:
    spec = spec_of(obj)
    bounds = [str(spec[field]) if spec.get(field) is not None else "N/A" for field in ("minAvailable", "maxUnavailable")]
    return [name_of(obj), *bounds, status_of(obj).get("disruptionsAllowed", 0), age(obj, now)]


def _controller_revision(obj: Obj, now: datetime) -> Cells:
    owner = next((o for o in meta(obj).get("ownerReferences") or () if o.get("controller")), None)
    group = str(owner.get("apiVersion", "")).rpartition("/")[0] if owner else ""
    kind = owner.get("kind", "").lower() + (f".{group}" if group else "") if owner else ""
    return [name_of(obj), f"{kind}/{owner.get('name', '')}" if owner else NONE, obj.get("revision", 0), age(obj, now)]


def _autoscaler(obj: Obj, now: datetime) -> Cells:
    spec, status = spec_of(obj), status_of(obj)
    target = spec.get("scaleTargetRef") or {}
    return [
        name_of(obj),
        f"{target.get('kind', '')}/{target.get('name', '')}",
        _metrics(spec, status),
        str(spec["minReplicas"]) if spec.get("minReplicas") is not None else UNSET,
        spec.get("maxReplicas", 0),
        status.get("currentReplicas", 0),
        age(obj, now),
    ]


_SOURCES = {
    "Resource": "resource",
    "ContainerResource": "containerResource",
    "Pods": "pods",
    "Object": "object",
    "External": "external",
}


def _metrics(spec: Obj, status: Obj) -> str:
    metrics = spec.get("metrics") or ()
    if "targetCPUUtilizationPercentage" in spec:  # autoscaling/v1
        current = status.get("currentCPUUtilizationPercentage")
        return f"cpu: {UNKNOWN if current is None else f'{current}%'}/{spec['targetCPUUtilizationPercentage']}%"
    if not metrics:
        return NONE
    statuses = status.get("currentMetrics") or ()
    texts = [_metric(metric, statuses[i] if i < len(statuses) else {}) for i, metric in enumerate(metrics)]
    shown = ", ".join(texts[:2])
    return f"{shown} + {len(texts) - 2} more..." if len(texts) > 2 else shown


def _metric(metric: Obj, status: Obj) -> str:
    source = _SOURCES.get(metric.get("type", ""))
    if source is None:
        return "<unknown type>"
    spec = metric.get(source) or {}
    target, current = spec.get("target") or {}, at(status, source, "current", default={})
    if source in ("resource", "containerResource"):
        name = spec.get("name", "")
        if target.get("averageValue") is not None:
            return f"{name}: {_value(current, 'averageValue')}/{canonical(str(target['averageValue']))}"
        wanted = target.get("averageUtilization")
        used = current.get("averageUtilization")
        return f"{name}: {UNKNOWN if used is None else f'{used}%'}/{'<auto>' if wanted is None else f'{wanted}%'}"
    if source == "pods":
        return f"{_value(current, 'averageValue')}/{_value(target, 'averageValue')}"
    if target.get("averageValue") is not None:
        return f"{_value(current, 'averageValue')}/{_value(target, 'averageValue')} (avg)"
    return f"{_value(current, 'value')}/{_value(target, 'value')}"


def _value(holder: Obj, field: str) -> str:
    value = holder.get(field)
    return UNKNOWN if value is None else canonical(str(value))


def _scale(obj: Obj, now: datetime) -> Cells:
    return [name_of(obj), spec_of(obj).get("replicas", 0), status_of(obj).get("replicas", 0), age(obj, now)]


_COUNTS = (number("Desired"), number("Current"), number("Ready"))
_WIDE = (CONTAINERS, IMAGES, SELECTOR)

LAYOUTS = {
    ("apps", "Deployment"): Layout(
        (NAME, text("Ready", "Number of the pod with ready state"), text("Up-to-date"), text("Available"), AGE, *_WIDE),
        _deployment,
    ),
    ("apps", "ReplicaSet"): Layout((NAME, *_COUNTS, AGE, *_WIDE), _replicas(selector_text)),
    ("", "ReplicationController"): Layout((NAME, *_COUNTS, AGE, *_WIDE), _replicas(labels_text)),
    ("apps", "StatefulSet"): Layout((NAME, text("Ready"), AGE, CONTAINERS, IMAGES), _stateful_set),
    ("apps", "DaemonSet"): Layout(
        (NAME, *_COUNTS, number("Up-to-date"), number("Available"), text("Node Selector"), AGE, *_WIDE), _daemon_set
    ),
    ("apps", "ControllerRevision"): Layout(
        (NAME, text("Controller", "Controller of the object"), text("Revision"), AGE), _controller_revision
    ),
    ("batch", "Job"): Layout(
        (NAME, text("Status", "Status of the job."), text("Completions"), text("Duration"), AGE, *_WIDE), _job
    ),
    ("batch", "CronJob"): Layout(
        (
            NAME,
            text("Schedule"),
            text("Timezone"),
            Column("Suspend", "boolean"),
            number("Active"),
            text("Last Schedule"),
            AGE,
            *_WIDE,
        ),
        _cron_job,
    ),
    ("policy", "PodDisruptionBudget"): Layout(
        (NAME, text("Min Available"), text("Max Unavailable"), number("Allowed Disruptions"), AGE), _disruption_budget
    ),
    ("autoscaling", "HorizontalPodAutoscaler"): Layout(
        (NAME, text("Reference"), text("Targets"), text("MinPods"), text("MaxPods"), text("Replicas"), AGE), _autoscaler
    ),
    ("autoscaling", "Scale"): Layout((Column("Name"), number("Desired"), number("Available"), AGE), _scale),
}
