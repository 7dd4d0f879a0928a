"""The objects that come back: what Kubernetes fills in."""

from __future__ import annotations

import pytest
from making import CONTAINER, LABELS, SELECTOR, TEMPLATE, made

from halab.cluster.kube import kinds as k
from halab.cluster.kube.defaulting.pods import pull_policy
from halab.cluster.kube.qos import quality_of_service

DEFAULTED_CONTAINER = CONTAINER | {
    "resources": {}, "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File", "imagePullPolicy": "IfNotPresent",
}  # fmt: skip
DEFAULTED_SPEC = {
    "containers": [DEFAULTED_CONTAINER], "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst",
    "securityContext": {}, "schedulerName": "default-scheduler",
}  # fmt: skip


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1.22", "IfNotPresent"),
        ("registry.example:5000/nginx", "Always"),
        ("registry.example:5000/nginx:2", "IfNotPresent"),
        ("nginx@sha256:" + "a" * 64, "IfNotPresent"),
        ("nginx:latest@sha256:" + "a" * 64, "Always"),
        ("", "IfNotPresent"),
    ],
)
def test_the_pull_policy_follows_the_tag(image: str, policy: str) -> None:
    assert pull_policy(image) == policy


def test_a_deployment_gets_its_strategy_and_limits() -> None:
    assert made(k.DEPLOYMENTS, spec={"selector": SELECTOR, "template": TEMPLATE}) | {"metadata": {}} == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {},
        "spec": {
            "replicas": 1,
            "selector": SELECTOR,
            "template": {"metadata": {"labels": LABELS}, "spec": DEFAULTED_SPEC},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
            "revisionHistoryLimit": 10,
            "progressDeadlineSeconds": 600,
        },
        "status": {},
    }


