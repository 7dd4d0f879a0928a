"""Rules of persistent volumes, claims and what describes storage."""

from __future__ import annotations

from typing import Any

from halab.cluster.kube.godiff import go_diff
from halab.cluster.kube.quantity import compare, parse
from halab.cluster.kube.status import duplicate, forbidden_field, invalid_value, not_supported, required, too_long
from halab.cluster.kube.types import Obj
from halab.cluster.kube.validation import names, placement, resources, volumes
from halab.cluster.kube.validation.meta import (
    IMMUTABLE,
    Errors,
    add,
    core_finalizers,
    label_name,
    label_selector,
    metadata,
    metadata_update,
)  # fmt: skip

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
RECLAIM_POLICIES = ("Delete", "Recycle", "Retain")
VOLUME_MODES = ("Block", "Filesystem")
BETA_CLASS = "volume.beta.kubernetes.io/storage-class"
_POSITIVE = "must be greater than zero"
_SOURCES = (
    "hostPath", "gcePersistentDisk", "awsElasticBlockStore", "glusterfs", "nfs", "rbd", "quobyte", "cephfs", "iscsi", "cinder", "fc",
    "flexVolume", "azureFile", "vsphereVolume", "photonPersistentDisk", "portworxVolume", "azureDisk", "scaleIO", "local", "storageos", "csi",
)  # fmt: skip


def _access_modes(errors: Errors, modes: list[str], path: str) -> None:
    for mode in modes:
        if mode not in ACCESS_MODES:
            errors.append(not_supported(path, mode, ACCESS_MODES))
    if "ReadWriteOncePod" in modes and any(m in ACCESS_MODES and m != "ReadWriteOncePod" for m in modes):
        errors.append(forbidden_field(path, "may not use ReadWriteOncePod with other access modes"))


def volume(errors: Errors, obj: Obj) -> None:
    metadata(errors, obj["metadata"], False, names.subdomain)
    core_finalizers(errors, obj["metadata"])
    spec = obj["spec"]
    modes, capacity = spec.get("accessModes") or [], spec.get("capacity") or {}
    if not modes:
        errors.append(required("spec.accessModes"))
    _access_modes(errors, modes, "spec.accessModes")
    if not capacity:
        errors.append(required("spec.capacity"))
    if "storage" not in capacity or len(capacity) > 1:
        errors.append(not_supported("spec.capacity", dict(sorted(capacity.items())) or None, ["storage"]))
    for name, text in sorted(capacity.items()):
        if parse(text) <= 0:
            errors.append(invalid_value(f"spec.capacity[{name}]", text, _POSITIVE))
        else:
            resources.amount(errors, name, text, f"spec.capacity[{name}]")
    policy = spec.get("persistentVolumeReclaimPolicy")
    if policy and policy not in RECLAIM_POLICIES:
        errors.append(not_supported("spec.persistentVolumeReclaimPolicy", policy, RECLAIM_POLICIES))
    affinity = spec.get("nodeAffinity")
    if affinity is not None:
        if "required" in affinity:
            placement.node_selector(errors, affinity["required"], "spec.nodeAffinity.required")
        else:
            errors.append(required("spec.nodeAffinity.required", "must specify required node constraints"))
    _source(errors, spec, affinity is not None)
    if policy == "Recycle" and (spec.get("hostPath") or {}).get("path", "").rstrip("/") == "" and "hostPath" in spec:
        errors.append(forbidden_field("spec.persistentVolumeReclaimPolicy", "may not be 'recycle' for a hostPath mount of '/'"))
    if spec.get("storageClassName"):
        add(errors, "spec.storageClassName", spec["storageClassName"], names.subdomain(spec["storageClassName"]))
    if "volumeMode" in spec and spec["volumeMode"] not in VOLUME_MODES:
        errors.append(not_supported("spec.volumeMode", spec["volumeMode"], VOLUME_MODES))


def _source(errors: Errors, spec: Obj, has_affinity: bool) -> None:
    found = [name for name in _SOURCES if name in spec]
    if not found:
        errors.append(required("spec", "must specify a volume type"))
        return
    for name in found[1:]:
        errors.append(forbidden_field(f"spec.{name}", volumes.ONE_TYPE))
    name, path = found[0], f"spec.{found[0]}"
    source = spec[name]
    if name == "hostPath":
        volumes.host_path(errors, source, path)
    elif name == "nfs":
        volumes.nfs(errors, source, path)
    elif name == "iscsi":
        volumes.iscsi(errors, source, path)
    elif name == "local":
        if not source.get("path"):
            errors.append(required(f"{path}.path"))
        else:
            volumes.no_backsteps(errors, source["path"], f"{path}.path")
        if not has_affinity:
            errors.append(required("spec.nodeAffinity", "Local volume requires node affinity"))
    elif name == "csi":
        if not source.get("driver"):
            errors.append(required(f"{path}.driver"))
        else:
            add(errors, f"{path}.driver", source["driver"], names.subdomain(source["driver"].lower()))
        if not source.get("volumeHandle"):
            errors.append(required(f"{path}.volumeHandle"))


