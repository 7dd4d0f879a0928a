"""What Kubernetes' registry strategies do to an object between decoding and validation.

On create: status is what the server starts with, generations begin, fields that only the server or another subresource may set
are dropped. On update: what this request may not touch is taken over from the stored object, and the generation rises when the
spec changed. Pure functions on normalised, defaulted objects; names, uids and times are the API server's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from halab.cluster.kube import kinds as k
from halab.cluster.kube.defaulting.workloads import TEMPLATE_GENERATION
from halab.cluster.kube.gates import drop_disabled
from halab.cluster.kube.kinds import Kind
from halab.cluster.kube.qos import quality_of_service
from halab.cluster.kube.schema import node_for
from halab.cluster.kube.types import Obj

_META_KEPT = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "selfLink")
_META_DEFAULT = ("name", "namespace", "generateName")


def prepare_create(kind: Kind, obj: Obj) -> None:
    """Make ``obj`` (decoded and defaulted; its ``metadata`` has name, uid and creationTimestamp) what a create stores, in place."""
    meta = obj["metadata"]
    if not kind.namespaced:
        meta.pop("namespace", None)
    meta.pop("generation", None)
    if kind.generation:
        meta["generation"] = 1
    if kind.has_status and not kind.custom and kind != k.NODES:  # kubelets register themselves with their status
        _reset_status(kind, obj)
    elif kind.custom:
        meta["generation"] = 1
        if kind.has_status:
            obj.pop("status", None)
    drop_disabled(kind, obj)
    special = _CREATE.get(kind)
    if special is not None:
        special(obj)


def prepare_update(kind: Kind, new: Obj, old: Obj, subresource: str | None = None) -> None:
    """Make ``new`` what an update of ``old`` through ``subresource`` (None: the object itself) stores, in place.

    Metadata that only the server sets comes from ``old``; ``resourceVersion`` is left to the caller. ``generation`` rises if the spec
    (for kinds without one: anything but metadata) differs.
    """
    meta, before = new["metadata"], old["metadata"]
    for name in _META_KEPT:
        if name in before:
            meta[name] = before[name]
        else:
            meta.pop(name, None)
    for name in _META_DEFAULT:
        if name in before:
            meta.setdefault(name, before[name])
    if not kind.namespaced:
        meta.pop("namespace", None)
    if subresource == "status":
        _status_only(kind, new, old)
        return
    if kind.has_status and subresource != "approval":
        _keep(new, old, "status")
    drop_disabled(kind, new, old)
    special = _UPDATE.get(kind)
    if special is not None:
        special(new, old, subresource)
    if (kind.generation or kind.custom) and _changed(kind, new, old):
        meta["generation"] = int(before.get("generation") or 0) + 1


def _changed(kind: Kind, new: Obj, old: Obj) -> bool:
    if kind == k.PODS:
        return bool(new["spec"] != old["spec"])
    if "spec" in new and not kind.custom:
        changed: bool = new["spec"] != old.get("spec")
        if kind in _ANNOTATIONS_COUNT:
            changed = changed or new["metadata"].get("annotations") != old["metadata"].get("annotations")
        return changed
    left_out = {"metadata", "status"} if kind.has_status else {"metadata"}
    return {n: v for n, v in new.items() if n not in left_out} != {n: v for n, v in old.items() if n not in left_out}


_ANNOTATIONS_COUNT = frozenset({k.DEPLOYMENTS})
"""Kinds whose generation also rises when annotations change."""


def _keep(new: Obj, old: Obj, name: str) -> None:
    if name in old:
        new[name] = old[name]
    else:
        new.pop(name, None)


def _status_only(kind: Kind, new: Obj, old: Obj) -> None:
    """A status update changes the status and, of metadata, what the kind's strategy lets through."""
    for name in old:
        if name not in ("metadata", "status", "apiVersion", "kind"):
            new[name] = old[name]
    for name in [n for n in new if n not in old and n not in ("metadata", "status", "apiVersion", "kind")]:
        del new[name]
    if kind == k.PODS:
        new["metadata"].pop("deletionTimestamp", None)
        for name in ("deletionTimestamp", "ownerReferences"):
            _keep(new["metadata"], old["metadata"], name)
        new["status"]["qosClass"] = old["status"].get("qosClass") or quality_of_service(old)
    elif kind in _STATUS_KEEPS_LABELS:
        _keep(new["metadata"], old["metadata"], "labels")
    elif kind.custom or kind in _STATUS_KEEPS_META:
        fields = {n: new["metadata"][n] for n in ("managedFields", "resourceVersion") if n in new["metadata"]}
        kept = {n: v for n, v in old["metadata"].items() if n not in ("managedFields", "resourceVersion")}
        new["metadata"] = kept | fields


