"""Defaults of the core group but for pods."""

from __future__ import annotations

import base64

from halab.cluster.kube.defaulting.pods import claim_spec, persistent_source, pod_template, round_up
from halab.cluster.kube.types import Obj

SESSION_SECONDS = 10800  # three hours: how long ClientIP affinity lasts


def service(obj: Obj) -> None:
    spec = obj["spec"]
    affinity = spec.setdefault("sessionAffinity", "None")
    if affinity == "None":
        spec.pop("sessionAffinityConfig", None)
    elif affinity == "ClientIP":
        config = spec.setdefault("sessionAffinityConfig", {})
        config.setdefault("clientIP", {}).setdefault("timeoutSeconds", SESSION_SECONDS)
    kind = spec.setdefault("type", "ClusterIP")
    for port in spec.get("ports") or ():
        port.setdefault("protocol", "TCP")
        if port.get("targetPort") in (0, "", None):
            port["targetPort"] = port["port"]
    external = kind in ("NodePort", "LoadBalancer")
    if external:
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if external or kind == "ClusterIP":
        spec.setdefault("internalTrafficPolicy", "Cluster")
    if kind == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
    for ingress in obj["status"].get("loadBalancer", {}).get("ingress") or ():
        if kind == "LoadBalancer" and ingress.get("ip"):
            ingress.setdefault("ipMode", "VIP")


def secret(obj: Obj) -> None:
    """``stringData`` is for writing only: it goes into ``data``, over what is there."""
    obj.setdefault("type", "Opaque")
    texts = obj.pop("stringData", None)
    if texts:
        data = obj.setdefault("data", {})
        for name, text in texts.items():
            data[name] = base64.b64encode(text.encode()).decode()


def namespace(obj: Obj) -> None:
    obj["status"].setdefault("phase", "Active")
    name = obj["metadata"].get("name")
    if name:
        obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = name


def node(obj: Obj) -> None:
    status = obj["status"]
    round_up(status.get("capacity"))
    round_up(status.get("allocatable"))
    if status.get("capacity") and "allocatable" not in status:
        status["allocatable"] = dict(status["capacity"])


def endpoints(obj: Obj) -> None:
    for subset in obj.get("subsets") or ():
        for port in subset.get("ports") or ():
            port.setdefault("protocol", "TCP")


def replication_controller(obj: Obj) -> None:
    spec = obj["spec"]
    template = spec.get("template")
    if template:
        labels = template["metadata"].get("labels")
        if labels:
            if not spec.get("selector"):
                spec["selector"] = dict(labels)
            if not obj["metadata"].get("labels"):
                obj["metadata"]["labels"] = dict(labels)
        pod_template(template)
    spec.setdefault("replicas", 1)


def template(obj: Obj) -> None:
    pod_template(obj["template"])


def volume(obj: Obj) -> None:
    obj["status"].setdefault("phase", "Pending")
    spec = obj["spec"]
    spec.setdefault("persistentVolumeReclaimPolicy", "Retain")
    spec.setdefault("volumeMode", "Filesystem")
    round_up(spec.get("capacity"))
    if "hostPath" in spec:
        spec["hostPath"].setdefault("type", "")
    if "iscsi" in spec:
        spec["iscsi"].setdefault("iscsiInterface", "default")
    persistent_source(spec)


def claim(obj: Obj) -> None:
    obj["status"].setdefault("phase", "Pending")
    claim_spec(obj["spec"])


def limit_range(obj: Obj) -> None:
    for item in obj["spec"].get("limits") or ():
        for name in ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio"):
            round_up(item.get(name))
        if item.get("type") != "Container":
            continue
        default, request = item.get("default") or {}, item.get("defaultRequest") or {}
        for name, amount in (item.get("max") or {}).items():
            default.setdefault(name, amount)
        for source in (default, item.get("min") or {}):
            for name, amount in source.items():
                request.setdefault(name, amount)
        if default:
            item["default"] = default
        if request:
            item["defaultRequest"] = request


def quota(obj: Obj) -> None:
    round_up(obj["spec"].get("hard"))
    round_up(obj["status"].get("hard"))
    round_up(obj["status"].get("used"))