def volume_update(errors: Errors, new: Obj, old: Obj) -> None:
    volume(errors, new)
    now = {n: new["spec"][n] for n in _SOURCES if n in new["spec"]}
    was = {n: old["spec"][n] for n in _SOURCES if n in old["spec"]}
    if now != was:
        diff = go_diff("core.PersistentVolumeSource", was, now)
        errors.append(
            forbidden_field("spec.persistentvolumesource", f"spec.persistentvolumesource is immutable after creation\n{diff}")
        )
    if new["spec"].get("volumeMode") != old["spec"].get("volumeMode"):
        errors.append(invalid_value("volumeMode", new["spec"].get("volumeMode"), IMMUTABLE))
    if "nodeAffinity" in old["spec"] and new["spec"].get("nodeAffinity") != old["spec"]["nodeAffinity"]:
        detail = f"{IMMUTABLE}, except for updating from beta label to GA"
        errors.append(invalid_value("nodeAffinity", new["spec"].get("nodeAffinity"), detail))


def claim(errors: Errors, obj: Obj) -> None:
    metadata(errors, obj["metadata"], True, names.subdomain)
    core_finalizers(errors, obj["metadata"])
    claim_spec(errors, obj["spec"], "spec")


def claim_spec(errors: Errors, spec: Obj, path: str) -> None:
    modes = spec.get("accessModes") or []
    if not modes:
        errors.append(required(f"{path}.accessModes", "at least 1 access mode is required"))
    label_selector(errors, spec.get("selector"), f"{path}.selector")
    _access_modes(errors, modes, f"{path}.accessModes")
    storage, at = ((spec.get("resources") or {}).get("requests") or {}).get("storage"), f"{path}.resources[storage]"
    if storage is None:
        errors.append(required(at))
    elif parse(storage) <= 0:
        errors.append(invalid_value(at, storage, _POSITIVE))
    for field in ("storageClassName", "volumeAttributesClassName"):
        if spec.get(field):
            add(errors, f"{path}.{field}", spec[field], names.subdomain(spec[field]))
    if "volumeMode" in spec and spec["volumeMode"] not in VOLUME_MODES:
        errors.append(not_supported(f"{path}.volumeMode", spec["volumeMode"], VOLUME_MODES))
    for field in ("dataSource", "dataSourceRef"):
        if field in spec:
            _data_source(errors, spec[field], f"{path}.{field}")
    _same_source(errors, spec, path)


def _data_source(errors: Errors, source: Obj, path: str) -> None:
    for field in ("name", "kind"):
        if not source.get(field):
            errors.append(required(f"{path}.{field}"))
    group = source.get("apiGroup") or ""
    if not group and source.get("kind") != "PersistentVolumeClaim":
        detail = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
        errors.append(invalid_value(path, source.get("kind") or "", detail))
    if group:
        add(errors, f"{path}.apiGroup", group, names.subdomain(group))
    if source.get("namespace"):
        add(errors, f"{path}.namespace", source["namespace"], names.label(source["namespace"]))


def _same_source(errors: Errors, spec: Obj, path: str) -> None:
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    if source is None or reference is None:
        return
    if reference.get("namespace"):
        errors.append(invalid_value(path, f"{path}.dataSource", "may not be specified when dataSourceRef.namespace is specified"))
    elif any(source.get(n) != reference.get(n) for n in ("apiGroup", "kind", "name")):
        errors.append(invalid_value(path, f"{path}.dataSource", "must match dataSourceRef"))


def claim_update(errors: Errors, new: Obj, old: Obj) -> None:
    metadata_update(errors, new["metadata"], old["metadata"])
    claim(errors, new)
    after, before = dict(new["spec"]), dict(old["spec"])
    if not before.get("volumeName"):
        before.pop("volumeName", None)
        if after.get("volumeName"):
            before["volumeName"] = after["volumeName"]
    beta, old_beta = ((o["metadata"].get("annotations") or {}).get(BETA_CLASS) for o in (new, old))
    if "storageClassName" not in before and "storageClassName" in after and old_beta in (None, after["storageClassName"]):
        del after["storageClassName"]
    elif beta != old_beta:
        errors.append(invalid_value(f"metadata.annotations.{BETA_CLASS}", beta or "", IMMUTABLE))
    if new["status"].get("phase") == "Bound":
        _with_storage(after, before)
        if "volumeAttributesClassName" in after:
            after["volumeAttributesClassName"] = before.get("volumeAttributesClassName")
    if after != before:
        detail = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
        errors.append(forbidden_field("spec", f"{detail}\n{go_diff('core.PersistentVolumeClaimSpec', before, after)}"))
    _size(errors, new, old)
    if new["spec"].get("volumeMode") != old["spec"].get("volumeMode"):
        errors.append(invalid_value("volumeMode", new["spec"].get("volumeMode"), IMMUTABLE))


