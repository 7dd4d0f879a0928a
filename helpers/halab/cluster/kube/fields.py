"""Which fields each kind offers to ``fieldSelector``, and the text that a field has there.

Kubernetes offers ``metadata.name`` and ``metadata.namespace`` everywhere and a handful of fields for a few kinds
(https://kubernetes.io/docs/concepts/overview/working-with-objects/field-selectors/#list-of-supported-fields). The words of the
refusal differ by kind, as there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from .selectors import FieldSelector, SelectorError


class HasKind(Protocol):
    """What is needed of ``kinds.Kind`` here."""

    @property
    def group(self) -> str: ...
    @property
    def kind(self) -> str: ...


_META = frozenset({"metadata.name", "metadata.namespace"})
_REFERENCE = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
_SUPPORTED: dict[tuple[str, str], frozenset[str]] = {
    ("", "Pod"): _META
    | {
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.podIPs",
        "status.nominatedNodeName",
        "spec.host",
    },
    ("", "Node"): frozenset({"metadata.name", "spec.unschedulable"}),
    ("", "ReplicationController"): _META | {"status.replicas"},
    ("", "Event"): _META | {"reason", "reportingComponent", "source", "type", *(f"involvedObject.{name}" for name in _REFERENCE)},
    ("", "Namespace"): frozenset({"metadata.name", "status.phase"}),
    ("", "Secret"): _META | {"type"},
    ("", "Service"): _META | {"spec.clusterIP", "spec.type"},
    ("apps", "ReplicaSet"): _META | {"status.replicas"},
    ("apps", "StatefulSet"): _META | {"status.successful"},
    ("batch", "Job"): _META | {"status.successful"},
    ("events.k8s.io", "Event"): _META | {"reason", "reportingController", "type", *(f"regarding.{name}" for name in _REFERENCE)},
    ("certificates.k8s.io", "CertificateSigningRequest"): frozenset({"metadata.name", "spec.signerName"}),
}
_REFUSALS = {
    ("apps", "ReplicaSet"): "field label not supported for appsv1.ReplicaSet: {0}",
    ("apps", "StatefulSet"): "field label not supported for appsv1.StatefulSet: {0}",
    ("batch", "Job"): 'field label "{0}" not supported for Job',
}


def supported(kind: HasKind) -> frozenset[str]:
    """The fields that ``kind`` offers, besides name and namespace."""
    return _SUPPORTED.get((kind.group, kind.kind), _META) - _META


def check_fields(kind: HasKind, selector: FieldSelector, selectable: frozenset[str] | None = None) -> None:
    """Refuse a selector on a field that ``kind`` does not offer. ``selectable`` are a custom resource's ``selectableFields``
    (None: the kind is built in, and its refusal reads differently).

    Raises SelectorError (400) with Kubernetes' words.
    """
    key = (kind.group, kind.kind)
    offered = _SUPPORTED.get(key)
    for term in selector.terms:
        if term.path in _META and (offered is None or term.path in offered):
            continue
        if offered is not None:
            if term.path not in offered:
                raise SelectorError(_REFUSALS.get(key, "field label not supported: {0}").format(term.path))
        elif selectable is not None:
            if term.path not in selectable:
                raise SelectorError(f"field label not supported: {term.path}")
        else:
            raise SelectorError(f'"{term.path}" is not a known field selector: only "metadata.name", "metadata.namespace"')


def as_stored(kind: HasKind, selector: FieldSelector) -> FieldSelector:
    """The selector by the names that fields have in storage: events.k8s.io's events are kept as core ones."""
    if kind.group != "events.k8s.io":
        return selector
    return FieldSelector(tuple(replace(term, path=_stored_path(term.path)) for term in selector.terms))


def _stored_path(path: str) -> str:
    if path == "reportingController":
        return "reportingComponent"
    head, dot, field = path.partition(".")
    return f"involvedObject.{field}" if dot and head == "regarding" else path


def field_value(kind: HasKind, obj: Mapping[str, Any], path: str) -> str:
    """The text that ``path`` has in selectors: "" where absent, "false" for an absent boolean, numbers in decimal."""
    if path == "metadata.name":
        return str(obj["metadata"].get("name", ""))
    if path == "metadata.namespace":
        return str(obj["metadata"].get("namespace", ""))
    if kind.kind == "Event":
        return _event_field(obj, path)
    if kind.kind == "Pod" and path in ("spec.host", "status.podIPs"):
        if path == "status.podIPs":
            return ",".join(entry.get("ip", "") for entry in (obj.get("status") or {}).get("podIPs") or ())
        path = "spec.nodeName"
    if path == "status.successful":
        return str((obj.get("status") or {}).get("succeeded", 0))
    value: Any = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if value is None:
        return {"spec.hostNetwork": "false", "spec.unschedulable": "false", "status.replicas": "0"}.get(path, "")
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def matches(kind: HasKind, selector: FieldSelector, obj: Mapping[str, Any]) -> bool:
    """Whether ``obj`` satisfies the field selector."""
    return all((field_value(kind, obj, term.path) == term.value) is term.equal for term in selector.terms)


def _event_field(obj: Mapping[str, Any], path: str) -> str:
    reporter = obj.get("reportingComponent") or obj.get("reportingController") or ""
    if path == "source":
        source = obj.get("source") or obj.get("deprecatedSource") or {}
        return str(source.get("component") or reporter)
    if path in ("reportingComponent", "reportingController"):
        return str(reporter)
    head, _, field = path.partition(".")
    if head in ("involvedObject", "regarding"):
        reference = obj.get("involvedObject") or obj.get("regarding") or {}
        return str(reference.get(field, ""))
    return str(obj.get(path, "") or "")
