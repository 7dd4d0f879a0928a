"""Priority and fairness as data: the FlowSchemas and priority levels that every cluster has, and which schema a request belongs to.

The objects are those of Kubernetes' own bootstrap configuration; two of each are mandatory, and their specs fixed.
https://kubernetes.io/docs/concepts/cluster-administration/flow-control/
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from halab.cluster.kube.types import Obj

EXEMPT, CATCH_ALL = "exempt", "catch-all"
AUTO_UPDATE = "apf.kubernetes.io/autoupdate-spec"
_ALL = ["*"]


def _groups(*names: str) -> list[Obj]:
    return [{"kind": "Group", "group": {"name": name}} for name in names]


def _users(*names: str) -> list[Obj]:
    return [{"kind": "User", "user": {"name": name}} for name in names]


_EVERYBODY = _groups("system:unauthenticated", "system:authenticated")
_NODES = _groups("system:nodes")
_KUBE_SYSTEM = [{"kind": "ServiceAccount", "serviceAccount": {"namespace": "kube-system", "name": "*"}}]


def _resources(verbs: list[str], group: str, resources: list[str], cluster: bool) -> Obj:
    rule: Obj = {"verbs": verbs, "apiGroups": [group], "resources": resources, "namespaces": _ALL}
    return {**rule, "clusterScope": True} if cluster else rule


_ANYTHING: Obj = {
    "resourceRules": [_resources(_ALL, "*", _ALL, True)],
    "nonResourceRules": [{"verbs": _ALL, "nonResourceURLs": _ALL}],
}
_LEASES = "coordination.k8s.io"


def _schema(level: str, precedence: int, method: str, subjects: list[Obj], rules: Obj = _ANYTHING) -> Obj:
    spec: Obj = {"priorityLevelConfiguration": {"name": level}, "matchingPrecedence": precedence}
    if method:
        spec["distinguisherMethod"] = {"type": method}
    return {**spec, "rules": [{"subjects": subjects, **rules}]}


SCHEMAS: dict[str, Obj] = {
    EXEMPT: _schema("exempt", 1, "", _groups("system:masters")),
    "probes": _schema(
        "exempt", 2, "", _EVERYBODY, {"nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]}]}
    ),
    "system-leader-election": _schema(
        "leader-election", 100, "ByUser", [*_users("system:kube-controller-manager", "system:kube-scheduler"), *_KUBE_SYSTEM],
        {"resourceRules": [_resources(["get", "create", "update"], _LEASES, ["leases"], False)]},
    ),
    "system-node-high": _schema(
        "node-high", 400, "ByUser", _NODES,
        {"resourceRules": [_resources(_ALL, "", ["nodes", "nodes/status"], True), _resources(_ALL, _LEASES, ["leases"], False)]},
    ),
    "system-nodes": _schema("system", 500, "ByUser", _NODES),
    "kube-controller-manager": _schema("workload-high", 800, "ByNamespace", _users("system:kube-controller-manager")),
    "kube-scheduler": _schema("workload-high", 800, "ByNamespace", _users("system:kube-scheduler")),
    "kube-system-service-accounts": _schema("workload-high", 900, "ByNamespace", _KUBE_SYSTEM),
    "service-accounts": _schema("workload-low", 9000, "ByUser", _groups("system:serviceaccounts")),
    "global-default": _schema("global-default", 9900, "ByUser", _EVERYBODY),
    CATCH_ALL: _schema("catch-all", 10000, "ByUser", _EVERYBODY),
}  # fmt: skip
"""Specs by name, in order of precedence."""


def _level(shares: int, lendable: int, queues: int = 0, hand: int = 0) -> Obj:
    response: Obj = {"type": "Reject"}
    if queues:
        response = {"type": "Queue", "queuing": {"queues": queues, "handSize": hand, "queueLengthLimit": 50}}
    return {
        "type": "Limited",
        "limited": {"nominalConcurrencyShares": shares, "limitResponse": response, "lendablePercent": lendable},
    }


LEVELS: dict[str, Obj] = {
    EXEMPT: {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}},
    CATCH_ALL: _level(5, 0),
    "system": _level(30, 33, 64, 6),
    "node-high": _level(40, 25, 64, 6),
    "leader-election": _level(10, 0, 16, 4),
    "workload-high": _level(40, 50, 128, 6),
    "workload-low": _level(100, 90, 128, 6),
    "global-default": _level(20, 50, 128, 6),
}
MANDATORY_SCHEMAS = {name: SCHEMAS[name] for name in (EXEMPT, CATCH_ALL)}
MANDATORY_LEVELS = {name: LEVELS[name] for name in (EXEMPT, CATCH_ALL)}


def ordered(schemas: Iterable[Obj]) -> list[Obj]:
    """FlowSchemas in the order in which requests are compared with them: by precedence, then by name."""
    return sorted(schemas, key=lambda schema: (schema["spec"]["matchingPrecedence"], schema["metadata"]["name"]))


def matches(spec: Obj, user: str, groups: Sequence[str], verb: str, group: str, resource: str, namespace: str, path: str) -> bool:
    """Whether a request belongs to a FlowSchema. ``resource`` is ``pods`` or ``pods/log``; empty: ``path`` is asked for, no resource."""
    for rule in spec.get("rules") or ():
        if not any(_is(subject, user, groups) for subject in rule.get("subjects") or ()):
            continue
        if resource:
            if any(_covers(each, verb, group, resource, namespace) for each in rule.get("resourceRules") or ()):
                return True
        elif any(_reaches(each, verb, path) for each in rule.get("nonResourceRules") or ()):
            return True
    return False


def _is(subject: Obj, user: str, groups: Sequence[str]) -> bool:
    kind = subject.get("kind")
    if kind == "User":
        name = subject["user"]["name"]
        return name in ("*", user)
    if kind == "Group":
        return subject["group"]["name"] == "*" or subject["group"]["name"] in groups
    account = subject["serviceAccount"]
    prefix = f"system:serviceaccount:{account['namespace']}:"
    return user.startswith(prefix) if account["name"] == "*" else user == prefix + account["name"]


def _has(values: Sequence[str], value: str) -> bool:
    return "*" in values or value in values


def _covers(rule: Obj, verb: str, group: str, resource: str, namespace: str) -> bool:
    if not (_has(rule["verbs"], verb) and _has(rule["apiGroups"], group) and _has(rule["resources"], resource)):
        return False
    return _has(rule.get("namespaces") or (), namespace) if namespace else bool(rule.get("clusterScope"))


def _reaches(rule: Obj, verb: str, path: str) -> bool:
    urls = rule["nonResourceURLs"]
    return _has(rule["verbs"], verb) and any(
        url in ("*", path) or (url.endswith("/*") and path.startswith(url[:-1])) for url in urls
    )