_STATUS_KEEPS_LABELS = frozenset({k.DEPLOYMENTS})
_STATUS_KEEPS_META = frozenset({k.CUSTOM_RESOURCE_DEFINITIONS, k.API_SERVICES, k.FLOW_SCHEMAS, k.PRIORITY_LEVELS})


def _reset_status(kind: Kind, obj: Obj) -> None:
    zero = node_for(kind).at("status")
    obj["status"] = zero.zero() if zero is not None and not zero.pointer else {}


def _pod_create(obj: Obj) -> None:
    obj["status"] = {"phase": "Pending", "qosClass": quality_of_service(obj)}
    gates = obj["spec"].get("schedulingGates")
    if gates:
        obj["status"]["conditions"] = [_gated()]
    obj["spec"].pop("ephemeralContainers", None)
    _app_armor(obj)


_APP_ARMOR = "container.apparmor.security.beta.kubernetes.io/"
_PROFILES = {"unconfined": "Unconfined", "runtime/default": "RuntimeDefault"}


def _app_armor(pod: Obj) -> None:
    """AppArmor was asked for by annotations once: they and the field are kept in step."""
    annotations = pod["metadata"].get("annotations") or {}
    for group in ("initContainers", "containers"):
        for container in pod["spec"].get(group) or ():
            asked = annotations.get(_APP_ARMOR + container.get("name", ""))
            context = container.get("securityContext") or {}
            if asked and "appArmorProfile" not in context and "appArmorProfile" not in (pod["spec"].get("securityContext") or {}):
                profile: Obj | None = {"type": _PROFILES[asked]} if asked in _PROFILES else None
                if asked.startswith("localhost/"):
                    profile = {"localhostProfile": asked.removeprefix("localhost/"), "type": "Localhost"}
                if profile:
                    container["securityContext"] = context | {"appArmorProfile": profile}


def _gated() -> Obj:
    return {
        "type": "PodScheduled",
        "status": "False",
        "lastProbeTime": None,
        "lastTransitionTime": None,
        "reason": "SchedulingGated",
        "message": "Scheduling is blocked due to non-empty scheduling gates",
    }


def _pod_update(new: Obj, old: Obj, subresource: str | None) -> None:
    if subresource == "ephemeralcontainers":
        ephemeral = new["spec"].get("ephemeralContainers")
        new["spec"] = dict(old["spec"])
        if ephemeral:
            new["spec"]["ephemeralContainers"] = ephemeral
        else:
            new["spec"].pop("ephemeralContainers", None)
    elif subresource == "resize":
        _resize(new, old)
    else:
        _keep(new["spec"], old["spec"], "ephemeralContainers")
    if not new["spec"].get("schedulingGates") and new["status"].get("conditions"):
        kept = [c for c in new["status"]["conditions"] if c.get("reason") != "SchedulingGated"]
        new["status"] = new["status"] | {"conditions": kept}
        if not kept:
            del new["status"]["conditions"]


def _resize(new: Obj, old: Obj) -> None:
    """Only the resources and resize policies of containers may change through ``resize``."""
    wanted = {c["name"]: c for name in ("containers", "initContainers") for c in new["spec"].get(name) or ()}
    spec = dict(old["spec"])
    for name in ("containers", "initContainers"):
        if name in spec:
            spec[name] = [
                c | {n: wanted[c["name"]][n] for n in ("resources", "resizePolicy") if n in wanted[c["name"]]}
                if c["name"] in wanted
                else c
                for c in spec[name]
            ]
    new["spec"] = spec


def _namespace_create(obj: Obj) -> None:
    """A namespace starts Active, and is held by the ``kubernetes`` finalizer until its content is gone."""
    obj["status"] = {"phase": "Active"}
    finalizers = [f for f in obj["spec"].get("finalizers") or () if f != "kubernetes"]
    obj["spec"]["finalizers"] = [*finalizers, "kubernetes"]