def test_only_a_pod_itself_gets_requests_from_its_limits() -> None:
    limited = CONTAINER | {"resources": {"limits": {"cpu": "0.5", "memory": "1024Mi"}}}
    pod = made(k.PODS, spec={"containers": [limited]})
    assert pod["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "500m", "memory": "1Gi"}
    assert pod["spec"]["enableServiceLinks"] is True and pod["metadata"]["generation"] == 1
    template = made(
        k.REPLICA_SETS,
        spec={"selector": SELECTOR, "template": {"metadata": {"labels": LABELS}, "spec": {"containers": [limited]}}},
    )
    assert "requests" not in template["spec"]["template"]["spec"]["containers"][0]["resources"]


def test_resources_are_rounded_up_to_a_thousandth() -> None:
    pod = made(k.PODS, spec={"containers": [CONTAINER | {"resources": {"requests": {"cpu": "100u"}}}]})
    assert pod["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "1m"}


def test_host_ports_follow_the_host_network() -> None:
    container = CONTAINER | {"ports": [{"containerPort": 80}]}
    pod = made(k.PODS, spec={"containers": [container], "hostNetwork": True})
    assert pod["spec"]["containers"][0]["ports"] == [{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}]


def test_probes_hooks_and_references_are_filled_in() -> None:
    container = CONTAINER | {
        "readinessProbe": {"httpGet": {"port": 80}}, "livenessProbe": {"grpc": {"port": 9}, "periodSeconds": 3},
        "lifecycle": {"preStop": {"httpGet": {"port": "http"}}}, "env": [{"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
    }  # fmt: skip
    got = made(k.PODS, spec={"containers": [container]})["spec"]["containers"][0]
    thresholds = {"timeoutSeconds": 1, "successThreshold": 1, "failureThreshold": 3}
    assert got["readinessProbe"] == {"httpGet": {"port": 80, "path": "/", "scheme": "HTTP"}, "periodSeconds": 10} | thresholds
    assert got["livenessProbe"] == {"grpc": {"port": 9, "service": ""}, "periodSeconds": 3} | thresholds
    assert got["lifecycle"]["preStop"]["httpGet"]["scheme"] == "HTTP"
    assert got["env"][0]["valueFrom"]["fieldRef"]["apiVersion"] == "v1"


def test_volumes_get_their_modes_and_a_bare_one_is_an_empty_directory() -> None:
    volumes = [{"name": "a"}, {"name": "b", "secret": {"secretName": "s"}}, {"name": "c", "hostPath": {"path": "/"}},
               {"name": "d", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]  # fmt: skip
    got = made(k.PODS, spec={"containers": [CONTAINER], "volumes": volumes})["spec"]["volumes"]
    assert got[0] == {"name": "a", "emptyDir": {}}
    assert got[1]["secret"]["defaultMode"] == 420 and got[2]["hostPath"]["type"] == ""
    assert got[3]["projected"] == {
        "defaultMode": 420,
        "sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}}],
    }


@pytest.mark.parametrize(
    ("resources", "quality"),
    [
        ({}, "BestEffort"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
        ({"limits": {"cpu": "1"}}, "Burstable"),
        ({"requests": {"memory": "1Gi"}}, "Burstable"),
        ({"requests": {"cpu": "0", "example.com/gpu": "1"}, "limits": {"example.com/gpu": "1"}}, "BestEffort"),
    ],
)
def test_quality_of_service(resources: dict[str, dict[str, str]], quality: str) -> None:
    pod = made(k.PODS, spec={"containers": [CONTAINER | {"resources": resources}]})
    assert quality_of_service(pod) == pod["status"]["qosClass"] == quality


def test_a_job_selects_its_pods_by_its_uid() -> None:
    job = made(k.JOBS, spec={"template": {"spec": {"restartPolicy": "Never", "containers": [CONTAINER]}}})
    uid = job["metadata"]["uid"]
    labels = {
        "controller-uid": uid,
        "batch.kubernetes.io/controller-uid": uid,
        "job-name": "x",
        "batch.kubernetes.io/job-name": "x",
    }
    assert job["spec"]["template"]["metadata"]["labels"] == job["metadata"]["labels"] == labels
    assert job["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    assert (job["spec"]["completions"], job["spec"]["parallelism"], job["spec"]["backoffLimit"]) == (1, 1, 6)
    assert job["spec"]["podReplacementPolicy"] == "TerminatingOrFailed"


def test_a_work_queue_job_has_no_completions() -> None:
    job = made(k.JOBS, spec={"parallelism": 3, "template": {"spec": {"restartPolicy": "Never", "containers": [CONTAINER]}}})
    assert "completions" not in job["spec"] and job["spec"]["parallelism"] == 3


def test_services_by_type() -> None:
    plain = made(k.SERVICES, spec={"ports": [{"port": 80}], "sessionAffinity": "ClientIP"})["spec"]
    assert plain["ports"] == [{"port": 80, "targetPort": 80, "protocol": "TCP"}]
    assert plain["sessionAffinityConfig"] == {"clientIP": {"timeoutSeconds": 10800}}
    assert plain["internalTrafficPolicy"] == "Cluster" and "externalTrafficPolicy" not in plain
    balanced = made(k.SERVICES, spec={"ports": [{"port": 80}], "type": "LoadBalancer"})["spec"]
    assert balanced["allocateLoadBalancerNodePorts"] is True and balanced["externalTrafficPolicy"] == "Cluster"
    named = made(k.SERVICES, spec={"type": "ExternalName", "externalName": "a.example"})["spec"]
    assert named == {"type": "ExternalName", "externalName": "a.example", "sessionAffinity": "None"}


def test_other_kinds_get_theirs() -> None:
    assert made(k.SECRETS, stringData={"a": "new"}, data={"a": "b2xk"})["data"] == {"a": "bmV3"}
    assert made(k.NAMESPACES, "shop") | {"metadata": {}} == {
        "apiVersion": "v1", "kind": "Namespace", "metadata": {}, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"},
    }  # fmt: skip
    assert made(k.NAMESPACES, "shop")["metadata"]["labels"] == {"kubernetes.io/metadata.name": "shop"}
    assert made(k.STORAGE_CLASSES, provisioner="a/b")["volumeBindingMode"] == "Immediate"
    assert made(k.PRIORITY_CLASSES, value=5)["preemptionPolicy"] == "PreemptLowerPriority"
    assert made(k.NETWORK_POLICIES, spec={"podSelector": {}, "egress": [{}]})["spec"]["policyTypes"] == ["Ingress", "Egress"]
    binding = made(k.ROLE_BINDINGS, roleRef={"kind": "Role", "name": "r"}, subjects=[{"kind": "User", "name": "u"}])
    assert binding["roleRef"]["apiGroup"] == binding["subjects"][0]["apiGroup"] == "rbac.authorization.k8s.io"
    limits = made(k.LIMIT_RANGES, spec={"limits": [{"type": "Container", "max": {"cpu": "2"}, "min": {"memory": "1Mi"}}]})[
        "spec"
    ]["limits"][0]
    assert limits["default"] == {"cpu": "2"} and limits["defaultRequest"] == {"cpu": "2", "memory": "1Mi"}
    definition = made(
        k.CUSTOM_RESOURCE_DEFINITIONS,
        spec={"names": {"plural": "ferries", "kind": "Ferry"}, "versions": [{"name": "v1", "storage": True}]},
    )
    assert definition["spec"]["names"]["listKind"] == "FerryList" and definition["status"]["storedVersions"] == ["v1"]


def test_an_autoscaler_fills_in_the_rules_that_it_is_not_given() -> None:
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    spec = made(k.HORIZONTAL_POD_AUTOSCALERS, spec={"maxReplicas": 3, "scaleTargetRef": reference, "behavior": {}})["spec"]
    assert spec["minReplicas"] == 1 and spec["metrics"][0]["resource"]["target"]["averageUtilization"] == 80
    assert spec["behavior"]["scaleDown"] == {
        "selectPolicy": "Max",
        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
    }
    assert spec["behavior"]["scaleUp"]["stabilizationWindowSeconds"] == 0


def test_a_stateful_set_types_its_claim_templates() -> None:
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    made_set = made(k.STATEFUL_SETS, spec={"selector": SELECTOR, "template": TEMPLATE, "volumeClaimTemplates": [claim]})
    got = made_set["spec"]["volumeClaimTemplates"][0]
    assert (got["kind"], got["spec"]["volumeMode"], got["status"]) == (
        "PersistentVolumeClaim",
        "Filesystem",
        {"phase": "Pending"},
    )
    assert made_set["status"] == {"replicas": 0, "availableReplicas": 0}
    assert made_set["spec"]["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}
