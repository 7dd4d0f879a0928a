"""PodSecurity: a namespace's labels say which Pod Security Standard its pods must meet
(https://kubernetes.io/docs/concepts/security/pod-security-admission/).

Pods are refused (enforce), warned of (warn) or noted (audit); workloads that make pods are warned of only.
"""

from __future__ import annotations

from typing import Any

from halab.cluster.apiserver.admission.attributes import Attributes
from halab.cluster.kube import kinds
from halab.cluster.kube.pod_security import LEVELS, violations

Obj = dict[str, Any]
PREFIX = "pod-security.kubernetes.io/"
TEMPLATES = frozenset({
    kinds.DEPLOYMENTS, kinds.REPLICA_SETS, kinds.STATEFUL_SETS, kinds.DAEMON_SETS, kinds.JOBS, kinds.REPLICATION_CONTROLLERS,
    kinds.POD_TEMPLATES, kinds.CRON_JOBS,
})  # fmt: skip


def validate(attributes: Attributes) -> None:
    if not attributes.namespace or attributes.operation not in ("CREATE", "UPDATE"):
        return
    is_pod = attributes.kind is kinds.PODS and attributes.subresource in ("", "ephemeralcontainers")
    if not is_pod and (attributes.kind not in TEMPLATES or attributes.subresource):
        return
    entry = attributes.tx.get(kinds.NAMESPACES.storage, "", attributes.namespace)
    labels = (entry.labels if entry else None) or {}
    modes = {
        mode: (level, labels.get(f"{PREFIX}{mode}-version", "latest"))
        for mode in ("enforce", "warn")
        if (level := labels.get(PREFIX + mode))
    }
    if not modes:
        return
    pod = attributes.obj if is_pod else _template(attributes.obj)
    if pod is None or (is_pod and attributes.operation == "UPDATE" and not _changes_security(attributes)):
        return
    if is_pod:
        _enforce(attributes, modes.get("enforce"), pod)
    level, version = modes.get("warn", ("privileged", ""))
    found = violations(level, pod) if level in LEVELS else []
    if found:
        attributes.warnings.append(f'would violate PodSecurity "{level}:{version}": {", ".join(found)}')


def _enforce(attributes: Attributes, mode: tuple[str, str] | None, pod: Obj) -> None:
    level, version = mode or ("privileged", "")
    if level not in LEVELS:
        level = "restricted"  # what cannot be read is taken as the strictest
    found = violations(level, pod)
    if found:
        raise attributes.forbidden(f'violates PodSecurity "{level}:{version}": {", ".join(found)}')


def _template(obj: Obj) -> Obj | None:
    spec = obj.get("spec") or {}
    if "jobTemplate" in spec:
        spec = (spec["jobTemplate"] or {}).get("spec") or {}
    template = obj.get("template") or spec.get("template")
    return {"metadata": template.get("metadata") or {}, "spec": template.get("spec") or {}} if template else None


def _changes_security(attributes: Attributes) -> bool:
    """Only what matters to the standards: containers' images and ephemeral containers may change in a running pod."""
    if attributes.subresource == "ephemeralcontainers" or attributes.old is None:
        return True
    return bool(attributes.old.get("spec") != attributes.obj.get("spec"))