def _namespace_update(new: Obj, old: Obj, subresource: str | None) -> None:
    if subresource != "finalize":
        _keep(new["spec"], old["spec"], "finalizers")


def _service_update(new: Obj, old: Obj, subresource: str | None) -> None:
    """What a change of type makes meaningless goes; addresses that a lazy client left out stay."""
    spec, before = new["spec"], old["spec"]
    kept = spec.get("type") != "ExternalName" and before.get("type") != "ExternalName"
    if kept and not spec.get("clusterIP"):
        _keep(spec, before, "clusterIP")
        if not spec.get("clusterIPs"):
            _keep(spec, before, "clusterIPs")
    _sync_cluster_ips(spec, before)
    if kept:
        for name in ("ipFamilies", "ipFamilyPolicy"):
            if not spec.get(name):
                _keep(spec, before, name)
    if spec["type"] in ("NodePort", "LoadBalancer") and before.get("type") in ("NodePort", "LoadBalancer"):
        _patch_node_ports(spec, before)
    if before.get("type") != spec["type"]:
        _drop_for_type(spec, before)
    if before.get("type") == "LoadBalancer" and spec["type"] != "LoadBalancer":
        new["status"] = new["status"] | {"loadBalancer": {}}


def _sync_cluster_ips(spec: Obj, before: Obj) -> None:
    """``clusterIP`` and ``clusterIPs`` say the same; who changed only one of them changed both."""
    one, many = spec.get("clusterIP"), spec.get("clusterIPs")
    if one == before.get("clusterIP") and many == before.get("clusterIPs"):
        return
    if one != before.get("clusterIP") and many == before.get("clusterIPs"):
        if one:
            spec["clusterIPs"] = [one, *(many or [])[1:]] if many else [one]
        else:
            spec.pop("clusterIPs", None)


def _patch_node_ports(spec: Obj, before: Obj) -> None:
    """A port whose node port is left out keeps the one it has."""
    known = {(p.get("protocol"), p.get("port")): p.get("nodePort") for p in before.get("ports") or ()}
    used = {p.get("nodePort") for p in spec.get("ports") or () if p.get("nodePort")}
    for port in spec.get("ports") or ():
        if not port.get("nodePort"):
            number = known.get((port.get("protocol"), port.get("port")))
            if number and number not in used:
                port["nodePort"] = number


def _drop_for_type(spec: Obj, before: Obj) -> None:
    """Fields that belonged to the former type go, if the client sent them back unchanged."""

    def drop(name: str) -> None:
        if spec.get(name) == before.get(name):
            spec.pop(name, None)

    was, now = before.get("type"), spec["type"]
    if was in ("NodePort", "LoadBalancer") and now not in ("NodePort", "LoadBalancer"):
        old_ports = {(p.get("protocol"), p.get("port")): p.get("nodePort") for p in before.get("ports") or ()}
        for port in spec.get("ports") or ():
            if port.get("nodePort") == old_ports.get((port.get("protocol"), port.get("port"))):
                port.pop("nodePort", None)
        drop("externalTrafficPolicy")
    if was == "LoadBalancer" and now != "LoadBalancer":
        for name in ("healthCheckNodePort", "allocateLoadBalancerNodePorts", "loadBalancerClass"):
            drop(name)
    if was == "ExternalName":
        drop("externalName")
    if now == "ExternalName":
        for name in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"):
            drop(name)


def _daemon_set_create(obj: Obj) -> None:
    obj["metadata"].setdefault("annotations", {})[TEMPLATE_GENERATION] = "1"


def _daemon_set_update(new: Obj, old: Obj, subresource: str | None) -> None:
    former = (old["metadata"].get("annotations") or {}).get(TEMPLATE_GENERATION) or "0"
    number = int(former) if former.isdigit() else 0
    if new["spec"].get("template") != old["spec"].get("template"):
        number += 1
    new["metadata"].setdefault("annotations", {})[TEMPLATE_GENERATION] = str(number)


