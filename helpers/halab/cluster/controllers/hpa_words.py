"""What an autoscaler says of a metric that it could not get: Kubernetes' words."""

from __future__ import annotations

from halab.cluster.kube.types import Obj


def failure(metric: Obj, text: str) -> tuple[str, str, str]:
    """(reason, text of event and condition, text within FailedComputeMetricsReplicas)."""
    kind = metric["type"]
    if kind == "Resource":
        name = metric["resource"]["name"]
        words = f"failed to get {name} utilization: {text}"
        return "FailedGetResourceMetric", words, f"failed to get {name} resource metric value: {words}"
    if kind == "ContainerResource":
        name = metric["containerResource"]["name"]
        words = f"failed to get {name} utilization: {text}"
        return "FailedGetContainerResourceMetric", words, f"failed to get {name} container metric value: {words}"
    named = f"{metric['external']['metric']['name']} external" if kind == "External" else kind.lower()
    return f"FailedGet{kind}Metric", text, f"failed to get {named} metric value: {text}"


def unregistered(metric: Obj, namespace: str) -> str:
    """What is said of a metric that no API serves here: those of objects, of pods beyond their resources, of the world outside."""
    kind = metric["type"]
    source = metric.get(kind.lower()) or {}
    name = (source.get("metric") or {}).get("name", "")
    if kind == "External":
        selector = _go_selector((source.get("metric") or {}).get("selector"))
        return (
            f"unable to get external metric {namespace}/{name}/{selector}: unable to fetch metrics from external metrics API: "
            f"the server could not find the requested resource (get {name}.external.metrics.k8s.io)"
        )
    missing = "unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered"
    if kind == "Object":
        described = source.get("describedObject") or {}
        return f"unable to get metric {name}: {described.get('kind')} on {namespace} {described.get('name')}/{missing}"
    return f"unable to get metric {name}: {missing}"


def _go_selector(selector: Obj | None) -> str:
    """A LabelSelector as Go prints it."""
    if selector is None:
        return "nil"
    labels = "".join(f"{key}: {value}," for key, value in sorted((selector.get("matchLabels") or {}).items()))
    return f"&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{}},}}"
