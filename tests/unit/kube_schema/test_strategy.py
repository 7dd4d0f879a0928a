"""What an update may touch, and when the generation rises."""

from __future__ import annotations

import pytest
from making import CONTAINER, SELECTOR, TEMPLATE, changed, made

from halab.cluster.kube import kinds as k
from halab.cluster.kube.types import Obj

DEPLOYMENT = {"selector": SELECTOR, "template": TEMPLATE}


@pytest.mark.parametrize(
    ("members", "generation"),
    [
        ({"spec": {"replicas": 3}}, 2),
        ({"metadata": {"annotations": {"a": "b"}}}, 2),
        ({"metadata": {"labels": {"a": "b"}}}, 1),
        ({"status": {"replicas": 3}}, 1),
        ({}, 1),
    ],
)
def test_the_generation_of_a_deployment(members: Obj, generation: int) -> None:
    new, faults = changed(k.DEPLOYMENTS, made(k.DEPLOYMENTS, spec=DEPLOYMENT), **members)
    assert new["metadata"]["generation"] == generation and not faults


def test_a_plain_update_leaves_the_status_alone_and_a_status_update_the_rest() -> None:
    old = made(k.DEPLOYMENTS, spec=DEPLOYMENT)
    both = {"spec": {"replicas": 5}, "status": {"replicas": 4}}
    new, _ = changed(k.DEPLOYMENTS, old, **both)
    assert new["spec"]["replicas"] == 5 and new["status"] == {}
    new, _ = changed(k.DEPLOYMENTS, old, "status", **both)
    assert new["spec"]["replicas"] == 1 and new["status"] == {"replicas": 4}


def test_what_the_server_set_cannot_be_changed() -> None:
    old = made(k.CONFIG_MAPS, data={"a": "b"})
    new, faults = changed(
        k.CONFIG_MAPS, old, metadata={"uid": "other", "creationTimestamp": None, "deletionTimestamp": "2026-01-01T00:00:00Z"}
    )
    assert new["metadata"] == old["metadata"] and not faults


def test_a_daemon_set_counts_the_changes_of_its_template() -> None:
    old = made(k.DAEMON_SETS, spec=DEPLOYMENT)
    key = "deprecated.daemonset.template.generation"
    assert old["metadata"]["annotations"] == {key: "1"}
    new, _ = changed(k.DAEMON_SETS, old, spec={"template": {"spec": {"containers": [CONTAINER | {"image": "b"}]}}})
    assert new["metadata"]["annotations"] == {key: "2"}
    same, _ = changed(k.DAEMON_SETS, old, spec={"minReadySeconds": 3})
    assert same["metadata"]["annotations"] == {key: "1"} and same["metadata"]["generation"] == 2


def service(**spec: object) -> Obj:
    addresses = {
        "clusterIP": "127.1.128.9",
        "clusterIPs": ["127.1.128.9"],
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
    }
    return made(k.SERVICES, spec={"ports": [{"port": 80}], **addresses, **spec})


def test_a_service_keeps_the_address_that_a_client_leaves_out() -> None:
    new, faults = changed(
        k.SERVICES, service(), spec={"clusterIP": None, "clusterIPs": None, "ipFamilies": None, "ipFamilyPolicy": None}
    )
    assert new["spec"]["clusterIPs"] == ["127.1.128.9"] and new["spec"]["ipFamilyPolicy"] == "SingleStack" and not faults


def test_a_service_that_becomes_a_name_gives_its_address_back() -> None:
    new, faults = changed(k.SERVICES, service(), spec={"type": "ExternalName", "externalName": "a.example"})
    assert "clusterIP" not in new["spec"] and "ipFamilies" not in new["spec"] and not faults


def test_a_service_that_is_no_longer_external_loses_its_node_ports() -> None:
    old = service(type="NodePort", ports=[{"port": 80, "nodePort": 30080}])
    new, faults = changed(k.SERVICES, old, spec={"type": "ClusterIP"})
    assert new["spec"]["ports"] == [{"port": 80, "targetPort": 80, "protocol": "TCP"}]
    assert "externalTrafficPolicy" not in new["spec"] and not faults


def test_a_node_port_that_is_left_out_is_kept() -> None:
    old = service(type="NodePort", ports=[{"port": 80, "nodePort": 30080}])
    new, _ = changed(k.SERVICES, old, spec={"ports": [{"port": 80, "targetPort": 8080}]})
    assert new["spec"]["ports"][0]["nodePort"] == 30080


def test_only_its_own_subresource_changes_ephemeral_containers() -> None:
    old = made(k.PODS, spec={"containers": [CONTAINER]})
    wanted = {"spec": {"ephemeralContainers": [{"name": "debug", "image": "busybox"}], "nodeName": "n"}}
    new, faults = changed(k.PODS, old, "ephemeralcontainers", **wanted)
    assert [c["name"] for c in new["spec"]["ephemeralContainers"]] == ["debug"] and "nodeName" not in new["spec"] and not faults
    new, _ = changed(k.PODS, old, **wanted)
    assert "ephemeralContainers" not in new["spec"]


def test_resize_changes_resources_only() -> None:
    old = made(k.PODS, spec={"containers": [CONTAINER]})
    bigger = CONTAINER | {"image": "other", "resources": {"requests": {"cpu": "1"}}}
    new, _ = changed(k.PODS, old, "resize", spec={"containers": [bigger]})
    assert new["spec"]["containers"][0]["image"] == CONTAINER["image"]
    assert new["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "1"}}


def test_app_armor_annotations_become_the_field() -> None:
    key = "container.apparmor.security.beta.kubernetes.io/main"
    pod = made(k.PODS, spec={"containers": [CONTAINER]})
    assert "securityContext" not in pod["spec"]["containers"][0]
    from halab.cluster.kube import strategy

    pod["metadata"]["annotations"] = {key: "unconfined"}
    strategy.prepare_create(k.PODS, pod)
    assert pod["spec"]["containers"][0]["securityContext"] == {"appArmorProfile": {"type": "Unconfined"}}


def test_fields_of_features_that_are_off_are_dropped_unless_they_are_stored_already() -> None:
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 2}}
    pods = {"spec": {"hostnameOverride": "h", "containers": [CONTAINER | {"lifecycle": {"stopSignal": "SIGUSR1"}}]}}
    template = {**TEMPLATE, "spec": {**TEMPLATE["spec"], **pods["spec"]}}
    found = made(
        k.STATEFUL_SETS, spec={"selector": SELECTOR, "template": template, "serviceName": "s", "updateStrategy": rolling}
    )
    assert found["spec"]["updateStrategy"]["rollingUpdate"] == {"partition": 0}
    assert "hostnameOverride" not in found["spec"]["template"]["spec"]
    assert "lifecycle" not in found["spec"]["template"]["spec"]["containers"][0]
    found["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"] = 2  # of a time when it was on
    new, _ = changed(
        k.STATEFUL_SETS, found, spec={"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 3}}}
    )
    assert new["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"] == 3
