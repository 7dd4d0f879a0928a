"""PodSecurity: a namespace's labels say which Pod Security Standard its pods must meet
(https://kubernetes.io/docs/concepts/security/pod-security-admission/).

Pods are refused (enforce), warned of (warn) or noted (audit); workloads that make pods are warned of only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from halab.cluster.apiserver.admission.attributes import Attributes
from halab.cluster.kube import kinds, status
from halab.cluster.kube.pod_security import LEVELS, violations
from halab.cluster.kube.status import FieldError

Obj = dict[str, Any]
PREFIX = "pod-security.kubernetes.io/"
_VERSION = re.compile(r"latest|v1\.(?:0|[1-9][0-9]*)")
TEMPLATES = frozenset({
    kinds.DEPLOYMENTS, kinds.REPLICA_SETS, kinds.STATEFUL_SETS, kinds.DAEMON_SETS, kinds.JOBS, kinds.REPLICATION_CONTROLLERS,
    kinds.POD_TEMPLATES, kinds.CRON_JOBS,
})  # fmt: skip


def validate(attributes: Attributes) -> None:
    if attributes.kind is kinds.NAMESPACES:
        if not attributes.subresource and attributes.operation in ("CREATE", "UPDATE"):
            _namespace(attributes)
        return
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


def _namespace(attributes: Attributes) -> None:
    """The labels themselves must be readable; who tightens them is told of the pods that are there already."""
    labels, before = _labels(attributes.obj), _labels(attributes.old or {})
    faults = label_faults(labels)
    if faults and faults != label_faults(before):
        raise status.invalid(kinds.NAMESPACES, attributes.name, faults)
    level, version = labels.get(f"{PREFIX}enforce", "privileged"), labels.get(f"{PREFIX}enforce-version", "latest")
    former = before.get(f"{PREFIX}enforce", "privileged"), before.get(f"{PREFIX}enforce-version", "latest")
    if attributes.operation == "CREATE" or (level, version) == former or faults or level == "privileged":
        return
    if version == former[1] and former[0] in LEVELS and LEVELS.index(level) <= LEVELS.index(former[0]):
        return
    attributes.warnings += existing(attributes.name, level, version, attributes.all(kinds.PODS, attributes.name))


def _labels(obj: Obj) -> dict[str, str]:
    return (obj.get("metadata") or {}).get("labels") or {}


def label_faults(labels: dict[str, str]) -> list[FieldError]:
    """What is wrong with a namespace's labels of this kind."""
    faults = []
    for mode in ("enforce", "audit", "warn"):
        level, version = labels.get(PREFIX + mode), labels.get(f"{PREFIX}{mode}-version")
        if level is not None and level not in LEVELS:
            detail = f"must be one of {', '.join(LEVELS)}"
            faults.append(status.invalid_value(f"metadata.labels[{PREFIX}{mode}]", level, detail))
        if version is not None and not _VERSION.fullmatch(version):
            faults.append(status.invalid_value(f"metadata.labels[{PREFIX}{mode}-version]", version, 'must be "latest" or "v1.x"'))
    return faults


def existing(namespace: str, level: str, version: str, pods: Iterable[Obj]) -> list[str]:
    """Warnings of pods that a stricter level would not have let in, those with the same faults together; one pod of each owner."""
    found: dict[str, list[str]] = {}
    owners: set[str] = set()
    for pod in pods:
        owner = next((o["uid"] for o in pod["metadata"].get("ownerReferences") or () if o.get("controller")), "")
        if owner and owner in owners:
            continue
        owners.add(owner)
        reasons = [text.partition(" (")[0] for text in violations(level, pod)]
        if reasons:
            found.setdefault(", ".join(reasons), []).append(pod["metadata"]["name"])
    if not found:
        return []
    told = []
    for reasons_text, names in found.items():
        others = len(names) - 1
        more = f" (and {others} other pod{'s' if others > 1 else ''})" if others else ""
        told.append(f"{min(names)}{more}: {reasons_text}")
    head = f'existing pods in namespace "{namespace}" violate the new PodSecurity enforce level "{level}:{version}"'
    return [head, *sorted(told)]


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
