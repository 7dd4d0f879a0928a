"""The roles and bindings that a new cluster starts with.

The user-facing roles (cluster-admin, admin, edit, view) and the discovery roles are Kubernetes' own
(https://kubernetes.io/docs/reference/access-authn-authz/rbac/#default-roles-and-role-bindings). The controller manager runs all
controllers under one user here, so it is bound to ``halab:controllers`` instead of a role a controller; the data plane has a role
of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from halab.cluster.kube.rbac import aggregate
from halab.cluster.kube.types import Obj

GROUP = "rbac.authorization.k8s.io"
_VERSION = f"{GROUP}/v1"
_READ = ("get", "list", "watch")
_WRITE = ("create", "delete", "deletecollection", "patch", "update")
_EVENTS = ("create", "patch", "update")
_AGGREGATE = "rbac.authorization.k8s.io/aggregate-to-"


def cluster_roles() -> list[Obj]:
    """All bootstrap ClusterRoles; aggregated ones already carry their rules."""
    plain = [_role(name, rules) for name, rules in _ROLES.items()]
    plain += [_role(name, rules, label) for name, (rules, label) in _PARTS.items()]
    for name, parents in (("view", ("view",)), ("edit", ("edit",)), ("admin", ("admin",))):
        role = _role(name, [], _INHERITED.get(name))
        role["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": {_AGGREGATE + parent: "true"}} for parent in parents]}
        role["rules"] = aggregate(role, plain)
        plain.append(role)
    return plain


def cluster_role_bindings() -> list[Obj]:
    return [_binding(name, role, subjects) for name, role, subjects in _BINDINGS]


def roles() -> list[Obj]:
    """Bootstrap Roles, in kube-system and kube-public."""
    return [
        _role("extension-apiserver-authentication-reader", [_rule("", ("configmaps",), _READ)], namespace="kube-system"),
        _role("system:controller:bootstrap-signer", [_rule("", ("configmaps",), _READ)], namespace="kube-public"),
    ]


def role_bindings() -> list[Obj]:
    subjects = (_user("system:kube-controller-manager"), _user("system:kube-scheduler"))
    name = "extension-apiserver-authentication-reader"
    binding = _binding(f"system::{name}", name, subjects)
    binding["kind"] = "RoleBinding"
    binding["metadata"]["namespace"] = "kube-system"
    binding["roleRef"]["kind"] = "Role"
    return [binding]


def _metadata(name: str, label: str | None = None, namespace: str = "") -> Obj:
    labels = {"kubernetes.io/bootstrapping": "rbac-defaults"}
    if label:
        labels[_AGGREGATE + label] = "true"
    metadata: Obj = {"name": name, "labels": labels, "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"}}
    if namespace:
        metadata["namespace"] = namespace
    return metadata


def _role(name: str, rules: Sequence[Obj], label: str | None = None, namespace: str = "") -> Obj:
    kind = "Role" if namespace else "ClusterRole"
    return {"apiVersion": _VERSION, "kind": kind, "metadata": _metadata(name, label, namespace), "rules": list(rules)}


def _binding(name: str, role: str, subjects: Sequence[Obj]) -> Obj:
    return {
        "apiVersion": _VERSION,
        "kind": "ClusterRoleBinding",
        "metadata": _metadata(name),
        "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": role},
        "subjects": list(subjects),
    }


def _user(name: str) -> Obj:
    return {"apiGroup": GROUP, "kind": "User", "name": name}


def _group(name: str) -> Obj:
    return {"apiGroup": GROUP, "kind": "Group", "name": name}


def _rule(groups: str, resources: Sequence[str], verbs: Sequence[str], names: Sequence[str] = ()) -> Obj:
    """``groups`` are separated by commas; the core group is the empty one."""
    rule: Obj = {"verbs": list(verbs), "apiGroups": groups.split(","), "resources": list(resources)}
    if names:
        rule["resourceNames"] = list(names)
    return rule


def _urls(urls: Sequence[str], verbs: Sequence[str] = ("get",)) -> Obj:
    return {"verbs": list(verbs), "nonResourceURLs": list(urls)}


_ANYTHING = [_rule("*", ("*",), ("*",)), _urls(("*",), ("*",))]
_EVENT_WRITER = _rule(",events.k8s.io", ("events",), _EVENTS)
_LEASES = _rule("coordination.k8s.io", ("leases",), ("create", "delete", "get", "list", "patch", "update", "watch"))
_REVIEWS = _rule("authorization.k8s.io", ("subjectaccessreviews",), ("create",))
_TOKENS = _rule("authentication.k8s.io", ("tokenreviews",), ("create",))
_GATEWAY = "gateway.networking.k8s.io"

_VIEW = [
    _rule(
        "",
        (
            "configmaps",
            "endpoints",
            "persistentvolumeclaims",
            "persistentvolumeclaims/status",
            "pods",
            "replicationcontrollers",
            "replicationcontrollers/scale",
            "serviceaccounts",
            "services",
            "services/status",
        ),
        _READ,
    ),
    _rule(
        "",
        (
            "bindings",
            "events",
            "limitranges",
            "namespaces/status",
            "pods/log",
            "pods/status",
            "replicationcontrollers/status",
            "resourcequotas",
            "resourcequotas/status",
        ),
        _READ,
    ),
    _rule("", ("namespaces",), _READ),
    _rule("discovery.k8s.io", ("endpointslices",), _READ),
    _rule(
        "apps",
        (
            "controllerrevisions",
            "daemonsets",
            "daemonsets/status",
            "deployments",
            "deployments/scale",
            "deployments/status",
            "replicasets",
            "replicasets/scale",
            "replicasets/status",
            "statefulsets",
            "statefulsets/scale",
            "statefulsets/status",
        ),
        _READ,
    ),
    _rule("autoscaling", ("horizontalpodautoscalers", "horizontalpodautoscalers/status"), _READ),
    _rule("batch", ("cronjobs", "cronjobs/status", "jobs", "jobs/status"), _READ),
    _rule("policy", ("poddisruptionbudgets", "poddisruptionbudgets/status"), _READ),
    _rule("networking.k8s.io", ("ingresses", "ingresses/status", "networkpolicies"), _READ),
    _rule(_GATEWAY, ("gateways", "gateways/status", "httproutes", "httproutes/status"), _READ),
]
_EDIT = [
    _rule("", ("pods/attach", "pods/exec", "pods/portforward", "pods/proxy", "secrets", "services/proxy"), _READ),
    _rule("", ("serviceaccounts",), ("impersonate",)),
    _rule("", ("pods", "pods/attach", "pods/exec", "pods/portforward", "pods/proxy"), _WRITE),
    _rule("", ("pods/eviction",), ("create",)),
    _rule(
        "",
        (
            "configmaps",
            "events",
            "persistentvolumeclaims",
            "replicationcontrollers",
            "replicationcontrollers/scale",
            "secrets",
            "serviceaccounts",
            "services",
            "services/proxy",
        ),
        _WRITE,
    ),
    _rule("", ("serviceaccounts/token",), ("create",)),
    _rule(
        "apps",
        (
            "daemonsets",
            "deployments",
            "deployments/rollback",
            "deployments/scale",
            "replicasets",
            "replicasets/scale",
            "statefulsets",
            "statefulsets/scale",
        ),
        _WRITE,
    ),
    _rule("autoscaling", ("horizontalpodautoscalers",), _WRITE),
    _rule("batch", ("cronjobs", "jobs"), _WRITE),
    _rule("policy", ("poddisruptionbudgets",), _WRITE),
    _rule("networking.k8s.io", ("ingresses", "networkpolicies"), _WRITE),
    _rule(_GATEWAY, ("gateways", "httproutes"), _WRITE),
    _rule("coordination.k8s.io", ("leases",), (*_READ, *_WRITE)),
]
_ADMIN = [
    _rule("authorization.k8s.io", ("localsubjectaccessreviews",), ("create",)),
    _rule(GROUP, ("rolebindings", "roles"), (*_READ, *_WRITE)),
]

_PARTS: dict[str, tuple[list[Obj], str]] = {
    "system:aggregate-to-view": (_VIEW, "view"),
    "system:aggregate-to-edit": (_EDIT, "edit"),
    "system:aggregate-to-admin": (_ADMIN, "admin"),
}
_INHERITED = {"view": "edit", "edit": "admin"}  # view is part of edit, edit of admin

_PUBLIC = ("/healthz", "/livez", "/readyz", "/version", "/version/")
_DISCOVERY = (
    "/api",
    "/api/*",
    "/apis",
    "/apis/*",
    "/healthz",
    "/livez",
    "/openapi",
    "/openapi/*",
    "/readyz",
    "/version",
    "/version/",
)
_VOLUMES = ("persistentvolumes", "persistentvolumeclaims")

_ROLES: dict[str, list[Obj]] = {
    "cluster-admin": _ANYTHING,
    "system:basic-user": [
        _rule("authorization.k8s.io", ("selfsubjectaccessreviews", "selfsubjectrulesreviews"), ("create",)),
        _rule("authentication.k8s.io", ("selfsubjectreviews",), ("create",)),
    ],
    "system:discovery": [_urls(_DISCOVERY)],
    "system:public-info-viewer": [_urls(_PUBLIC)],
    "system:monitoring": [
        _urls(("/healthz", "/healthz/*", "/livez", "/livez/*", "/metrics", "/metrics/slis", "/readyz", "/readyz/*")),
    ],
    "system:service-account-issuer-discovery": [
        _urls(("/.well-known/openid-configuration", "/openid/v1/jwks", "/openid/v1/jwks/"))
    ],
    "system:auth-delegator": [_TOKENS, _REVIEWS],
    "system:kube-aggregator": [_rule("", ("endpoints", "services"), _READ)],
    "system:kube-dns": [_rule("", ("endpoints", "services"), ("list", "watch"))],
    "system:node-proxier": [
        _rule("", ("services", "endpoints"), ("list", "watch")),
        _rule("discovery.k8s.io", ("endpointslices",), ("list", "watch")),
        _rule("", ("nodes",), _READ),
        _EVENT_WRITER,
    ],
    "system:node-problem-detector": [_rule("", ("nodes",), ("get",)), _rule("", ("nodes/status",), ("patch",)), _EVENT_WRITER],
    "system:persistent-volume-provisioner": [
        _rule("", ("persistentvolumes",), ("create", "delete", "get", "list", "watch")),
        _rule("", ("persistentvolumeclaims",), ("get", "list", "update", "watch")),
        _rule("storage.k8s.io", ("storageclasses",), _READ),
        _rule("", ("events",), ("watch",)),
        _EVENT_WRITER,
    ],
    "system:node": [
        _TOKENS,
        _REVIEWS,
        _rule("", ("services",), _READ),
        _rule("", ("nodes",), ("create", "get", "list", "watch", "patch", "update")),
        _rule("", ("nodes/status",), ("patch", "update")),
        _EVENT_WRITER,
        _rule("", ("pods",), ("create", "delete", *_READ)),
        _rule("", ("pods/status",), ("patch", "update")),
        _rule("", ("pods/eviction",), ("create",)),
        _rule("", ("configmaps", "secrets"), _READ),
        _rule("", _VOLUMES, _READ),
        _rule("", ("endpoints",), ("get",)),
        _rule("", ("persistentvolumeclaims/status",), ("get", "patch", "update")),
        _rule("", ("serviceaccounts/token",), ("create",)),
        _rule("", ("serviceaccounts",), ("get",)),
        _rule("", ("namespaces",), _READ),
        _LEASES,
        _rule("storage.k8s.io", ("volumeattachments",), ("get",)),
        _rule("storage.k8s.io", ("csidrivers", "storageclasses"), _READ),
        _rule("storage.k8s.io", ("csinodes",), ("create", "delete", "get", "patch", "update")),
        _rule("node.k8s.io", ("runtimeclasses",), _READ),
        _rule("scheduling.k8s.io", ("priorityclasses",), _READ),
    ],
    "system:kube-scheduler": [
        _EVENT_WRITER,
        _LEASES,
        _rule("", ("nodes",), _READ),
        _rule("", ("pods",), ("delete", *_READ)),
        _rule("", ("bindings", "pods/binding"), ("create",)),
        _rule("", ("pods/status",), ("patch", "update")),
        _rule("", ("replicationcontrollers", "services", "namespaces"), _READ),
        _rule("apps", ("replicasets", "statefulsets"), _READ),
        _rule("policy", ("poddisruptionbudgets",), _READ),
        _rule("", _VOLUMES, _READ),
        _rule("storage.k8s.io", ("csinodes", "csidrivers", "csistoragecapacities", "storageclasses", "volumeattachments"), _READ),
        _rule("scheduling.k8s.io", ("priorityclasses",), _READ),
        _rule("resource.k8s.io", ("deviceclasses", "resourceclaims", "resourceslices"), _READ),
        _rule("resource.k8s.io", ("resourceclaims/status",), ("get", "patch", "update")),
        _TOKENS,
        _REVIEWS,
    ],
    "system:volume-scheduler": [
        _rule("", ("persistentvolumes",), ("get", "list", "patch", "update", "watch")),
        _rule("storage.k8s.io", ("storageclasses",), _READ),
        _rule("", ("persistentvolumeclaims",), ("get", "list", "patch", "update", "watch")),
    ],
    "system:kube-controller-manager": [
        _EVENT_WRITER,
        _LEASES,
        _rule("", ("secrets", "serviceaccounts"), ("create",)),
        _rule("", ("secrets",), ("delete",)),
        _rule("", ("configmaps", "namespaces", "secrets", "serviceaccounts"), ("get",)),
        _rule("", ("secrets", "serviceaccounts"), ("update",)),
        _TOKENS,
        _REVIEWS,
        _rule("*", ("*",), ("list", "watch")),
        _rule("", ("serviceaccounts/token",), ("create",)),
    ],
    "halab:controllers": _ANYTHING,
    "halab:dataplane": [
        _rule("", ("services", "endpoints", "pods", "nodes", "namespaces", "secrets", "configmaps"), _READ),
        _rule("", ("services",), ("create",)),
        _rule("", ("services/status",), ("patch", "update")),
        _rule("discovery.k8s.io", ("endpointslices",), _READ),
        _rule("networking.k8s.io", ("ingresses", "ingressclasses", "networkpolicies"), _READ),
        _rule("networking.k8s.io", ("ingressclasses",), ("create",)),
        _rule("networking.k8s.io", ("ingresses/status",), ("patch", "update")),
        _rule(_GATEWAY, ("*",), _READ),
        _rule(_GATEWAY, ("gatewayclasses",), ("create",)),
        _rule(_GATEWAY, ("gatewayclasses/status", "gateways/status", "httproutes/status"), ("patch", "update")),
        _EVENT_WRITER,
        _LEASES,
    ],
}

_AUTHENTICATED, _UNAUTHENTICATED = _group("system:authenticated"), _group("system:unauthenticated")
_BINDINGS: tuple[tuple[str, str, tuple[Obj, ...]], ...] = (
    ("cluster-admin", "cluster-admin", (_group("system:masters"),)),
    ("system:basic-user", "system:basic-user", (_AUTHENTICATED,)),
    ("system:discovery", "system:discovery", (_AUTHENTICATED,)),
    ("system:public-info-viewer", "system:public-info-viewer", (_AUTHENTICATED, _UNAUTHENTICATED)),
    ("system:monitoring", "system:monitoring", (_group("system:monitoring"),)),
    ("system:service-account-issuer-discovery", "system:service-account-issuer-discovery", (_group("system:serviceaccounts"),)),
    ("system:node", "system:node", (_group("system:nodes"),)),
    ("system:node-proxier", "system:node-proxier", (_user("system:kube-proxy"),)),
    ("system:kube-controller-manager", "system:kube-controller-manager", (_user("system:kube-controller-manager"),)),
    ("system:kube-scheduler", "system:kube-scheduler", (_user("system:kube-scheduler"),)),
    ("system:volume-scheduler", "system:volume-scheduler", (_user("system:kube-scheduler"),)),
    ("halab:controllers", "halab:controllers", (_user("system:kube-controller-manager"),)),
    ("halab:dataplane", "halab:dataplane", (_user("halab:dataplane"),)),
)
