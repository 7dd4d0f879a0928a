"""Between the version that is stored and the version that is asked for, where a resource has two.

Events are stored as core/v1 and shown as events.k8s.io/v1; autoscalers are stored as autoscaling/v2 and shown as v1. Custom resources
are shown by the schema of today, whatever it was when they were stored. Everything else is stored as it is served.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from halab.cluster.kube import crd
from halab.cluster.kube.kinds import EVENTS_V1, HORIZONTAL_POD_AUTOSCALERS_V1, Kind

Obj = dict[str, Any]
METRICS = "autoscaling.alpha.kubernetes.io/metrics"
BEHAVIOR = "autoscaling.alpha.kubernetes.io/behavior"
CONDITIONS = "autoscaling.alpha.kubernetes.io/conditions"
CURRENT = "autoscaling.alpha.kubernetes.io/current-metrics"

_EVENT_NAMES = (  # core/v1, events.k8s.io/v1
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
)
_TO_EVENTS_V1 = dict(_EVENT_NAMES)
_TO_CORE = {new: old for old, new in _EVENT_NAMES}


_CONVERTED = frozenset({EVENTS_V1, HORIZONTAL_POD_AUTOSCALERS_V1})


def shown(kind: Kind, obj: Obj) -> Obj:
    """A stored object in the version of ``kind``; the argument may be changed."""
    if kind == EVENTS_V1:
        return {_TO_EVENTS_V1.get(key, key): value for key, value in obj.items()}
    if kind == HORIZONTAL_POD_AUTOSCALERS_V1:
        return _autoscaler_v1(obj)
    return crd.read(kind, obj) if kind.custom else obj


def stored(kind: Kind, obj: Obj) -> Obj:
    """An object of the version of ``kind`` as it is stored; the argument may be changed."""
    if kind == EVENTS_V1:
        return {_TO_CORE.get(key, key): value for key, value in obj.items()}
    if kind == HORIZONTAL_POD_AUTOSCALERS_V1:
        return _autoscaler_v2(obj)
    return obj


def converts(kind: Kind) -> bool:
    return crd.reads(kind) if kind.custom else kind in _CONVERTED


def from_storage(kind: Kind) -> Callable[[bytes], bytes] | None:
    """What turns a stored value into the kind's version; None where they are the same."""
    if not converts(kind):
        return None
    return lambda value: orjson.dumps(shown(kind, orjson.loads(value)))


def _annotations(obj: Obj) -> Obj:
    annotations: Obj = obj["metadata"].setdefault("annotations", {})
    return annotations


def _is_cpu_utilization(metric: Obj) -> bool:
    resource = metric.get("resource") or {}
    target = resource.get("target") or {}
    return metric.get("type") == "Resource" and resource.get("name") == "cpu" and target.get("averageUtilization") is not None


def _autoscaler_v1(obj: Obj) -> Obj:
    """autoscaling/v1 has only a CPU target; the rest travels in annotations, as in Kubernetes."""
    spec, current = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    others = []
    for metric in spec.pop("metrics", None) or []:
        if _is_cpu_utilization(metric) and "targetCPUUtilizationPercentage" not in spec:
            spec["targetCPUUtilizationPercentage"] = metric["resource"]["target"]["averageUtilization"]
        else:
            others.append(metric)
    if others:
        _annotations(obj)[METRICS] = orjson.dumps(others).decode()
    if behavior := spec.pop("behavior", None):
        _annotations(obj)[BEHAVIOR] = orjson.dumps(behavior).decode()
    for metric in current.get("currentMetrics") or []:
        resource = metric.get("resource") or {}
        if resource.get("name") == "cpu" and (resource.get("current") or {}).get("averageUtilization") is not None:
            current["currentCPUUtilizationPercentage"] = resource["current"]["averageUtilization"]
    for key, annotation in (("currentMetrics", CURRENT), ("conditions", CONDITIONS)):
        value = current.pop(key, None)
        if value:
            _annotations(obj)[annotation] = orjson.dumps(value).decode()
    current.setdefault("currentReplicas", 0)
    current.setdefault("desiredReplicas", 0)
    return obj | {"spec": spec, "status": current}


def _autoscaler_v2(obj: Obj) -> Obj:
    spec, current = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    annotations = dict(obj["metadata"].get("annotations") or {})
    metrics = []
    if (percent := spec.pop("targetCPUUtilizationPercentage", None)) is not None:
        target = {"type": "Utilization", "averageUtilization": percent}
        metrics.append({"type": "Resource", "resource": {"name": "cpu", "target": target}})
    metrics += _unpacked(annotations.pop(METRICS, None)) or []
    if metrics:
        spec["metrics"] = metrics
    if behavior := _unpacked(annotations.pop(BEHAVIOR, None)):
        spec["behavior"] = behavior
    current.pop("currentCPUUtilizationPercentage", None)
    for key, annotation in (("currentMetrics", CURRENT), ("conditions", CONDITIONS)):
        if value := _unpacked(annotations.pop(annotation, None)):
            current[key] = value
    current.setdefault("currentMetrics", None)
    metadata = {key: value for key, value in obj["metadata"].items() if key != "annotations"}
    if annotations:
        metadata["annotations"] = annotations
    return obj | {"metadata": metadata, "spec": spec, "status": current}


def _unpacked(text: str | None) -> Any:
    try:
        return orjson.loads(text) if text else None
    except orjson.JSONDecodeError:
        return None
