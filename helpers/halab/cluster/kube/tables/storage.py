"""Volumes, claims, classes and drivers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from halab.cluster.kube.tables.columns import (
    AGE,
    NAME,
    UNSET,
    Cells,
    Column,
    Layout,
    age,
    at,
    meta,
    name_of,
    number,
    spec_of,
    status_of,
    text,
    wide,
)
from halab.cluster.kube.types import Obj

_MODES = (("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP"))
_CLASS = "volume.beta.kubernetes.io/storage-class"
_DEFAULTS = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")


def _modes(modes: Sequence[str] | None) -> str:
    return ",".join(short for mode, short in _MODES if mode in (modes or ()))


def _class(obj: Obj) -> str:
    return str((meta(obj).get("annotations") or {}).get(_CLASS) or spec_of(obj).get("storageClassName") or "")


def _phase(obj: Obj) -> Any:
    return "Terminating" if meta(obj).get("deletionTimestamp") else status_of(obj).get("phase", "")


def _volume(obj: Obj, now: datetime) -> Cells:
    spec, claim = spec_of(obj), spec_of(obj).get("claimRef")
    return [
        name_of(obj),
        at(spec, "capacity", "storage", default="0"),
        _modes(spec.get("accessModes")),
        spec.get("persistentVolumeReclaimPolicy", ""),
        _phase(obj),
        f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else "",
        _class(obj),
        spec.get("volumeAttributesClassName") or UNSET,
        status_of(obj).get("reason", ""),
        age(obj, now),
        spec.get("volumeMode") or UNSET,
    ]


def _claim(obj: Obj, now: datetime) -> Cells:
    spec, status = spec_of(obj), status_of(obj)
    bound = bool(spec.get("volumeName"))
    return [
        name_of(obj),
        _phase(obj),
        spec.get("volumeName", ""),
        at(status, "capacity", "storage", default="0") if bound else "",
        _modes(status.get("accessModes")) if bound else "",
        _class(obj),
        spec.get("volumeAttributesClassName") or UNSET,
        age(obj, now),
        spec.get("volumeMode") or UNSET,
    ]


def _storage_class(obj: Obj, now: datetime) -> Cells:
    annotations = meta(obj).get("annotations") or {}
    default = any(annotations.get(name) == "true" for name in _DEFAULTS)
    return [
        name_of(obj) + (" (default)" if default else ""),
        obj.get("provisioner", ""),
        obj.get("reclaimPolicy") or "Delete",
        obj.get("volumeBindingMode") or "Immediate",
        bool(obj.get("allowVolumeExpansion")),
        age(obj, now),
    ]


def _attributes_class(obj: Obj, now: datetime) -> Cells:
    return [name_of(obj), obj.get("driverName", ""), age(obj, now)]


def _attachment(obj: Obj, now: datetime) -> Cells:
    spec = spec_of(obj)
    volume = at(spec, "source", "persistentVolumeName", default="")
    return [
        name_of(obj),
        spec.get("attacher", ""),
        volume,
        spec.get("nodeName", ""),
        bool(status_of(obj).get("attached")),
        age(obj, now),
    ]


def _csi_node(obj: Obj, now: datetime) -> Cells:
    return [name_of(obj), len(spec_of(obj).get("drivers") or ()), age(obj, now)]


def _csi_driver(obj: Obj, now: datetime) -> Cells:
    spec = spec_of(obj)
    tokens = ",".join(t.get("audience", "") for t in spec.get("tokenRequests") or ()) or UNSET
    modes = ",".join(spec.get("volumeLifecycleModes") or ("Persistent",))
    flags = [spec.get("attachRequired", True), bool(spec.get("podInfoOnMount")), bool(spec.get("storageCapacity"))]
    return [name_of(obj), *flags, tokens, bool(spec.get("requiresRepublish")), modes, age(obj, now)]


def _csi_capacity(obj: Obj, now: datetime) -> Cells:
    return [name_of(obj), obj.get("storageClassName", ""), obj.get("capacity") or UNSET]


LAYOUTS = {
    ("", "PersistentVolume"): Layout(
        (
            NAME,
            text("Capacity"),
            text("Access Modes"),
            text("Reclaim Policy"),
            text("Status"),
            text("Claim"),
            text("StorageClass", "StorageClass of the pv"),
            text("VolumeAttributesClass", "VolumeAttributesClass of the pv"),
            text("Reason"),
            AGE,
            wide("VolumeMode"),
        ),
        _volume,
    ),
    ("", "PersistentVolumeClaim"): Layout(
        (
            NAME,
            text("Status"),
            text("Volume"),
            text("Capacity"),
            text("Access Modes"),
            text("StorageClass", "StorageClass of the pvc"),
            text("VolumeAttributesClass", "VolumeAttributesClass of the pvc"),
            AGE,
            wide("VolumeMode"),
        ),
        _claim,
    ),
    ("storage.k8s.io", "StorageClass"): Layout(
        (
            NAME,
            text("Provisioner"),
            text("ReclaimPolicy"),
            text("VolumeBindingMode"),
            text("AllowVolumeExpansion"),
            AGE,
        ),
        _storage_class,
    ),
    ("storage.k8s.io", "VolumeAttributesClass"): Layout((NAME, text("DriverName"), AGE), _attributes_class),
    ("storage.k8s.io", "VolumeAttachment"): Layout(
        (NAME, Column("Attacher", format="name"), text("PV"), text("Node"), Column("Attached", "boolean"), AGE), _attachment
    ),
    ("storage.k8s.io", "CSINode"): Layout((NAME, number("Drivers"), AGE), _csi_node),
    ("storage.k8s.io", "CSIDriver"): Layout(
        (
            NAME,
            Column("AttachRequired", "boolean"),
            Column("PodInfoOnMount", "boolean"),
            Column("StorageCapacity", "boolean"),
            text("TokenRequests"),
            Column("RequiresRepublish", "boolean"),
            text("Modes"),
            AGE,
        ),
        _csi_driver,
    ),
    ("storage.k8s.io", "CSIStorageCapacity"): Layout((NAME, text("StorageClassName"), text("Capacity")), _csi_capacity),
}
