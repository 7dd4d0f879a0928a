"""What Kubernetes accepts but warns of: deprecated and misleading fields."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from halab.cluster.kube import kinds as k
from halab.cluster.kube.gotext import quote
from halab.cluster.kube.kinds import Kind
from halab.cluster.kube.quantity import parse
from halab.cluster.kube.types import Obj
from halab.cluster.kube.validation import names
from halab.cluster.kube.validation.networking import INGRESS_CLASS

_LABELS = {
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
    "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
    "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
}
_APP_ARMOR = "container.apparmor.security.beta.kubernetes.io/"
_SECCOMP = ("seccomp.security.alpha.kubernetes.io/pod", "container.seccomp.security.alpha.kubernetes.io/")
_VOLUMES = {
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "gitRepo": "deprecated in v1.11",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
}


def kind_warning(kind: Kind) -> str:
    """The warning that every request to a deprecated kind answers with; empty for the others."""
    return _DEPRECATED_KINDS.get(kind, "")


_DEPRECATED_KINDS = {
    k.ENDPOINTS: "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    k.COMPONENT_STATUSES: "v1 ComponentStatus is deprecated in v1.19+",
}


def warnings_for(kind: Kind, new: Obj, old: Obj | None = None) -> list[str]:
    """Warnings of a create (``old`` None) or an update, without the ``299`` part."""
    rule = _RULES.get(kind)
    return list(dict.fromkeys(rule(new, old))) if rule is not None else []


def _pod(new: Obj, old: Obj | None) -> Iterator[str]:
    meta = new["metadata"]
    if old is None:
        name = meta.get("name") or ""
        if name and names.label(name):
            yield f"metadata.name: {_HOSTNAME}: [{' '.join(names.label(name))}]"
    yield from _pod_spec(meta, new["spec"], "metadata", "spec")


_HOSTNAME = "this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended"


def _workload(path: tuple[str, ...]) -> Callable[[Obj, Obj | None], Iterator[str]]:
    """``path`` leads to the pod template. On update only a changed template is looked at."""

    def rule(new: Obj, old: Obj | None) -> Iterator[str]:
        if old is None:
            name = new["metadata"].get("name") or ""
            if name and names.label(name):
                faults = " ".join(names.label(name))
                detail = (
                    "this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended"
                )
                yield f"metadata.name: {detail}: [{faults}]"
        template, former = new, old
        for step in path:
            template = template.get(step) or {}
            former = (former.get(step) or {}) if former is not None else None
        if template and template != former:
            at = ".".join(path)
            yield from _pod_spec(template["metadata"], template["spec"], f"{at}.metadata", f"{at}.spec")

    return rule


def _pod_spec(meta: Obj, spec: Obj, meta_path: str, path: str) -> Iterator[str]:
    annotations = meta.get("annotations") or {}
    for key in sorted(annotations):
        if key.startswith(_APP_ARMOR):
            yield f'{meta_path}.annotations[{key}]: deprecated since v1.30; use the "appArmorProfile" field instead'
    yield from _node_labels(spec, path)
    for key in sorted(annotations):
        if key.startswith(_SECCOMP):
            yield f'{meta_path}.annotations[{key}]: non-functional in v1.27+; use the "seccompProfile" field instead'
    for index, volume in enumerate(spec.get("volumes") or ()):
        for name, text in _VOLUMES.items():
            if name in volume:
                yield f"{path}.volumes[{index}].{name}: {text}"
    yield from _host_aliases(spec, path)
    yield from _pull_secrets(spec, path)
    for name in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(name) or ()):
            yield from _container(container, f"{path}.{name}[{index}]")
    yield from _fractional(spec.get("overhead"), f"{path}.overhead")
    yield from _duplicate_ports(spec, path)
    grace = spec.get("terminationGracePeriodSeconds")
    if grace is not None and grace < 0:
        yield f"{path}.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1"


def _node_labels(spec: Obj, path: str) -> Iterator[str]:
    for key in sorted(spec.get("nodeSelector") or ()):
        if key in _LABELS:
            yield f"{path}.nodeSelector[{key}]: {_LABELS[key]}"
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    at = f"{path}.affinity.nodeAffinity"
    terms = (affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}).get("nodeSelectorTerms") or []
    for index, term in enumerate(terms):
        where = f"{at}.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[{index}]"
        yield from _term_labels(term, where)
    for index, preferred in enumerate(affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()):
        where = f"{at}.preferredDuringSchedulingIgnoredDuringExecution[{index}].preference"
        if not preferred["preference"]:
            yield f"{at}.preferredDuringSchedulingIgnoredDuringExecution[{index}].weight: no effect when preference is empty"
        yield from _term_labels(preferred["preference"], where)
    for index, constraint in enumerate(spec.get("topologySpreadConstraints") or ()):
        key = constraint.get("topologyKey")
        if key in _LABELS:
            yield f"{path}.topologySpreadConstraints[{index}].topologyKey: {key} is {_LABELS[key]}"
        if constraint.get("labelSelector") is None:
            yield f"{path}.topologySpreadConstraints[{index}].labelSelector: a null labelSelector results in matching no pod"


def _term_labels(term: Obj, path: str) -> Iterator[str]:
    for index, requirement in enumerate(term.get("matchExpressions") or ()):
        if requirement.get("key") in _LABELS:
            yield f"{path}.matchExpressions[{index}].key: {requirement['key']} is {_LABELS[requirement['key']]}"


def _host_aliases(spec: Obj, path: str) -> Iterator[str]:
    seen: dict[str, int] = {}
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        address = alias.get("ip") or ""
        if address in seen:
            yield f"{path}.hostAliases[{index}].ip: duplicate ip {quote(address)}"
        seen.setdefault(address, index)


def _pull_secrets(spec: Obj, path: str) -> Iterator[str]:
    seen: set[str] = set()
    for index, reference in enumerate(spec.get("imagePullSecrets") or ()):
        name = reference.get("name") or ""
        if not name:
            yield f'{path}.imagePullSecrets[{index}].name: invalid empty name ""'
        elif name in seen:
            yield f"{path}.imagePullSecrets[{index}].name: duplicate name {quote(name)}"
        seen.add(name)


def _container(container: Obj, path: str) -> Iterator[str]:
    resources = container.get("resources") or {}
    for field in ("limits", "requests"):
        yield from _fractional(resources.get(field), f"{path}.resources.{field}")
    seen: set[str] = set()
    for index, variable in enumerate(container.get("env") or ()):
        name = variable.get("name") or ""
        if name in seen and f"$({name})" not in (variable.get("value") or ""):
            yield f"{path}.env[{index}]: hides previous definition of {quote(name)}, which may be dropped when using apply"
        seen.add(name)


def _fractional(amounts: Obj | None, path: str) -> Iterator[str]:
    for name in sorted(amounts or ()):
        if name in ("memory", "ephemeral-storage", "storage") and parse(amounts[name]) % 1:  # type: ignore[index]
            yield f"{path}[{name}]: fractional byte value {quote(amounts[name])} is invalid, must be an integer"  # type: ignore[index]


def _duplicate_ports(spec: Obj, path: str) -> Iterator[str]:
    known: dict[tuple[str, int, int, str], str] = {}
    named: dict[str, str] = {}
    for index, container in enumerate(spec.get("containers") or ()):
        for number, port in enumerate(container.get("ports") or ()):
            at = f"{path}.containers[{index}].ports[{number}]"
            key = (
                port.get("protocol") or "",
                port.get("containerPort") or 0,
                port.get("hostPort") or 0,
                port.get("hostIP") or "",
            )
            if key in known:
                yield f"{at}: duplicate port definition with {known[key]}"
            known.setdefault(key, at)
            name = port.get("name")
            if name:
                if name in named and not named[name].startswith(f"{path}.containers[{index}]."):
                    yield f"{at}: duplicate port name {quote(name)} with {named[name]}, services and probes that select ports by name will use {named[name]}"
                named.setdefault(name, at)


def _service(new: Obj, old: Obj | None) -> Iterator[str]:
    spec, annotations = new["spec"], new["metadata"].get("annotations") or {}
    if "service.kubernetes.io/topology-aware-hints" in annotations:
        yield (
            "annotation service.kubernetes.io/topology-aware-hints is deprecated, please use "
            "service.kubernetes.io/topology-mode instead"
        )
    if spec.get("type") == "ExternalName" and spec.get("externalIPs"):
        yield 'spec.externalIPs is ignored when spec.type is "ExternalName"'
    if spec.get("type") != "ExternalName" and spec.get("externalName"):
        yield f"spec.externalName is ignored when spec.type is not {quote('ExternalName')}"
    if spec.get("clusterIP") == "None":
        if spec.get("loadBalancerIP"):
            yield "spec.loadBalancerIP is ignored for headless services"
        if spec.get("externalIPs"):
            yield "spec.externalIPs is ignored for headless services"
        if spec.get("sessionAffinity", "None") != "None":
            yield "spec.SessionAffinity is ignored for headless services"


def _ingress(new: Obj, old: Obj | None) -> Iterator[str]:
    if old is None and INGRESS_CLASS in (new["metadata"].get("annotations") or {}):
        yield f"annotation {quote(INGRESS_CLASS)} is deprecated, please use 'spec.ingressClassName' instead"


def _node(new: Obj, old: Obj | None) -> Iterator[str]:
    if new["spec"].get("configSource") is not None:
        yield "spec.configSource: the feature is no longer supported"
    if new["spec"].get("externalID"):
        yield "spec.externalID: this field is deprecated, and is unused by Kubernetes"
    for index, taint in enumerate(new["spec"].get("taints") or ()):
        if taint.get("key") in _LABELS:
            yield f"spec.taints[{index}].key: {taint['key']} is {_LABELS[taint['key']]}"


def _claim(new: Obj, old: Obj | None) -> Iterator[str]:
    resources = new["spec"].get("resources") or {}
    for field in ("limits", "requests"):
        yield from _fractional(resources.get(field), f"spec.resources.{field}")
    if "volume.beta.kubernetes.io/storage-class" in (new["metadata"].get("annotations") or {}):
        yield (
            'metadata.annotations[volume.beta.kubernetes.io/storage-class]: deprecated since v1.8; use "storageClassName" attribute instead'
        )


def _account(new: Obj, old: Obj | None) -> Iterator[str]:
    key = "kubernetes.io/enforce-mountable-secrets"
    if old is None and key in (new["metadata"].get("annotations") or {}):
        yield (
            f"metadata.annotations[{key}]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"
        )


_RULES: dict[Kind, Callable[[Obj, Obj | None], Iterator[str]]] = {
    k.PODS: _pod,
    k.DEPLOYMENTS: _workload(("spec", "template")),
    k.REPLICA_SETS: _workload(("spec", "template")),
    k.STATEFUL_SETS: _workload(("spec", "template")),
    k.DAEMON_SETS: _workload(("spec", "template")),
    k.REPLICATION_CONTROLLERS: _workload(("spec", "template")),
    k.JOBS: _workload(("spec", "template")),
    k.CRON_JOBS: _workload(("spec", "jobTemplate", "spec", "template")),
    k.SERVICES: _service,
    k.INGRESSES: _ingress,
    k.NODES: _node,
    k.PERSISTENT_VOLUME_CLAIMS: _claim,
    k.SERVICE_ACCOUNTS: _account,
}
