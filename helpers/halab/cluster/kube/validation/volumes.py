"""Rules of a pod's volumes, and of the volume sources that persistent volumes share with them."""

from __future__ import annotations

from collections.abc import Callable

from halab.cluster.kube.quantity import parse
from halab.cluster.kube.status import duplicate, forbidden_field, invalid_value, not_supported, required
from halab.cluster.kube.types import Obj
from halab.cluster.kube.validation import names
from halab.cluster.kube.validation.downward import VOLUME_FIELDS, field_selector, resource_field_selector
from halab.cluster.kube.validation.meta import Errors, add, label_selector

MODE_RULE = "must be a number between 0 and 0777 (octal), both inclusive"
ONE_TYPE = "may not specify more than 1 volume type"
HOST_PATH_TYPES = ("", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket")


def no_backsteps(errors: Errors, value: str, path: str) -> None:
    if ".." in value.split("/"):
        errors.append(invalid_value(path, value, "must not contain '..'"))


def relative_path(errors: Errors, value: str, path: str) -> None:
    """Neither absolute nor climbing."""
    if value.startswith("/"):
        errors.append(invalid_value(path, value, "must be a relative path"))
    no_backsteps(errors, value, path)


def local_path(errors: Errors, value: str, path: str) -> None:
    """A relative path that does not look like one of kubelet's own files."""
    relative_path(errors, value, path)
    if value.startswith("..") and not value.startswith("../"):
        errors.append(invalid_value(path, value, "must not start with '..'"))


def file_mode(errors: Errors, mode: int | None, path: str) -> None:
    if mode is not None and not 0 <= mode <= 0o777:
        errors.append(invalid_value(path, mode, MODE_RULE))


def _needs(errors: Errors, source: Obj, path: str, *fields: str) -> None:
    for name in fields:
        if not source.get(name):
            errors.append(required(f"{path}.{name}"))


def _empty_dir(errors: Errors, source: Obj, path: str) -> None:
    if "sizeLimit" in source and parse(source["sizeLimit"]) < 0:
        errors.append(forbidden_field(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity"))


def host_path(errors: Errors, source: Obj, path: str) -> None:
    if not source.get("path"):
        errors.append(required(f"{path}.path"))
        return
    no_backsteps(errors, source["path"], f"{path}.path")
    if "type" in source and source["type"] not in HOST_PATH_TYPES:
        errors.append(not_supported(f"{path}.type", source["type"], HOST_PATH_TYPES))


def _git_repo(errors: Errors, source: Obj, path: str) -> None:
    _needs(errors, source, path, "repository")
    relative_path(errors, source.get("directory") or "", f"{path}.directory")


def _key_to_path(errors: Errors, item: Obj, path: str) -> None:
    _needs(errors, item, path, "key", "path")
    local_path(errors, item.get("path") or "", f"{path}.path")
    file_mode(errors, item.get("mode"), f"{path}.mode")


def _secret(errors: Errors, source: Obj, path: str, name: str = "secretName") -> None:
    _needs(errors, source, path, name)
    file_mode(errors, source.get("defaultMode"), f"{path}.defaultMode")
    for index, item in enumerate(source.get("items") or ()):
        _key_to_path(errors, item, f"{path}.items[{index}]")


def _config_map(errors: Errors, source: Obj, path: str) -> None:
    _secret(errors, source, path, "name")


def nfs(errors: Errors, source: Obj, path: str) -> None:
    _needs(errors, source, path, "server", "path")
    if not (source.get("path") or "").startswith("/"):
        errors.append(invalid_value(f"{path}.path", source.get("path") or "", "must be an absolute path"))


def _claim(errors: Errors, source: Obj, path: str) -> None:
    _needs(errors, source, path, "claimName")


def iscsi(errors: Errors, source: Obj, path: str) -> None:
    _needs(errors, source, path, "targetPortal", "iqn")
    if source.get("iqn") and not source["iqn"].startswith(("iqn", "eui", "naa")):
        errors.append(invalid_value(f"{path}.iqn", source["iqn"], "must be valid format starting with iqn, eui, or naa"))
    if not 0 <= source.get("lun", 0) <= 255:
        errors.append(invalid_value(f"{path}.lun", source["lun"], names.between(0, 255)))
    if (source.get("chapAuthDiscovery") or source.get("chapAuthSession")) and not source.get("secretRef"):
        errors.append(required(f"{path}.secretRef"))


def csi(errors: Errors, source: Obj, path: str) -> None:
    """An inline CSI volume."""
    driver = source.get("driver") or ""
    if not driver:
        errors.append(required(f"{path}.driver"))
    else:
        add(errors, f"{path}.driver", driver, names.subdomain(driver.lower()))
    if "nodePublishSecretRef" in source and not source["nodePublishSecretRef"].get("name"):
        errors.append(required(f"{path}.nodePublishSecretRef.name"))


def _ephemeral(errors: Errors, source: Obj, path: str) -> None:
    from halab.cluster.kube.validation.storage import claim_spec

    template = source.get("volumeClaimTemplate")
    if template is None:
        errors.append(required(f"{path}.volumeClaimTemplate"))
    else:
        claim_spec(errors, template["spec"], f"{path}.volumeClaimTemplate.spec")


def _image(errors: Errors, source: Obj, path: str) -> None:
    _needs(errors, source, path, "reference")
    if source.get("pullPolicy") not in ("Always", "IfNotPresent", "Never"):
        errors.append(not_supported(f"{path}.pullPolicy", source.get("pullPolicy") or "", ["Always", "IfNotPresent", "Never"]))


def _downward_file(errors: Errors, item: Obj, path: str) -> None:
    _needs(errors, item, path, "path")
    local_path(errors, item.get("path") or "", f"{path}.path")
    if "fieldRef" in item:
        field_selector(errors, item["fieldRef"], VOLUME_FIELDS, f"{path}.fieldRef")
        if "resourceFieldRef" in item:
            errors.append(invalid_value(path, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously"))
    elif "resourceFieldRef" in item:
        resource_field_selector(errors, item["resourceFieldRef"], f"{path}.resourceFieldRef", volume=True)
    else:
        errors.append(required(path, "one of fieldRef and resourceFieldRef is required"))
    file_mode(errors, item.get("mode"), f"{path}.mode")


def _downward(errors: Errors, source: Obj, path: str) -> None:
    file_mode(errors, source.get("defaultMode"), f"{path}.defaultMode")
    for item in source.get("items") or ():
        _downward_file(errors, item, path)


def _projected(errors: Errors, source: Obj, path: str) -> None:
    file_mode(errors, source.get("defaultMode"), f"{path}.defaultMode")
    seen: set[str] = set()
    for index, projection in enumerate(source.get("sources") or ()):
        _projection(errors, projection, f"{path}.sources[{index}]", path, seen)


def _projection(errors: Errors, projection: Obj, path: str, volume: str, seen: set[str]) -> None:
    def unique(value: str, shown: str) -> None:
        if value and value in seen:
            errors.append(invalid_value(volume, shown, "conflicting duplicate paths"))
        seen.add(value)

    for kind in ("secret", "configMap"):
        if kind in projection:
            source = projection[kind]
            _needs(errors, source, f"{path}.{kind}", "name")
            for number, item in enumerate(source.get("items") or ()):
                _key_to_path(errors, item, f"{path}.{kind}.items[{number}]")
                unique(item.get("path") or "", source.get("name") or "")
    for item in (projection.get("downwardAPI") or {}).get("items") or ():
        _downward_file(errors, item, f"{path}.downwardAPI")
        unique(item.get("path") or "", item.get("path") or "")
    if "serviceAccountToken" in projection:
        _token(errors, projection["serviceAccountToken"], f"{path}.serviceAccountToken", volume)
    if "clusterTrustBundle" in projection:
        _trust_bundle(errors, projection["clusterTrustBundle"], f"{path}.clusterTrustBundle")
        unique(projection["clusterTrustBundle"].get("path") or "", projection["clusterTrustBundle"].get("path") or "")
    if len(projection) > 1:
        errors.append(forbidden_field(path, "may not specify more than 1 volume type per source"))


def _token(errors: Errors, token: Obj, path: str, volume: str) -> None:
    seconds = token.get("expirationSeconds", 3600)
    if seconds < 600:
        errors.append(invalid_value(f"{path}.expirationSeconds", seconds, "may not specify a duration less than 10 minutes"))
    if seconds > 1 << 32:
        errors.append(invalid_value(f"{path}.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds"))
    if not token.get("path"):
        errors.append(required(f"{volume}.path"))
    else:
        local_path(errors, token["path"], f"{volume}.path")


def _trust_bundle(errors: Errors, bundle: Obj, path: str) -> None:
    if "name" in bundle and "signerName" in bundle:
        errors.append(invalid_value(path, bundle, "only one of name and signerName may be used"))
    elif "name" in bundle and not bundle["name"]:
        errors.append(required(f"{path}.name", "must be a valid object name"))
    elif "signerName" in bundle:
        label_selector(errors, bundle.get("labelSelector"), f"{path}.labelSelector")
    elif "name" not in bundle:
        errors.append(required(path, "either name or signerName must be specified"))
    _needs(errors, bundle, path, "path")
    local_path(errors, bundle.get("path") or "", f"{path}.path")


def _accept(errors: Errors, source: Obj, path: str) -> None:
    """A source of which Kubernetes checks nothing that matters without its driver."""


_SOURCES: tuple[tuple[str, Callable[[Errors, Obj, str], None]], ...] = (
    ("emptyDir", _empty_dir),
    ("hostPath", host_path),
    ("gitRepo", _git_repo),
    ("gcePersistentDisk", _accept),
    ("awsElasticBlockStore", _accept),
    ("secret", _secret),
    ("nfs", nfs),
    ("iscsi", iscsi),
    ("glusterfs", lambda e, s, p: _needs(e, s, p, "endpoints", "path")),
    ("flocker", _accept),
    ("persistentVolumeClaim", _claim),
    ("rbd", lambda e, s, p: _needs(e, s, p, "monitors", "image")),
    ("cinder", lambda e, s, p: _needs(e, s, p, "volumeID")),
    ("cephfs", lambda e, s, p: _needs(e, s, p, "monitors")),
    ("quobyte", lambda e, s, p: _needs(e, s, p, "registry", "volume")),
    ("downwardAPI", _downward),
    ("fc", _accept),
    ("flexVolume", lambda e, s, p: _needs(e, s, p, "driver")),
    ("configMap", _config_map),
    ("azureFile", lambda e, s, p: _needs(e, s, p, "secretName", "shareName")),
    ("vsphereVolume", lambda e, s, p: _needs(e, s, p, "volumePath")),
    ("photonPersistentDisk", lambda e, s, p: _needs(e, s, p, "pdID")),
    ("portworxVolume", lambda e, s, p: _needs(e, s, p, "volumeID")),
    ("azureDisk", lambda e, s, p: _needs(e, s, p, "diskName", "diskURI")),
    ("storageos", _accept),
    ("projected", _projected),
    ("scaleIO", lambda e, s, p: _needs(e, s, p, "gateway", "system", "volumeName")),
    ("csi", csi),
    ("ephemeral", _ephemeral),
    ("image", _image),
)


def _source(errors: Errors, volume: Obj, path: str) -> None:
    found = 0
    for name, rule in _SOURCES:
        if name in volume:
            if found:
                errors.append(forbidden_field(f"{path}.{name}", ONE_TYPE))
            else:
                found = 1
                rule(errors, volume[name], f"{path}.{name}")
    if not found:
        errors.append(required(path, "must specify a volume type"))


def volumes(errors: Errors, given: list[Obj] | None, pod_name: str, path: str) -> dict[str, Obj]:
    """The volumes of a pod: those that are fine by name, for the mounts to refer to. ``pod_name`` is empty in a template."""
    fine: dict[str, Obj] = {}
    made = {f"{pod_name}-{v.get('name')}" for v in given or () if "ephemeral" in v} if pod_name else set()
    for index, volume in enumerate(given or ()):
        found: Errors = []
        at, name = f"{path}[{index}]", volume.get("name") or ""
        _source(found, volume, at)
        if "ephemeral" in volume and pod_name and name:
            for fault in names.subdomain(f"{pod_name}-{name}"):
                found.append(invalid_value(f"{at}.name", name, f'PVC name "{pod_name}-{name}": {fault}'))
        if not name:
            found.append(required(f"{at}.name"))
        else:
            add(found, f"{at}.name", name, names.label(name))
        if name in fine:
            found.append(duplicate(f"{at}.name", name))
        if found:
            errors += found
        else:
            fine[name] = volume
        claim = volume.get("persistentVolumeClaim")
        if claim and claim.get("claimName") in made:
            detail = "must not reference a PVC that gets created for an ephemeral volume"
            errors.append(invalid_value(f"{at}.persistentVolumeClaim.claimName", claim["claimName"], detail))
    return fine
