"""What is said about drivers, leases, addresses, APIServices, flow schemas and device claims."""

from __future__ import annotations

from typing import Any

import pytest

from halab.cluster.kube import flow
from halab.cluster.kube import kinds as k
from halab.cluster.kube.decode import decode_object
from halab.cluster.kube.defaults import apply_defaults
from halab.cluster.kube.kinds import Kind
from halab.cluster.kube.schema import node_for
from halab.cluster.kube.validation import validate_create, validate_update

Obj = dict[str, Any]
SOURCE = {"persistentVolumeName": "v"}
RULE: Obj = {"verbs": ["get"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"]}
RULES: Obj = {"subjects": [{"kind": "User", "user": {"name": "u"}}], "resourceRules": [RULE]}
SCHEMA: Obj = {"priorityLevelConfiguration": {"name": "system"}, "rules": [RULES]}
QUEUE: Obj = {"type": "Queue", "queuing": {"handSize": 8}}
REQUEST: Obj = {"name": "r", "exactly": {"deviceClassName": "gpu"}}
SLICE: Obj = {"driver": "d.io", "nodeName": "n", "pool": {"name": "p", "resourceSliceCount": 1, "generation": 1}}


def made(kind: Kind, obj: Obj, name: str = "x") -> Obj:
    meta: Obj = {"name": name} | ({"namespace": "default"} if kind.namespaced else {})
    decoded, _ = decode_object({"apiVersion": kind.api_version, "kind": kind.kind, "metadata": meta, **obj}, kind, node_for(kind))
    apply_defaults(kind, decoded)
    return decoded


def faults(kind: Kind, obj: Obj, name: str = "x") -> list[str]:
    return [str(error) for error in validate_create(kind, made(kind, obj, name))]


def schema(**change: Any) -> Obj:
    return {"spec": {**SCHEMA, **change}}


def level(**limited: Any) -> Obj:
    return {"spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}, **limited}}}


def claim(*requests: Obj, **more: Any) -> Obj:
    return {"spec": {"devices": {"requests": list(requests), **more}}}


@pytest.mark.parametrize(
    ("kind", "obj", "fault"),
    [
        (k.RUNTIME_CLASSES, {"handler": "h", "overhead": {"podFixed": {"cpu": "1", "memory": "1Mi"}}}, ""),
        (
            k.RUNTIME_CLASSES,
            {"handler": "h", "overhead": {"podFixed": {"cpu": "-1"}}},
            'overhead.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0',
        ),
        (
            k.RUNTIME_CLASSES,
            {"handler": "h", "scheduling": {"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]}},
            "scheduling.tolerations[0].operator: Invalid value: \"b\": value must be empty when `operator` is 'Exists'",
        ),
        (
            k.CSI_DRIVERS,
            {"spec": {"fsGroupPolicy": "Some"}},
            'spec.fsGroupPolicy: Unsupported value: "Some": supported values: "File", "None", "ReadWriteOnceWithFSType"',
        ),
        (
            k.CSI_DRIVERS,
            {"spec": {"tokenRequests": [{"audience": "a", "expirationSeconds": 60}]}},
            "spec.tokenRequests[0].expirationSeconds: Invalid value: 60: may not specify a duration less than 10 minutes",
        ),
        (
            k.LEASES,
            {"spec": {"strategy": "Newest"}},
            'spec.strategy.strategy: Unsupported value: "Newest": supported values: "OldestEmulationVersion"',
        ),
        (
            k.LEASES,
            {"spec": {"preferredHolder": "me"}},
            "spec.preferredHolder: Forbidden: may only be specified if `strategy` is defined",
        ),
        (k.LEASES, {"spec": {"holderIdentity": ""}}, ""),
        (k.IP_ADDRESSES, {"spec": {}}, "spec.parentRef: Required value"),
        (k.IP_ADDRESSES, {"spec": {"parentRef": {"resource": "services"}}}, "spec.parentRef.name: Required value"),
        (k.SERVICE_CIDRS, {"spec": {"cidrs": []}}, "spec.cidrs: Required value: at least one CIDR required"),
        (
            k.SERVICE_CIDRS,
            {"spec": {"cidrs": ["10.0.0.0"]}},
            'spec.cidrs[0]: Invalid value: "10.0.0.0": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)',
        ),
        (k.SERVICE_CIDRS, {"spec": {"cidrs": ["10.0.0.0/24", "2001:db8::/64"]}}, ""),
        (
            k.VOLUME_ATTRIBUTES_CLASSES,
            {"driverName": "d.io"},
            "parameters: Required value: must contain at least one key/value pair",
        ),
        (k.VOLUME_ATTACHMENTS, {"spec": {"attacher": "a.io", "source": SOURCE, "nodeName": "n"}}, ""),
        (
            k.VOLUME_ATTACHMENTS,
            {"spec": {"attacher": "a.io", "source": {}, "nodeName": "n"}},
            "spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName",
        ),
        (k.CSI_STORAGE_CAPACITIES, {"storageClassName": "a", "capacity": "1Gi"}, ""),
        (k.FLOW_SCHEMAS, schema(), ""),
        (
            k.FLOW_SCHEMAS,
            schema(matchingPrecedence=1),
            "spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1",
        ),
        (
            k.FLOW_SCHEMAS,
            schema(rules=[{**RULES, "resourceRules": [{**RULE, "verbs": ["*", "get"]}]}]),
            'spec.rules[0].resourceRules[0].verbs: Invalid value: ["*","get"]: if \'*\' is present, must not specify other verbs',
        ),
        (
            k.FLOW_SCHEMAS,
            schema(rules=[{**RULES, "subjects": [{"kind": "Group", "user": {"name": "u"}, "group": {"name": "g"}}]}]),
            "spec.rules[0].subjects[0].user: Forbidden: user is forbidden when subject kind is not 'User'",
        ),
        (k.PRIORITY_LEVELS, level(limitResponse=QUEUE), ""),
        (
            k.PRIORITY_LEVELS,
            level(limitResponse={"type": "Queue", "queuing": {"handSize": 8, "queues": 1024}}),
            "spec.limited.limitResponse.queuing.handSize: Invalid value: 8: required entropy bits of deckSize 1024 and handSize 8 should not be "
            "greater than 60",
        ),
        (
            k.PRIORITY_LEVELS,
            level(lendablePercent=101),
            "spec.limited.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive",
        ),
        (k.RESOURCE_CLAIMS, claim(REQUEST), ""),
        (
            k.RESOURCE_CLAIMS,
            claim({"name": "r"}),
            "spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required",
        ),
        (
            k.RESOURCE_CLAIMS,
            claim({"name": "r", "exactly": {"deviceClassName": "gpu", "allocationMode": "All", "count": 2}}),
            "spec.devices.requests[0].exactly.count: Invalid value: 2: must not be specified when allocationMode is 'All'",
        ),
        (
            k.RESOURCE_CLAIMS,
            claim(REQUEST, constraints=[{"requests": ["s"], "matchAttribute": "d.io/a"}]),
            'spec.devices.constraints[0].requests[0]: Invalid value: "s": must be the name of a request in the claim or the name of a request and '
            "a subrequest separated by '/'",
        ),
        (k.RESOURCE_SLICES, {"spec": {**SLICE, "devices": [{"name": "d", "attributes": {"a": {"version": "1.2.3"}}}]}}, ""),
        (
            k.RESOURCE_SLICES,
            {"spec": {**SLICE, "devices": [{"name": "d", "attributes": {"a": {"version": "1.2"}}}]}},
            'spec.devices[0].attributes[a].version: Invalid value: "1.2": must be a string compatible with semver.org spec 2.0.0',
        ),
    ],
)
def test_new_objects(kind: Kind, obj: Obj, fault: str) -> None:
    name = "10.0.0.1" if kind is k.IP_ADDRESSES else "x"
    assert faults(kind, obj, name) == ([fault] if fault else [])


def test_an_address_is_named_by_its_canonical_form() -> None:
    parent = {"spec": {"parentRef": {"resource": "services", "name": "s", "namespace": "default"}}}
    assert faults(k.IP_ADDRESSES, parent, "2001:db8::1") == []
    assert faults(k.IP_ADDRESSES, parent, "2001:DB8::1") == [
        'metadata.name: Invalid value: "2001:DB8::1": must be a canonical format IP address'
    ]


def test_an_api_service_is_named_by_version_and_group() -> None:
    spec = {"group": "a.io", "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 15}
    assert faults(k.API_SERVICES, {"spec": spec}, "v1.a.io") == []
    assert faults(k.API_SERVICES, {"spec": {**spec, "groupPriorityMinimum": 20001}}, "v2.a.io") == [
        'metadata.name: Invalid value: "v2.a.io": must be `spec.version+"."+spec.group`: "v1.a.io"',
        "spec.groupPriorityMinimum: Invalid value: 20001: must be positive and less than 20000",
    ]


@pytest.mark.parametrize(
    ("kind", "obj", "change", "fault"),
    [
        (k.RESOURCE_CLAIMS, claim(REQUEST), claim({**REQUEST, "name": "s"}), "spec: Invalid value: "),
        (
            k.SERVICE_CIDRS,
            {"spec": {"cidrs": ["10.0.0.0/24"]}},
            {"spec": {"cidrs": ["10.0.1.0/24"]}},
            "spec.cidrs: Invalid value: ",
        ),
        (
            k.VOLUME_ATTRIBUTES_CLASSES,
            {"driverName": "d.io", "parameters": {"a": "b"}},
            {"driverName": "e.io", "parameters": {"a": "b"}},
            "driverName: Forbidden: updates to driverName are forbidden.",
        ),
        (
            k.CSI_DRIVERS,
            {"spec": {"attachRequired": True}},
            {"spec": {"attachRequired": False}},
            "spec.attachedRequired: Invalid value: false: field is immutable",
        ),
    ],
)
def test_what_may_not_change(kind: Kind, obj: Obj, change: Obj, fault: str) -> None:
    errors = [str(error) for error in validate_update(kind, made(kind, change), made(kind, obj))]
    assert [error[: len(fault)] for error in errors] == [fault]


def test_the_bootstrap_configuration_is_valid_and_its_mandatory_part_fixed() -> None:
    for name, spec in flow.SCHEMAS.items():
        assert faults(k.FLOW_SCHEMAS, {"spec": spec}, name) == []
    for name, spec in flow.LEVELS.items():
        assert faults(k.PRIORITY_LEVELS, {"spec": spec}, name) == []
    other = {"spec": {**flow.SCHEMAS["catch-all"], "matchingPrecedence": 9999}}
    assert [fault.rpartition(": ")[2] for fault in faults(k.FLOW_SCHEMAS, other, "catch-all")] == [
        "spec of 'catch-all' must equal the fixed value"
    ]


@pytest.mark.parametrize(
    ("user", "groups", "verb", "group", "resource", "namespace", "path", "schema"),
    [
        ("admin", ["system:masters", "system:authenticated"], "get", "", "pods", "a", "", "exempt"),
        ("system:anonymous", ["system:unauthenticated"], "get", "", "", "", "/readyz", "probes"),
        ("system:node:n", ["system:nodes", "system:authenticated"], "update", "coordination.k8s.io", "leases", "kube-node-lease", "",
         "system-node-high"),
        ("system:node:n", ["system:nodes", "system:authenticated"], "patch", "", "nodes/status", "", "", "system-node-high"),
        ("system:node:n", ["system:nodes", "system:authenticated"], "get", "", "pods", "a", "", "system-nodes"),
        ("system:kube-scheduler", ["system:authenticated"], "list", "", "pods", "", "", "kube-scheduler"),
        ("system:serviceaccount:kube-system:x", ["system:serviceaccounts", "system:authenticated"], "get", "", "pods", "a", "",
         "kube-system-service-accounts"),
        ("system:serviceaccount:a:x", ["system:serviceaccounts", "system:authenticated"], "get", "", "pods", "a", "", "service-accounts"),
        ("anna", ["system:authenticated"], "get", "", "", "", "/version", "global-default"),
    ],
)  # fmt: skip
def test_the_flow_of_a_request(
    user: str, groups: list[str], verb: str, group: str, resource: str, namespace: str, path: str, schema: str
) -> None:
    ordered = flow.ordered({"metadata": {"name": name}, "spec": spec} for name, spec in flow.SCHEMAS.items())
    found = next(
        each["metadata"]["name"]
        for each in ordered
        if flow.matches(each["spec"], user, groups, verb, group, resource, namespace, path)
    )
    assert found == schema
