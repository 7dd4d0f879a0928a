"""Drivers of storage and what they say of themselves: CSIDriver, CSINode, CSIStorageCapacity, VolumeAttachment, VolumeAttributesClass."""

from __future__ import annotations

from halab.cluster.kube.quantity import parse
from halab.cluster.kube.status import duplicate, forbidden_field, invalid_value, not_supported, required
from halab.cluster.kube.types import Obj
from halab.cluster.kube.validation import names
from halab.cluster.kube.validation.meta import (
    IMMUTABLE,
    NOT_NEGATIVE,
    Errors,
    add,
    immutable,
    label_selector,
    metadata,
    metadata_update,
    shown_selector,
)
from halab.cluster.kube.validation.storage import parameters, provisioner

_GROUP_POLICIES = ("File", "None", "ReadWriteOnceWithFSType")
_LIFECYCLES = ("Persistent", "Ephemeral")
_EITHER = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"


def csi_driver(errors: Errors, obj: Obj) -> None:
    name, spec = obj["metadata"].get("name") or "", obj["spec"]
    metadata(errors, obj["metadata"], False, lambda value: names.subdomain(value.lower()))
    if len(name) > 63:
        errors.append(invalid_value("metadata.name", name, names.longest(63)))
    policy = spec.get("fsGroupPolicy")
    if policy is not None and policy not in _GROUP_POLICIES:
        errors.append(not_supported("spec.fsGroupPolicy", policy, _GROUP_POLICIES))
    _token_requests(errors, spec.get("tokenRequests") or [])
    for mode in spec.get("volumeLifecycleModes") or ():
        if mode not in _LIFECYCLES:
            errors.append(not_supported("spec.volumeLifecycleModes", mode, _LIFECYCLES))
    period = spec.get("nodeAllocatableUpdatePeriodSeconds")
    if period is not None and period < 10:
        detail = "must be greater than or equal to 10 seconds"
        errors.append(invalid_value("spec.nodeAllocatableUpdatePeriodSeconds", period, detail))


def _token_requests(errors: Errors, requests: list[Obj]) -> None:
    seen: set[str] = set()
    for index, request in enumerate(requests):
        path, audience = f"spec.tokenRequests[{index}]", request.get("audience") or ""
        if audience in seen:
            errors.append(duplicate(f"{path}.audience", audience))
            continue
        seen.add(audience)
        seconds = request.get("expirationSeconds")
        if seconds is not None and seconds < 600:
            errors.append(invalid_value(f"{path}.expirationSeconds", seconds, "may not specify a duration less than 10 minutes"))
        if seconds is not None and seconds > 1 << 32:
            errors.append(
                invalid_value(f"{path}.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds")
            )


def csi_driver_update(errors: Errors, new: Obj, old: Obj) -> None:
    metadata_update(errors, new["metadata"], old["metadata"])
    csi_driver(errors, new)
    immutable(errors, new["spec"].get("attachRequired"), old["spec"].get("attachRequired"), "spec.attachedRequired")
    modes = "volumeLifecycleModes"
    immutable(errors, new["spec"].get(modes), old["spec"].get(modes), f"spec.{modes}")


def csi_node(errors: Errors, obj: Obj) -> None:
    metadata(errors, obj["metadata"], False, names.subdomain)
    seen: set[str] = set()
    for index, driver in enumerate(obj["spec"].get("drivers") or ()):
        path = f"spec.drivers[{index}]"
        for field in ("name", "nodeID"):
            if not driver.get(field):
                errors.append(required(f"{path}.{field}"))
        if driver.get("name") in seen:
            errors.append(duplicate(f"{path}.name", driver["name"]))
        seen.add(driver.get("name") or "")
        count = (driver.get("allocatable") or {}).get("count")
        if count is not None and count < 0:
            errors.append(invalid_value(f"{path}.allocatable.count", count, NOT_NEGATIVE))


def storage_capacity(errors: Errors, obj: Obj) -> None:
    metadata(errors, obj["metadata"], True, names.subdomain)
    label_selector(errors, obj.get("nodeTopology"), "nodeTopology")
    name = obj.get("storageClassName") or ""
    add(errors, "storageClassName", name, names.subdomain(name))
    capacity = obj.get("capacity")
    if capacity is not None and parse(capacity) < 0:
        errors.append(invalid_value("capacity", capacity, NOT_NEGATIVE))


def storage_capacity_update(errors: Errors, new: Obj, old: Obj) -> None:
    metadata_update(errors, new["metadata"], old["metadata"])
    immutable(errors, new.get("nodeTopology"), old.get("nodeTopology"), "nodeTopology", shown_selector(new.get("nodeTopology")))
    immutable(errors, new.get("storageClassName"), old.get("storageClassName"), "storageClassName")


def attachment(errors: Errors, obj: Obj) -> None:
    metadata(errors, obj["metadata"], False, names.subdomain)
    spec = obj["spec"]
    attacher, source, node = spec.get("attacher") or "", spec.get("source") or {}, spec.get("nodeName") or ""
    if not attacher:
        errors.append(required("spec.attacher", attacher))
    given = [name for name in ("inlineVolumeSpec", "persistentVolumeName") if name in source]
    if not given:
        errors.append(required("spec.source", _EITHER))
    elif len(given) > 1:
        errors.append(invalid_value("spec.source", source, _EITHER))
    elif source.get("persistentVolumeName") == "":
        errors.append(required("spec.source.persistentVolumeName", "must specify non empty persistentVolumeName"))
    add(errors, "spec.nodeName", node, names.subdomain(node))
    if not attacher:
        errors.append(required("spec.attacher"))
    else:
        add(errors, "spec.attacher", attacher, names.subdomain(attacher.lower()))
    if volume := source.get("persistentVolumeName"):
        add(errors, "spec.source.persistentVolumeName", volume, names.subdomain(volume))


def attachment_update(errors: Errors, new: Obj, old: Obj) -> None:
    metadata_update(errors, new["metadata"], old["metadata"])
    attachment(errors, new)
    if new["spec"] != old["spec"]:
        errors.append(invalid_value("spec", new["spec"], IMMUTABLE))


def attributes_class(errors: Errors, obj: Obj) -> None:
    metadata(errors, obj["metadata"], False, names.subdomain)
    provisioner(errors, obj.get("driverName") or "", "driverName")
    parameters(errors, obj.get("parameters") or {})
    if not obj.get("parameters"):
        errors.append(required("parameters", "must contain at least one key/value pair"))


def attributes_class_update(errors: Errors, new: Obj, old: Obj) -> None:
    metadata_update(errors, new["metadata"], old["metadata"])
    if new.get("driverName") != old.get("driverName"):
        errors.append(forbidden_field("driverName", "updates to driverName are forbidden."))
    if (new.get("parameters") or {}) != (old.get("parameters") or {}):
        errors.append(forbidden_field("parameters", "updates to parameters are forbidden."))
    attributes_class(errors, new)