def _job_create(obj: Obj) -> None:
    """A job's pods are told apart by its uid, unless ``manualSelector`` leaves that to the user."""
    spec, meta = obj["spec"], obj["metadata"]
    if not spec.get("manualSelector"):
        labels = spec["template"]["metadata"].setdefault("labels", {})
        for name, value in (("controller-uid", meta.get("uid", "")), ("job-name", meta.get("name", ""))):
            for key in (name, f"batch.kubernetes.io/{name}"):
                labels.setdefault(key, value)
        selector = spec.setdefault("selector", {})
        if selector is None:
            selector = spec["selector"] = {}
        selector.setdefault("matchLabels", {}).setdefault("batch.kubernetes.io/controller-uid", meta.get("uid", ""))
    labels = spec["template"]["metadata"].get("labels")
    if labels and not meta.get("labels"):
        meta["labels"] = dict(labels)


def _claim_create(obj: Obj) -> None:
    obj["status"] = {"phase": "Pending"}
    _data_sources(obj["spec"])


def _data_sources(spec: Obj) -> None:
    """``dataSource`` and ``dataSourceRef`` mirror each other where both can say it."""
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    if source and not reference:
        spec["dataSourceRef"] = dict(source)
    elif reference and not source and not reference.get("namespace"):
        spec["dataSource"] = {n: v for n, v in reference.items() if n != "namespace"}


def _volume_create(obj: Obj) -> None:
    obj["status"] = {"phase": "Pending"}
    if since := obj["metadata"].get("creationTimestamp"):
        obj["status"]["lastPhaseTransitionTime"] = since


def _secret_update(new: Obj, old: Obj, subresource: str | None) -> None:
    if not new.get("type"):
        new["type"] = old.get("type")


def _definition_create(obj: Obj) -> None:
    status: dict[str, Any] = {"conditions": None, "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": None}
    status["storedVersions"] = [v["name"] for v in obj["spec"].get("versions") or () if v.get("storage")] or None
    obj["status"] = status


def _definition_update(new: Obj, old: Obj, subresource: str | None) -> None:
    stored = list(new["status"].get("storedVersions") or ())
    added = [v["name"] for v in new["spec"].get("versions") or () if v.get("storage") and v["name"] not in stored]
    if added:
        new["status"] = new["status"] | {"storedVersions": [*stored, *added]}


def _api_service_create(obj: Obj) -> None:
    """What this server serves itself is available at once; of other servers somebody has to find out."""
    obj["status"] = {}
    if "service" not in obj["spec"]:
        local = {"type": "Available", "status": "True", "reason": "Local", "message": "Local APIServices are always available"}
        since = obj["metadata"].get("creationTimestamp")
        obj["status"]["conditions"] = [{**local, "lastTransitionTime": since}]


def _request_update(new: Obj, old: Obj, subresource: str | None) -> None:
    """A certificate signing request never changes but in its status: approvals and denials through ``approval``, the rest through ``status``."""
    new["spec"] = old["spec"]
    if subresource != "approval":
        return
    asked = (new.get("status") or {}).get("conditions") or []
    before = (old.get("status") or {}).get("conditions") or []
    decided = [condition for condition in asked if condition.get("type") in DECISIONS]
    new["status"] = dict(old.get("status") or {})
    conditions = [condition for condition in before if condition.get("type") not in DECISIONS] + decided
    if conditions:
        new["status"]["conditions"] = conditions


DECISIONS = ("Approved", "Denied")
"""The conditions of a certificate signing request that only its approval may set."""

_CREATE: dict[Kind, Callable[[Obj], None]] = {
    k.PODS: _pod_create,
    k.NAMESPACES: _namespace_create,
    k.DAEMON_SETS: _daemon_set_create,
    k.JOBS: _job_create,
    k.PERSISTENT_VOLUME_CLAIMS: _claim_create,
    k.PERSISTENT_VOLUMES: _volume_create,
    k.CUSTOM_RESOURCE_DEFINITIONS: _definition_create,
    k.API_SERVICES: _api_service_create,
}
_UPDATE: dict[Kind, Callable[[Obj, Obj, str | None], None]] = {
    k.PODS: _pod_update,
    k.NAMESPACES: _namespace_update,
    k.SERVICES: _service_update,
    k.DAEMON_SETS: _daemon_set_update,
    k.SECRETS: _secret_update,
    k.CERTIFICATE_SIGNING_REQUESTS: _request_update,
    k.CUSTOM_RESOURCE_DEFINITIONS: _definition_update,
}
