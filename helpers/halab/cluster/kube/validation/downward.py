"""Rules of references to a pod's own fields and resources, in the environment and in downward API volumes."""

from __future__ import annotations

import re

from halab.cluster.kube.quantity import parse
from halab.cluster.kube.status import invalid_value, not_supported, required
from halab.cluster.kube.types import Obj
from halab.cluster.kube.validation import names
from halab.cluster.kube.validation.meta import Errors, add

VOLUME_FIELDS = ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
ENV_FIELDS = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP",
    "status.hostIPs", "status.podIP", "status.podIPs",
)  # fmt: skip
_CONVERTIBLE = {
    *VOLUME_FIELDS, *ENV_FIELDS, "spec.restartPolicy", "spec.schedulerName", "status.phase", "metadata.annotations", "metadata.labels",
}  # fmt: skip
_RESOURCES = (
    "limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage", "requests.memory",
)  # fmt: skip
_HUGE = ("limits.hugepages-", "requests.hugepages-")
_SUBSCRIPT = re.compile(r"(?P<path>.*)\['(?P<key>.*)'\]")
_BYTES = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")


def field_selector(errors: Errors, selector: Obj, allowed: tuple[str, ...], path: str) -> None:
    """``fieldRef``: ``allowed`` are the field paths that this place can give."""
    if not selector.get("apiVersion"):
        errors.append(required(f"{path}.apiVersion"))
        return
    given = selector.get("fieldPath") or ""
    if not given:
        errors.append(required(f"{path}.fieldPath"))
        return
    subscript = _SUBSCRIPT.fullmatch(given)
    field = "spec.nodeName" if given == "spec.host" else given
    if selector["apiVersion"] != "v1":
        detail = f"error converting fieldPath: unsupported pod version: {selector['apiVersion']}"
        errors.append(invalid_value(f"{path}.fieldPath", given, detail))
    elif subscript:
        _subscripted(errors, subscript["path"], subscript["key"], given, path)
    elif field not in _CONVERTIBLE:
        errors.append(
            invalid_value(f"{path}.fieldPath", given, f"error converting fieldPath: field label not supported: {given}")
        )
    elif field not in allowed:
        errors.append(not_supported(f"{path}.fieldPath", field, sorted(allowed)))


def _subscripted(errors: Errors, field: str, key: str, given: str, path: str) -> None:
    if field == "metadata.annotations":
        add(errors, path, key.lower(), names.qualified(key.lower()))
    elif field == "metadata.labels":
        add(errors, path, key, names.qualified(key))
    else:
        detail = f"error converting fieldPath: field label does not support subscript: {given}"
        errors.append(invalid_value(f"{path}.fieldPath", given, detail))


def resource_field_selector(errors: Errors, selector: Obj, path: str, volume: bool) -> None:
    """``resourceFieldRef``; a volume must also name the container."""
    resource = selector.get("resource") or ""
    if volume and not selector.get("containerName"):
        errors.append(required(f"{path}.containerName"))
    elif not resource:
        errors.append(required(f"{path}.resource"))
    elif resource not in _RESOURCES and not resource.startswith(_HUGE):
        errors.append(not_supported(f"{path}.resource", resource, _RESOURCES))
    divisor = selector.get("divisor") or "0"
    if parse(divisor):
        _divisor(errors, resource, divisor, f"{path}.divisor")


def _divisor(errors: Errors, resource: str, divisor: str, path: str) -> None:
    what = resource.partition(".")[2]
    if what == "cpu":
        if divisor not in ("1m", "1"):
            errors.append(invalid_value(path, resource, "only divisor's values 1m and 1 are supported with the cpu resource"))
        return
    kind = {"memory": "memory", "ephemeral-storage": "local ephemeral storage"}.get(
        what, "hugepages" if what.startswith("hugepages-") else ""
    )
    if kind and divisor not in _BYTES:
        errors.append(
            invalid_value(path, resource, f"only divisor's values {', '.join(_BYTES)} are supported with the {kind} resource")
        )