def _with_storage(after: Obj, before: Obj) -> None:
    """A bound claim's size may grow: it does not count as a change."""
    asked: Any = (before.get("resources") or {}).get("requests") or {}
    own = after.get("resources") or {}
    if own.get("requests") is not None and "storage" in asked:
        after["resources"] = own | {"requests": own["requests"] | {"storage": asked["storage"]}}


def _size(errors: Errors, new: Obj, old: Obj) -> None:
    now, was = (((o["spec"].get("resources") or {}).get("requests") or {}).get("storage") for o in (new, old))
    if now is not None and was is not None and compare(now, was) < 0:
        actual = (old["status"].get("capacity") or {}).get("storage") or "0"
        if compare(now, actual) <= 0:
            errors.append(forbidden_field("spec.resources.requests.storage", "field can not be less than status.capacity"))


def claim_status_update(errors: Errors, new: Obj, old: Obj) -> None:
    metadata_update(errors, new["metadata"], old["metadata"])
    for name, text in (new["status"].get("capacity") or {}).items():
        resources.basic_amount(errors, text, f"status.capacity[{name}]")


def storage_class(errors: Errors, obj: Obj) -> None:
    metadata(errors, obj["metadata"], False, names.subdomain)
    provisioner(errors, obj.get("provisioner") or "", "provisioner")
    parameters(errors, obj.get("parameters") or {})
    policy = obj.get("reclaimPolicy")
    if policy and policy not in ("Delete", "Retain"):
        errors.append(not_supported("reclaimPolicy", policy, ["Delete", "Retain"]))
    mode = obj.get("volumeBindingMode")
    if not mode:
        errors.append(required("volumeBindingMode"))
    elif mode not in ("Immediate", "WaitForFirstConsumer"):
        errors.append(not_supported("volumeBindingMode", mode, ["Immediate", "WaitForFirstConsumer"]))
    for index, term in enumerate(obj.get("allowedTopologies") or ()):
        _topology(errors, term, f"allowedTopologies[{index}]")


def provisioner(errors: Errors, name: str, path: str) -> None:
    if not name:
        errors.append(required(path, "provisioner"))
    else:
        label_name(errors, name.lower(), path)


def parameters(errors: Errors, given: Obj) -> None:
    """A class's parameters for its driver: at most 512, and 256 KiB in all."""
    if len(given) > 512:
        errors.append(too_long("parameters", 512))
        return
    for key in given:
        if not key:
            errors.append(invalid_value("parameters", key, "field can not be empty."))
    if sum(len(key) + len(value) for key, value in given.items()) > 256 * 1024:
        errors.append(too_long("parameters", 256 * 1024))


def _topology(errors: Errors, term: Obj, path: str) -> None:
    seen: set[str] = set()
    for index, requirement in enumerate(term.get("matchLabelExpressions") or ()):
        at, key, values = f"{path}.matchLabelExpressions[{index}]", requirement.get("key") or "", requirement.get("values") or []
        if not values:
            errors.append(required(f"{at}.values"))
        for number, value in enumerate(values):
            if value in values[:number]:
                errors.append(duplicate(f"{at}.values[{number}]", value))
        label_name(errors, key, f"{at}.key")
        if key in seen:
            errors.append(duplicate(f"{at}.key", key))
        seen.add(key)


def storage_class_update(errors: Errors, new: Obj, old: Obj) -> None:
    metadata_update(errors, new["metadata"], old["metadata"])
    if (new.get("parameters") or {}) != (old.get("parameters") or {}):
        errors.append(forbidden_field("parameters", "updates to parameters are forbidden."))
    if new.get("provisioner") != old.get("provisioner"):
        errors.append(forbidden_field("provisioner", "updates to provisioner are forbidden."))
    if new.get("reclaimPolicy") != old.get("reclaimPolicy"):
        errors.append(forbidden_field("reclaimPolicy", "updates to reclaimPolicy are forbidden."))
    if new.get("volumeBindingMode") != old.get("volumeBindingMode"):
        errors.append(invalid_value("volumeBindingMode", new.get("volumeBindingMode"), IMMUTABLE))
