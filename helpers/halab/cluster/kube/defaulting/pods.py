"""Defaults of pods, of pod templates and of all that stands in them (core/v1)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from halab.cluster.kube.quantity import Quantity, quantity
from halab.cluster.kube.types import Obj

_MILLI = -3
CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")
_TAG = re.compile(r"^(?P<rest>.+?)(?::(?P<tag>[\w][\w.-]{0,127}))?(?P<digest>@[A-Za-z][\w+.-]*:[0-9a-fA-F]{32,})?$", re.A)


def containers(spec: Obj) -> Iterator[Obj]:
    for name in CONTAINER_LISTS:
        yield from spec.get(name) or ()


def pod(obj: Obj) -> None:
    spec = obj["spec"]
    pod_spec(spec)
    ordinary = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    for container in ordinary:
        _requests_from_limits(container)
    _pod_level_requests(spec)
    spec.setdefault("enableServiceLinks", True)
    if spec.get("hostNetwork"):
        for container in ordinary:
            for port in container.get("ports") or ():
                if not port.get("hostPort"):
                    port["hostPort"] = port["containerPort"]


def pod_template(template: Obj) -> None:
    pod_spec(template["spec"])


def pod_spec(spec: Obj) -> None:
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("securityContext", {})
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("schedulerName", "default-scheduler")
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:  # the older name of the field always mirrors the newer
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for container in containers(spec):
        _container(container)
    for volume in spec.get("volumes") or ():
        _volume(volume)
    round_up(spec.get("overhead"))
    if "resources" in spec:
        round_up(spec["resources"].get("limits"))
        round_up(spec["resources"].get("requests"))


def pull_policy(image: str) -> str:
    """``Always`` for the tag ``latest``, said or implied; an unparsable name counts as tagged."""
    match = _TAG.match(image)
    if not match:
        return "IfNotPresent"
    tag, digest = match["tag"], match["digest"]
    if not tag and not digest:
        tag = "latest"
    return "Always" if tag == "latest" else "IfNotPresent"


def _container(container: Obj) -> None:
    container.setdefault("imagePullPolicy", pull_policy(container.get("image") or ""))
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    for port in container.get("ports") or ():
        port.setdefault("protocol", "TCP")
    for variable in container.get("env") or ():
        source = variable.get("valueFrom")
        if source and "fieldRef" in source:
            source["fieldRef"].setdefault("apiVersion", "v1")
        if source and "fileKeyRef" in source:
            source["fileKeyRef"].setdefault("optional", False)
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if name in container:
            _probe(container[name])
    lifecycle = container.get("lifecycle")
    if lifecycle:
        for name in ("postStart", "preStop"):
            if name in lifecycle:
                _http_get(lifecycle[name])
    resources = container.get("resources")
    if resources:
        round_up(resources.get("limits"))
        round_up(resources.get("requests"))


def _probe(probe: Obj) -> None:
    probe.setdefault("timeoutSeconds", 1)
    probe.setdefault("periodSeconds", 10)
    probe.setdefault("successThreshold", 1)
    probe.setdefault("failureThreshold", 3)
    if "grpc" in probe:
        probe["grpc"]["service"] = probe["grpc"].get("service") or ""
    _http_get(probe)


def _http_get(handler: Obj) -> None:
    get = handler.get("httpGet")
    if get is not None:
        get.setdefault("path", "/")
        get.setdefault("scheme", "HTTP")


def round_up(resources: Obj | None) -> None:
    """No resource is finer than a thousandth."""
    for name, text in (resources or {}).items():
        if text[-1] in "nu" or "." in text or "e-" in text:
            parsed = quantity(text)
            rounded = parsed.value.quantize(parsed.value.from_float(1).scaleb(_MILLI), "ROUND_UP")
            if rounded != parsed.value:
                resources[name] = str(Quantity(rounded, parsed.format))  # type: ignore[index]


def _requests_from_limits(container: Obj) -> None:
    resources = container.get("resources") or {}
    limits = resources.get("limits")
    if limits:
        requests = resources.setdefault("requests", {})
        for name, limit in limits.items():
            requests.setdefault(name, limit)


_POD_LEVEL = ("cpu", "memory")


def _pod_level_requests(spec: Obj) -> None:
    """A pod that limits its resources as a whole asks for what its containers ask for, else for its limits."""
    resources = spec.get("resources")
    if not resources or not resources.get("limits"):
        return
    requests = resources.setdefault("requests", {})
    for name, limit in resources["limits"].items():
        if name not in requests and (name in _POD_LEVEL or name.startswith("hugepages-")):
            asked = [
                quantity(c["resources"]["requests"][name])
                for c in spec.get("containers") or ()
                if name in (c["resources"].get("requests") or {})
            ]
            total = sum((q.value for q in asked), start=quantity("0").value)
            requests[name] = str(Quantity(total, asked[0].format)) if asked and not name.startswith("hugepages-") else limit


_MODE = 0o644


def _volume(volume: Obj) -> None:
    if len(volume) == 1 or not any(v is not None for k, v in volume.items() if k != "name"):
        volume["emptyDir"] = {}
        return
    for source in ("secret", "configMap"):
        if source in volume:
            volume[source].setdefault("defaultMode", _MODE)
    if "hostPath" in volume:
        volume["hostPath"].setdefault("type", "")
    if "downwardAPI" in volume:
        volume["downwardAPI"].setdefault("defaultMode", _MODE)
        _downward(volume["downwardAPI"])
    if "projected" in volume:
        _projected(volume["projected"])
    if "iscsi" in volume:
        volume["iscsi"].setdefault("iscsiInterface", "default")
    if "ephemeral" in volume and "volumeClaimTemplate" in volume["ephemeral"]:
        claim_spec(volume["ephemeral"]["volumeClaimTemplate"]["spec"])
    if "image" in volume:
        volume["image"].setdefault("pullPolicy", pull_policy(volume["image"].get("reference") or ""))
    persistent_source(volume)


def persistent_source(volume: Obj) -> None:
    """Sources that volumes of pods and persistent volumes share."""
    if "rbd" in volume:
        for name, value in (("pool", "rbd"), ("user", "admin"), ("keyring", "/etc/ceph/keyring")):
            volume["rbd"].setdefault(name, value)
    if "azureDisk" in volume:
        for name, value in (("cachingMode", "ReadWrite"), ("kind", "Shared"), ("fsType", "ext4")):
            volume["azureDisk"].setdefault(name, value)
        volume["azureDisk"].setdefault("readOnly", False)
    if "scaleIO" in volume:
        volume["scaleIO"].setdefault("storageMode", "ThinProvisioned")
        volume["scaleIO"].setdefault("fsType", "xfs")


def _downward(source: Obj) -> None:
    for item in source.get("items") or ():
        if "fieldRef" in item:
            item["fieldRef"].setdefault("apiVersion", "v1")


def _projected(projected: Obj) -> None:
    projected.setdefault("defaultMode", _MODE)
    for source in projected.get("sources") or ():
        if "serviceAccountToken" in source:
            source["serviceAccountToken"].setdefault("expirationSeconds", 3600)
        if "downwardAPI" in source:
            _downward(source["downwardAPI"])


def claim_spec(spec: Obj) -> None:
    spec.setdefault("volumeMode", "Filesystem")
    resources = spec.get("resources")
    if resources:
        round_up(resources.get("limits"))
        round_up(resources.get("requests"))
