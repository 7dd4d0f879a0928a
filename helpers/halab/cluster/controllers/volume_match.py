"""Which PersistentVolume suits a claim, and what binding the two changes. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from halab.cluster.kube import quantity
from halab.cluster.kube.selectors import from_label_selector
from halab.cluster.kube.types import Obj

BIND_COMPLETED, BOUND_BY_CONTROLLER = "pv.kubernetes.io/bind-completed", "pv.kubernetes.io/bound-by-controller"


def class_of(obj: Obj) -> str:
    """The storage class name of a claim or volume; the empty string for none."""
    return str(obj["spec"].get("storageClassName") or "")


def requested(claim: Obj) -> str:
    return str(((claim["spec"].get("resources") or {}).get("requests") or {}).get("storage") or "0")


def is_for(volume: Obj, claim: Obj) -> bool:
    """Whether the volume's claimRef names this claim (of this uid, if it names one)."""
    reference = volume["spec"].get("claimRef")
    if not reference:
        return False
    meta = claim["metadata"]
    named = (reference.get("namespace"), reference.get("name")) == (meta["namespace"], meta["name"])
    return named and reference.get("uid") in (None, "", meta["uid"])


def suits(volume: Obj, claim: Obj) -> bool:
    """Whether class, size, access modes, mode and selector fit, and nobody else has the volume."""
    spec, wanted = volume["spec"], claim["spec"]
    if volume["metadata"].get("deletionTimestamp") or (spec.get("claimRef") and not is_for(volume, claim)):
        return False
    if spec.get("volumeMode", "Filesystem") != wanted.get("volumeMode", "Filesystem"):
        return False
    if quantity.compare((spec.get("capacity") or {}).get("storage", "0"), requested(claim)) < 0:
        return False
    if not set(wanted.get("accessModes") or ()) <= set(spec.get("accessModes") or ()):
        return False
    if is_for(volume, claim):
        return True
    if class_of(volume) != class_of(claim):
        return False
    return (
        from_label_selector(wanted["selector"]).matches(volume["metadata"].get("labels") or {})
        if wanted.get("selector")
        else True
    )


def best(volumes: Iterable[Obj], claim: Obj) -> Obj | None:
    """The volume that was made for the claim, else the smallest that suits."""
    fitting = [volume for volume in volumes if suits(volume, claim)]
    return min(
        fitting,
        key=lambda each: (not is_for(each, claim), quantity.parse(each["spec"]["capacity"]["storage"]), each["metadata"]["name"]),
        default=None,
    )


def bound_volume(volume: Obj, claim: Obj) -> Obj:
    """``volume`` with a claimRef to ``claim``; the same object if it has it."""
    meta = claim["metadata"]
    reference = volume["spec"].get("claimRef") or {}
    if reference.get("uid") == meta["uid"] and is_for(volume, claim):
        return volume
    made = {
        "kind": "PersistentVolumeClaim",
        "namespace": meta["namespace"],
        "name": meta["name"],
        "uid": meta["uid"],
        "apiVersion": "v1",
        "resourceVersion": meta["resourceVersion"],
    }
    changed = {**volume, "spec": {**volume["spec"], "claimRef": made}}
    if not reference:  # the user did not bind it beforehand, so it may be given to others later
        annotations = (volume["metadata"].get("annotations") or {}) | {BOUND_BY_CONTROLLER: "yes"}
        changed["metadata"] = {**volume["metadata"], "annotations": annotations}
    return changed


def bound_claim(claim: Obj, volume: Obj) -> Obj:
    """``claim`` that names ``volume``; the same object if it does so already."""
    annotations = dict(claim["metadata"].get("annotations") or {})
    if claim["spec"].get("volumeName") == volume["metadata"]["name"] and BIND_COMPLETED in annotations:
        return claim
    if not claim["spec"].get("volumeName"):
        annotations[BOUND_BY_CONTROLLER] = "yes"
    annotations[BIND_COMPLETED] = "yes"
    metadata = {**claim["metadata"], "annotations": annotations}
    return {**claim, "metadata": metadata, "spec": {**claim["spec"], "volumeName": volume["metadata"]["name"]}}


def claim_status(claim: Obj, volume: Obj) -> Obj:
    kept = {key: value for key, value in (claim.get("status") or {}).items() if key not in ("phase", "accessModes", "capacity")}
    return {
        "phase": "Bound",
        "accessModes": list(volume["spec"].get("accessModes") or ()),
        "capacity": dict(volume["spec"].get("capacity") or {}),
    } | kept
