"""What is wrong with pods, in Kubernetes' words and order."""

from __future__ import annotations

import pytest
from making import CONTAINER, changed, faults, made, pod_faults

from halab.cluster.kube import kinds as k
from halab.cluster.kube.types import Obj
from halab.cluster.kube.validation import warnings_for

LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an "
    "alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)


def container_faults(**members: object) -> list[str]:
    return pod_faults(containers=[CONTAINER | members])


def test_a_plain_pod_is_fine() -> None:
    assert pod_faults() == []


def test_faults_come_in_the_order_of_kubernetes() -> None:
    containers = [
        {"name": "Main", "image": "b", "imagePullPolicy": "Sometimes", "ports": [{"containerPort": 70000}, {"name": "a-very-long-port-name", "containerPort": 80, "protocol": "ICMP"}]},
        {"name": "side", "image": ""},
        {"name": "side", "image": "b"},
    ]  # fmt: skip
    assert pod_faults(containers=containers) == [
        f'spec.containers[0].name: Invalid value: "Main": {LABEL}',
        "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
        'spec.containers[0].ports[1].name: Invalid value: "a-very-long-port-name": must be no more than 15 characters',
        'spec.containers[0].ports[1].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"',
        'spec.containers[0].imagePullPolicy: Unsupported value: "Sometimes": supported values: "Always", "IfNotPresent", "Never"',
        "spec.containers[1].image: Required value",
        'spec.containers[2].name: Duplicate value: "side"',
    ]


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        ({"containers": []}, "spec.containers: Required value"),
        ({"restartPolicy": "Maybe"}, 'spec.restartPolicy: Unsupported value: "Maybe": supported values: "Always", "OnFailure", "Never"'),
        ({"dnsPolicy": "None"}, "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"),
        ({"activeDeadlineSeconds": 0}, "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"),
        ({"hostname": "a.b"}, 'spec.hostname: Invalid value: "a.b": must not contain dots'),
        ({"preemptionPolicy": "X"}, 'spec.preemptionPolicy: Unsupported value: "X": supported values: "PreemptLowerPriority", "Never"'),
        ({"tolerations": [{"operator": "Equal"}]}, 'spec.tolerations[0].operator: Invalid value: "Equal": operator must be Exists when `key` is empty, which means "match all values and all keys"'),
        ({"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]}, "spec.tolerations[0].operator: Invalid value: \"b\": value must be empty when `operator` is 'Exists'"),
        ({"schedulingGates": [{"name": "a"}, {"name": "a"}]}, 'spec.schedulingGates[1]: Duplicate value: "a"'),
        ({"hostAliases": [{"ip": "x"}]}, 'spec.hostAliases[0].ip: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'),
        ({"ephemeralContainers": [{"name": "e", "image": "b"}]}, None),
        ({"schedulingGates": [{"name": "a"}], "nodeName": "n"}, "spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"),
        ({"initContainers": [{"name": "main", "image": "b"}]}, 'spec.initContainers[0].name: Duplicate value: "main"'),
        ({"initContainers": [{"name": "i", "image": "b", "restartPolicy": "Never"}]}, 'spec.initContainers[0].restartPolicy: Unsupported value: "Never": supported values: "Always"'),
        ({"securityContext": {"runAsUser": -1}}, "spec.securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive"),
        ({"securityContext": {"seccompProfile": {"type": "Localhost"}}}, "spec.securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost"),
        ({"os": {"name": "plan9"}}, 'spec.os: Unsupported value: "plan9": supported values: "linux", "windows"'),
    ],
)  # fmt: skip
def test_a_fault_of_the_spec(spec: Obj, fault: str | None) -> None:
    assert pod_faults(**spec) == ([fault] if fault else [])


