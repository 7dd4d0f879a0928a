"""The small mutating plug-ins: DefaultTolerationSeconds, TaintNodesByCondition, DefaultStorageClass, StorageObjectInUseProtection,
DefaultIngressClass, RuntimeClass."""

from __future__ import annotations

from typing import Any

from halab.cluster.apiserver.admission.attributes import Attributes
from halab.cluster.kube import kinds, quantity

Obj = dict[str, Any]
TOLERATION_SECONDS = 300
NOT_READY, UNREACHABLE = "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"
DEFAULT_STORAGE = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")
DEFAULT_INGRESS = "ingressclass.kubernetes.io/is-default-class"
BETA_CLASS = "volume.beta.kubernetes.io/storage-class"


def mutate(attributes: Attributes) -> None:
    if attributes.subresource:
        return
    if attributes.kind is kinds.PODS and attributes.operation in ("CREATE", "UPDATE"):
        _tolerate(attributes.obj["spec"])
        if attributes.operation == "CREATE":
            _overhead(attributes)
    elif attributes.operation != "CREATE":
        return
    elif attributes.kind is kinds.NODES:
        taints = attributes.obj.setdefault("spec", {}).get("taints") or []
        if not any(taint.get("key") == NOT_READY and taint.get("effect") == "NoSchedule" for taint in taints):
            attributes.obj["spec"]["taints"] = [*taints, {"key": NOT_READY, "effect": "NoSchedule"}]
    elif attributes.kind is kinds.PERSISTENT_VOLUME_CLAIMS:
        _finalize(attributes.obj, "kubernetes.io/pvc-protection")
        _storage_class(attributes)
    elif attributes.kind is kinds.PERSISTENT_VOLUMES:
        _finalize(attributes.obj, "kubernetes.io/pv-protection")
    elif attributes.kind is kinds.INGRESSES:
        _ingress_class(attributes)


def _tolerate(spec: Obj) -> None:
    tolerations = spec.get("tolerations") or []

    def tolerated(key: str) -> bool:
        return any(
            toleration.get("key") in (key, None, "") and toleration.get("effect") in ("NoExecute", None, "")
            for toleration in tolerations
        )

    added = [
        {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": TOLERATION_SECONDS}
        for key in (NOT_READY, UNREACHABLE)
        if not tolerated(key)
    ]
    if added:
        spec["tolerations"] = [*tolerations, *added]


def _finalize(obj: Obj, finalizer: str) -> None:
    present = obj["metadata"].get("finalizers") or []
    if finalizer not in present:
        obj["metadata"]["finalizers"] = [*present, finalizer]


def _newest_default(attributes: Attributes, kind: kinds.Kind, annotations: tuple[str, ...]) -> str:
    """The default class; of several the newest, then the first by name."""
    found = [
        item["metadata"]
        for item in attributes.all(kind)
        if any((item["metadata"].get("annotations") or {}).get(annotation) == "true" for annotation in annotations)
    ]
    found.sort(key=lambda meta: meta["name"])
    found.sort(key=lambda meta: meta["creationTimestamp"], reverse=True)
    return found[0]["name"] if found else ""


def _storage_class(attributes: Attributes) -> None:
    claim = attributes.obj
    if "storageClassName" in claim.get("spec", {}) or BETA_CLASS in (claim["metadata"].get("annotations") or {}):
        return
    if name := _newest_default(attributes, kinds.STORAGE_CLASSES, DEFAULT_STORAGE):
        claim["spec"]["storageClassName"] = name


def _ingress_class(attributes: Attributes) -> None:
    ingress = attributes.obj
    annotated = "kubernetes.io/ingress.class" in (ingress["metadata"].get("annotations") or {})
    if annotated or (ingress.get("spec") or {}).get("ingressClassName"):
        return
    if name := _newest_default(attributes, kinds.INGRESS_CLASSES, (DEFAULT_INGRESS,)):
        ingress.setdefault("spec", {})["ingressClassName"] = name


UNFOUNDED_OVERHEAD = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"


def _same(one: Obj, other: Obj) -> bool:
    return one.keys() == other.keys() and all(quantity.compare(one[key], other[key]) == 0 for key in one)


def _overhead(attributes: Attributes) -> None:
    spec = attributes.obj["spec"]
    name = spec.get("runtimeClassName")
    if not name:
        if spec.get("overhead"):
            raise attributes.forbidden(UNFOUNDED_OVERHEAD)
        return
    found = attributes.find(kinds.RUNTIME_CLASSES, name)
    if found is None:
        raise attributes.forbidden(f'pod rejected: RuntimeClass "{name}" not found')
    fixed = (found.get("overhead") or {}).get("podFixed")
    if fixed and not _same(spec.get("overhead") or fixed, fixed):
        raise attributes.forbidden("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
    if fixed:
        spec["overhead"] = dict(fixed)
    elif spec.get("overhead"):
        raise attributes.forbidden(UNFOUNDED_OVERHEAD)
    scheduling = found.get("scheduling") or {}
    selector = scheduling.get("nodeSelector") or {}
    present = spec.get("nodeSelector") or {}
    if any(key in present and present[key] != value for key, value in selector.items()):
        raise attributes.forbidden("conflict: runtimeClass.scheduling.nodeSelector conflicts with pod.Spec.NodeSelector")
    if selector:
        spec["nodeSelector"] = present | selector
    for toleration in scheduling.get("tolerations") or ():
        if toleration not in (spec.get("tolerations") or []):
            spec["tolerations"] = [*(spec.get("tolerations") or []), toleration]
