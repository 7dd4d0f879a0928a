"""PersistentVolumeClaimResize: a claim grows only where its class says that its volumes can."""

from __future__ import annotations

from halab.cluster.apiserver.admission.attributes import Attributes, Obj
from halab.cluster.kube import kinds, quantity


def validate(attributes: Attributes) -> None:
    if not attributes.is_(kinds.PERSISTENT_VOLUME_CLAIMS, "UPDATE") or attributes.old is None:
        return
    before, after = _size(attributes.old), _size(attributes.obj)
    if quantity.compare(after, before) <= 0:
        return
    if (attributes.old.get("status") or {}).get("phase") != "Bound":
        raise attributes.forbidden("Only bound persistent volume claims can be expanded")
    name = attributes.obj["spec"].get("storageClassName")
    found = attributes.find(kinds.STORAGE_CLASSES, name) if name else None
    if found is None or not found.get("allowVolumeExpansion"):
        raise attributes.forbidden(
            "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize"
        )


def _size(claim: Obj) -> str:
    return str(((claim["spec"].get("resources") or {}).get("requests") or {}).get("storage", "0"))