@pytest.mark.parametrize(
    ("members", "fault"),
    [
        ({"livenessProbe": {}}, "livenessProbe: Required value: must specify a handler type"),
        ({"livenessProbe": {"exec": {"command": ["x"]}, "httpGet": {"port": 1}}}, "livenessProbe.httpGet: Forbidden: may not specify more than 1 handler type"),
        ({"startupProbe": {"tcpSocket": {"port": 0}}}, "startupProbe.tcpSocket.port: Invalid value: 0: must be between 1 and 65535, inclusive"),
        ({"livenessProbe": {"tcpSocket": {"port": 1}, "successThreshold": 2}}, "livenessProbe.successThreshold: Invalid value: 2: must be 1"),
        ({"readinessProbe": {"tcpSocket": {"port": 1}, "terminationGracePeriodSeconds": 1}}, "readinessProbe.terminationGracePeriodSeconds: Invalid value: 1: must not be set for readinessProbes"),
        ({"readinessProbe": {"httpGet": {"port": "http port!"}}}, 'readinessProbe.httpGet.port: Invalid value: "http port!": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)'),
        ({"lifecycle": {"preStop": {"sleep": {"seconds": 31}}}}, "lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than terminationGracePeriodSeconds (30)"),
        ({"restartPolicy": "Always"}, "restartPolicy: Forbidden: may not be set for non-init containers"),
        ({"env": [{"name": "A=B"}]}, "env[0].name: Invalid value: \"A=B\": a valid environment variable name must consist only of printable ASCII characters other than '='"),
        ({"env": [{"name": "A", "value": "1", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}, 'env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty'),
        ({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.replicas"}}}]}, 'env[0].valueFrom.fieldRef.fieldPath: Invalid value: "spec.replicas": error converting fieldPath: field label not supported: spec.replicas'),
        ({"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "500m"}}}, 'resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 500m'),
        ({"resources": {"requests": {"memory": "-1Mi"}}}, 'resources.requests[memory]: Invalid value: "-1Mi": must be greater than or equal to 0'),
        ({"volumeMounts": [{"name": "none", "mountPath": "/a"}]}, 'volumeMounts[0].name: Not found: "none"'),
        ({"securityContext": {"procMount": "Unmasked"}}, 'securityContext.procMount: Invalid value: "Unmasked": `hostUsers` must be false to use `Unmasked`'),
        ({"terminationMessagePolicy": "X"}, 'terminationMessagePolicy: Unsupported value: "X": supported values: "File", "FallbackToLogsOnError"'),
    ],
)  # fmt: skip
def test_a_fault_of_a_container(members: Obj, fault: str) -> None:
    assert container_faults(**members) == [f"spec.containers[0].{fault}"]


@pytest.mark.parametrize(
    ("volume", "fault"),
    [
        ({"hostPath": {"path": "/../x"}}, "hostPath.path: Invalid value: \"/../x\": must not contain '..'"),
        ({"secret": {}}, "secret.secretName: Required value"),
        ({"configMap": {"name": "c", "defaultMode": 999}}, "configMap.defaultMode: Invalid value: 999: must be a number between 0 and 0777 (octal), both inclusive"),
        ({"emptyDir": {}, "nfs": {"server": "s", "path": "/"}}, "nfs: Forbidden: may not specify more than 1 volume type"),
        ({"persistentVolumeClaim": {}}, "persistentVolumeClaim.claimName: Required value"),
        ({"downwardAPI": {"items": [{"path": "p"}]}}, "downwardAPI: Required value: one of fieldRef and resourceFieldRef is required"),
        ({"configMap": {"name": "c", "items": [{"key": "k", "path": "../p"}]}}, "configMap.items[0].path: Invalid value: \"../p\": must not contain '..'"),
    ],
)  # fmt: skip
def test_a_fault_of_a_volume(volume: Obj, fault: str) -> None:
    assert pod_faults(volumes=[{"name": "v"} | volume]) == [f"spec.volumes[0].{fault}"]


def test_names_of_metadata() -> None:
    assert faults(k.PODS, "A", spec={"containers": [CONTAINER]})[0].startswith(
        'metadata.name: Invalid value: "A": a lowercase RFC 1123 subdomain'
    )
    pod = made(k.PODS, spec={"containers": [CONTAINER]})
    from halab.cluster.kube import validation

    pod["metadata"] |= {
        "labels": {"bad key!": "v"},
        "finalizers": ["x"],
        "ownerReferences": [{"kind": "A", "name": "a", "uid": "u"}],
    }
    said = [str(e) for e in validation.validate_create(k.PODS, pod)]
    assert [text.split(":")[0] for text in said] == [
        "metadata.labels",
        "metadata.ownerReferences.apiVersion",
        "metadata.finalizers[0]",
    ]


def test_a_pod_changes_its_image_and_little_else() -> None:
    old = made(k.PODS, spec={"containers": [CONTAINER], "tolerations": [{"key": "a", "operator": "Exists"}]})
    new, said = changed(k.PODS, old, spec={"containers": [old["spec"]["containers"][0] | {"image": "other"}]})
    assert said == [] and new["metadata"]["generation"] == 2
    _, said = changed(k.PODS, old, spec={"restartPolicy": "Never"})
    assert said[0].startswith("spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,")
    assert '- \tRestartPolicy: "Always",\n+ \tRestartPolicy: "Never",' in said[0]
    _, said = changed(k.PODS, old, spec={"containers": [CONTAINER, CONTAINER | {"name": "b"}]})
    assert said == ["spec.containers: Forbidden: pod updates may not add or remove containers"]
    _, said = changed(k.PODS, old, spec={"tolerations": []})
    assert said == ["spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"]


def test_a_gated_pod_may_be_told_more_about_where_to_go() -> None:
    old = made(k.PODS, spec={"containers": [CONTAINER], "schedulingGates": [{"name": "wait"}]})
    assert old["status"]["conditions"][0]["reason"] == "SchedulingGated"
    new, said = changed(k.PODS, old, spec={"schedulingGates": None, "nodeSelector": {"a": "b"}})
    assert said == [] and "conditions" not in new["status"]
    _, said = changed(k.PODS, old, spec={"schedulingGates": [{"name": "other"}]})
    assert said == ["spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'other'"]


def test_a_container_that_ended_for_good_does_not_run_again() -> None:
    old = made(k.PODS, spec={"containers": [CONTAINER], "restartPolicy": "Never"})
    old["status"]["containerStatuses"] = [{"name": "main", "state": {"terminated": {"exitCode": 0}}}]
    _, said = changed(k.PODS, old, "status", status={"containerStatuses": [{"name": "main", "state": {"running": {}}}]})
    assert said == ["status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"]


@pytest.mark.parametrize(
    ("spec", "warning"),
    [
        ({"nodeSelector": {"beta.kubernetes.io/os": "linux"}}, 'spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead'),
        ({"containers": [CONTAINER | {"env": [{"name": "A"}, {"name": "A"}]}]}, 'spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply'),
        ({"imagePullSecrets": [{"name": ""}]}, 'spec.imagePullSecrets[0].name: invalid empty name ""'),
        ({"containers": [CONTAINER | {"resources": {"limits": {"memory": "1500m"}}}]}, 'spec.containers[0].resources.limits[memory]: fractional byte value "1500m" is invalid, must be an integer'),
    ],
)  # fmt: skip
def test_warnings(spec: Obj, warning: str) -> None:
    assert warning in warnings_for(k.PODS, made(k.PODS, spec={"containers": [CONTAINER], **spec}))


def test_what_a_pod_asks_for_as_a_whole_is_enough_for_its_containers() -> None:
    container = CONTAINER | {"resources": {"requests": {"cpu": "600m", "memory": "1Gi"}, "limits": {"cpu": "3"}}}
    second = CONTAINER | {"name": "second", "resources": {"requests": {"cpu": "600m"}}}
    whole = {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}}
    assert faults(k.PODS, spec={"containers": [container, second], "resources": whole}) == [
        'spec.resources.requests[cpu]: Invalid value: "1": must be greater than or equal to aggregate container requests of 1200m',
        'spec.resources.containers[0][cpu].limits: Invalid value: "3": must be less than or equal to pod limits of 2',
    ]
    whole = {"requests": {"cpu": "1200m"}, "limits": {"cpu": "3"}}
    assert faults(k.PODS, spec={"containers": [container, second], "resources": whole}) == []
