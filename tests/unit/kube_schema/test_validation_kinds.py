"""What is wrong with the other kinds, and what may not change in them."""

from __future__ import annotations

import pytest
from making import CONTAINER, LABELS, SELECTOR, TEMPLATE, changed, faults, made

from halab.cluster.kube import kinds as k
from halab.cluster.kube.kinds import Kind
from halab.cluster.kube.types import Obj
from halab.cluster.kube.validation import kind_warning, warnings_for
from halab.cluster.kube.validation.cron import schedule_fault

JOB_TEMPLATE = {"spec": {"restartPolicy": "Never", "containers": [CONTAINER]}}
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
REFERENCE = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
MISMATCH = "`selector` does not match template `labels`"


def http(path: Obj) -> Obj:
    return {"spec": {"rules": [{"http": {"paths": [path]}}]}}


@pytest.mark.parametrize(
    ("kind", "members", "expected"),
    [
        (k.DEPLOYMENTS, {"spec": {"template": {"spec": {"containers": [CONTAINER]}}}}, ["spec.selector: Required value", f"spec.template.metadata.labels: Invalid value: null: {MISMATCH}"]),
        (k.DEPLOYMENTS, {"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE}}, [f'spec.template.metadata.labels: Invalid value: {{"app":"web"}}: {MISMATCH}']),
        (k.DEPLOYMENTS, {"spec": {"selector": {}, "template": TEMPLATE}}, ["spec.selector: Invalid value: {}: empty selector is invalid for deployment"]),
        (k.DEPLOYMENTS, {"spec": {"selector": SELECTOR, "template": TEMPLATE, "strategy": {"type": "BlueGreen"}}}, ['spec.strategy: Unsupported value: {"Type":"BlueGreen","RollingUpdate":null}: supported values: "Recreate", "RollingUpdate"']),
        (k.DEPLOYMENTS, {"spec": {"selector": SELECTOR, "template": TEMPLATE, "progressDeadlineSeconds": 5, "minReadySeconds": 5}}, ["spec.progressDeadlineSeconds: Invalid value: 5: must be greater than minReadySeconds"]),
        (k.DEPLOYMENTS, {"spec": {"selector": SELECTOR, "template": TEMPLATE, "strategy": {"rollingUpdate": {"maxUnavailable": "150%"}}}}, ['spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "150%": must not be greater than 100%']),
        (k.DAEMON_SETS, {"spec": {"selector": SELECTOR, "template": TEMPLATE, "updateStrategy": {"rollingUpdate": {"maxUnavailable": 0}}}}, ["spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0"]),
        (k.STATEFUL_SETS, {"spec": {"selector": SELECTOR, "template": TEMPLATE, "podManagementPolicy": "Any"}}, ["spec.podManagementPolicy: Invalid value: \"Any\": must be 'OrderedReady' or 'Parallel'"]),
        (k.JOBS, {"spec": {"completions": -1, "template": {"spec": {"containers": [CONTAINER]}}}}, ["spec.completions: Invalid value: -1: must be greater than or equal to 0", 'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"']),
        (k.JOBS, {"spec": {"completionMode": "Indexed", "parallelism": 2, "template": JOB_TEMPLATE}}, ["spec.completions: Required value: when completion mode is Indexed"]),
        (k.CRON_JOBS, {"spec": {"schedule": "x", "jobTemplate": {"spec": {"template": JOB_TEMPLATE}}}}, ['spec.schedule: Invalid value: "x": expected exactly 5 fields, found 1: [x]']),
        (k.HORIZONTAL_POD_AUTOSCALERS, {"spec": {"minReplicas": 3, "maxReplicas": 2, "scaleTargetRef": REFERENCE}}, ["spec.maxReplicas: Invalid value: 2: must be greater than or equal to `minReplicas`"]),
        (k.HORIZONTAL_POD_AUTOSCALERS, {"spec": {"maxReplicas": 2, "scaleTargetRef": REFERENCE, "metrics": [{"type": "Resource"}]}}, ["spec.metrics[0].resource: Required value: must populate information for the given metric source"]),
        (k.POD_DISRUPTION_BUDGETS, {"spec": {"minAvailable": 1, "maxUnavailable": 1}}, ['spec: Invalid value: {"MinAvailable":1,"Selector":null,"MaxUnavailable":1,"UnhealthyPodEvictionPolicy":null}: minAvailable and maxUnavailable cannot be both set']),
        (k.INGRESSES, {"spec": {}}, ["spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"]),
        (k.INGRESSES, http({"path": "x", "pathType": "Prefix", "backend": {"service": {"name": "a", "port": {"number": 80}}}}), ['spec.rules[0].http.paths[0].path: Invalid value: "x": must be an absolute path']),
        (k.INGRESSES, http({"path": "/", "backend": {"service": {"name": "a", "port": {"number": 80}}}}), ["spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified"]),
        (k.INGRESSES, http({"path": "/", "pathType": "Exact", "backend": {"service": {"name": "a", "port": {}}}}), ["spec.rules[0].http.paths[0].backend: Required value: port name or number is required"]),
        (k.NETWORK_POLICIES, {"spec": {"podSelector": {}, "ingress": [{"from": [{}]}]}}, ["spec.ingress[0].from[0]: Required value: must specify a peer"]),
        (k.ROLES, {"rules": [{"verbs": ["get"]}]}, ["rules[0].apiGroups: Required value: resource rules must supply at least one api group", "rules[0].resources: Required value: resource rules must supply at least one resource"]),
        (k.CLUSTER_ROLE_BINDINGS, {"roleRef": {"kind": "Role", "name": "r"}}, ['roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole"']),
        (k.PERSISTENT_VOLUME_CLAIMS, {"spec": {}}, ["spec.accessModes: Required value: at least 1 access mode is required", "spec.resources[storage]: Required value"]),
        (k.PERSISTENT_VOLUMES, {"spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}}}, ["spec: Required value: must specify a volume type"]),
        (k.STORAGE_CLASSES, {"provisioner": "p", "reclaimPolicy": "Recycle"}, ['reclaimPolicy: Unsupported value: "Recycle": supported values: "Delete", "Retain"']),
        (k.RESOURCE_QUOTAS, {"spec": {"hard": {"dogs": "1"}}}, ['spec.hard[dogs]: Invalid value: "dogs": must be a standard resource type or fully qualified', 'spec.hard[dogs]: Invalid value: "dogs": must be a standard resource for quota']),
        (k.RESOURCE_QUOTAS, {"spec": {"hard": {"count/deployments.apps": "1", "requests.nvidia.com/gpu": "4", "pods": "3"}}}, []),
        (k.LIMIT_RANGES, {"spec": {"limits": [{"type": "Pod", "min": {"cpu": "2"}, "max": {"cpu": "1"}}]}}, ['spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1']),
        (k.SECRETS, {"type": "kubernetes.io/tls"}, ["data[tls.crt]: Required value", "data[tls.key]: Required value"]),
        (k.NODES, {"spec": {"taints": [{"key": "a", "effect": "Never"}]}}, ['metadata.taints[0].effect: Unsupported value: "Never": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"']),
        (k.PRIORITY_CLASSES, {"value": 2000000000}, ["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"]),
        (k.SERVICES, {"spec": {"type": "ExternalName"}}, ["spec.externalName: Required value"]),
        (k.SERVICES, {"spec": {"ports": [{"port": 80, "nodePort": 30000}]}}, ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"]),
        (k.SERVICES, {"spec": {}}, ["spec.ports: Required value"]),
        (k.LEASES, {"spec": {"leaseDurationSeconds": 0}}, ["spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"]),
        (k.ENDPOINT_SLICES, {"addressType": "IPv4", "endpoints": [{"addresses": ["127.1.1.1"]}]}, []),
    ],
)  # fmt: skip
def test_faults_of_a_new_object(kind: Kind, members: Obj, expected: list[str]) -> None:
    assert faults(kind, **members) == expected


def test_equal_service_ports_are_printed_as_go_prints_them() -> None:
    assert faults(k.SERVICES, spec={"ports": [{"port": 80}, {"port": 80}]}) == [
        "spec.ports[0].name: Required value",
        "spec.ports[1].name: Required value",
        'spec.ports[1]: Duplicate value: {"Name":"","Protocol":"TCP","AppProtocol":null,"Port":80,"TargetPort":0,"NodePort":0}',
    ]


@pytest.mark.parametrize(
    ("kind", "before", "change", "expected"),
    [
        (k.DEPLOYMENTS, {"spec": {"selector": SELECTOR, "template": TEMPLATE}}, {"spec": {"selector": {"matchLabels": {"x": "y"}}, "template": {"metadata": {"labels": {"x": "y"}}}}}, ['spec.selector: Invalid value: {"matchLabels":{"app":"web","x":"y"}}: field is immutable']),
        (k.JOBS, {"spec": {"template": JOB_TEMPLATE}}, {"spec": {"completions": 5}}, ["spec.completions: Invalid value: 5: field is immutable"]),
        (k.JOBS, {"spec": {"template": JOB_TEMPLATE}}, {"spec": {"parallelism": 5, "suspend": True}}, []),
        (k.CONFIG_MAPS, {"immutable": True, "data": {"a": "b"}}, {"data": {"a": "c"}}, ["data: Forbidden: field is immutable when `immutable` is set"]),
        (k.SECRETS, {"data": {}}, {"type": "other"}, ['type: Invalid value: "other": field is immutable']),
        (k.PRIORITY_CLASSES, {"value": 1}, {"value": 2}, ["value: Forbidden: may not be changed in an update."]),
        (k.STORAGE_CLASSES, {"provisioner": "a/b"}, {"parameters": {"a": "b"}}, ["parameters: Forbidden: updates to parameters are forbidden."]),
        (k.PERSISTENT_VOLUME_CLAIMS, {"spec": CLAIM}, {"spec": {"volumeName": "v"}}, []),
        (k.NODES, {"spec": {"podCIDRs": ["10.0.0.0/24"]}}, {"spec": {"podCIDRs": ["10.0.1.0/24"]}}, ['spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid']),
        (k.ROLE_BINDINGS, {"roleRef": {"kind": "Role", "name": "a"}}, {"roleRef": {"name": "b"}}, ['roleRef: Invalid value: {"APIGroup":"rbac.authorization.k8s.io","Kind":"Role","Name":"b"}: cannot change roleRef']),
        (k.INGRESS_CLASSES, {"spec": {"controller": "a.io/b"}}, {"spec": {"controller": "a.io/c"}}, ['spec.controller: Invalid value: "a.io/c": field is immutable']),
    ],
)  # fmt: skip
def test_faults_of_a_change(kind: Kind, before: Obj, change: Obj, expected: list[str]) -> None:
    assert changed(kind, made(kind, **before), **change)[1] == expected


def test_a_selector_that_no_longer_selects_is_said_so_too() -> None:
    old = made(k.STATEFUL_SETS, spec={"selector": SELECTOR, "template": TEMPLATE})
    _, said = changed(k.STATEFUL_SETS, old, spec={"serviceName": "db"})
    assert said == [
        "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
        "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
    ]


def test_a_claim_grows_only_when_bound() -> None:
    old = made(k.PERSISTENT_VOLUME_CLAIMS, spec=CLAIM)
    larger = {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}
    assert changed(k.PERSISTENT_VOLUME_CLAIMS, old, **larger)[1][0].startswith(
        "spec: Forbidden: spec is immutable after creation"
    )
    old["status"] = {"phase": "Bound", "capacity": {"storage": "1Gi"}}
    old["spec"]["volumeName"] = "v"
    assert changed(k.PERSISTENT_VOLUME_CLAIMS, old, **larger)[1] == []


def test_finalizers_are_not_added_to_what_is_going() -> None:
    old = made(k.CONFIG_MAPS)
    old["metadata"] |= {"deletionTimestamp": "2026-01-02T03:04:05Z", "finalizers": ["a.io/x"]}
    _, said = changed(k.CONFIG_MAPS, old, metadata={"finalizers": ["a.io/x", "a.io/y"]})
    text = 'metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{"a.io/y"}'
    assert said == [text, text]  # once for all kinds, once by the kind's own rule


def test_a_stateful_set_may_mount_its_claims() -> None:
    mounting = CONTAINER | {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    template = {"metadata": {"labels": LABELS}, "spec": {"containers": [mounting]}}
    claims = [{"metadata": {"name": "data"}, "spec": CLAIM}]
    assert faults(k.STATEFUL_SETS, spec={"selector": SELECTOR, "template": template, "volumeClaimTemplates": claims}) == []
    assert faults(k.STATEFUL_SETS, spec={"selector": SELECTOR, "template": template}) == [
        'spec.template.spec.containers[0].volumeMounts[0].name: Not found: "data"'
    ]


def test_a_custom_resource_definition_is_checked() -> None:
    versions = [
        {
            "name": "v1",
            "served": True,
            "storage": True,
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {"a": {}}}},
        }
    ]
    spec = {"group": "example.com", "scope": "Namespaced", "names": {"plural": "ferries", "kind": "Ferry"}, "versions": versions}
    assert faults(k.CUSTOM_RESOURCE_DEFINITIONS, "boats.example.com", spec=spec) == [
        'metadata.name: Invalid value: "boats.example.com": must be spec.names.plural+"."+spec.group',
        "spec.validation.openAPIV3Schema.properties[a].type: Required value: must not be empty for specified object fields",
    ]


@pytest.mark.parametrize(
    ("schedule", "fault"),
    [
        ("*/5 0-6,12 1 jan-mar mon", ""),
        ("@hourly", ""),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("a * * * *", 'failed to parse int from a: strconv.Atoi: parsing "a": invalid syntax'),
        ("@sometimes", "unrecognized descriptor: @sometimes"),
    ],
)
def test_cron_schedules(schedule: str, fault: str) -> None:
    assert schedule_fault(schedule) == fault


def test_deprecated_kinds_and_annotations_warn() -> None:
    assert kind_warning(k.ENDPOINTS) == "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"
    assert kind_warning(k.PODS) == ""
    ingress = made(k.INGRESSES, spec={"defaultBackend": {"service": {"name": "a", "port": {"number": 80}}}})
    ingress["metadata"]["annotations"] = {"kubernetes.io/ingress.class": "nginx"}
    assert warnings_for(k.INGRESSES, ingress) == [
        "annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead"
    ]
