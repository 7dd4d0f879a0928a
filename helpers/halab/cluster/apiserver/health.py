"""What ``/healthz``, ``/livez`` and ``/readyz`` tell: one line for each part, in Kubernetes' names and order.

This server binds its address only after all that is named here has been done (``bootstrap``, the registry of definitions, the store's log),
so each answer says that it has; only ``etcd`` can fail later, and then the request fails with it.
"""

from __future__ import annotations

from collections.abc import Iterable

from halab.cluster.kube.gotext import quoted_list

_HOOKS = (
    "start-apiserver-admission-initializer", "generic-apiserver-start-informers", "priority-and-fairness-config-consumer",
    "priority-and-fairness-filter", "storage-object-count-tracker-hook", "start-apiextensions-informers",
    "start-apiextensions-controllers", "crd-informer-synced", "start-system-namespaces-controller",
    "start-cluster-authentication-info-controller", "start-kube-apiserver-identity-lease-controller",
    "start-kube-apiserver-identity-lease-garbage-collector", "start-legacy-token-tracking-controller",
    "start-service-ip-repair-controllers", "rbac/bootstrap-roles", "scheduling/bootstrap-system-priority-classes",
    "priority-and-fairness-config-producer", "bootstrap-controller", "start-kubernetes-service-cidr-controller",
    "aggregator-reload-proxy-client-cert", "start-kube-aggregator-informers", "apiservice-status-local-available-controller",
    "apiservice-status-remote-available-controller", "apiservice-registration-controller", "apiservice-discovery-controller",
    "kube-apiserver-autoregistration", "autoregister-completion", "apiservice-openapi-controller", "apiservice-openapiv3-controller",
)  # fmt: skip
_STARTED = tuple(name if name == "autoregister-completion" else f"poststarthook/{name}" for name in _HOOKS)
_CHECKS = {
    "healthz": ("ping", "log", "etcd", *_STARTED),
    "livez": ("ping", "log", "etcd", *_STARTED),
    "readyz": ("ping", "log", "etcd", "etcd-readiness", "informer-sync", *_STARTED, "shutdown"),
}


def checks(endpoint: str) -> tuple[str, ...]:
    """The names below ``/healthz``, ``/livez`` or ``/readyz``."""
    return _CHECKS[endpoint]


def report(endpoint: str, exclude: Iterable[str] = ()) -> str:
    """The text of ``?verbose``; ``exclude`` are names that are not looked at."""
    left_out = set(exclude)
    lines = []
    for name in _CHECKS[endpoint]:
        lines.append(f"[+]{name} excluded: ok" if name in left_out else f"[+]{name} ok")
    if unknown := sorted(left_out - set(_CHECKS[endpoint])):
        lines.append(f"warn: some health checks cannot be excluded: no matches for {quoted_list(unknown)}")
    return "\n".join([*lines, f"{endpoint} check passed", ""])
