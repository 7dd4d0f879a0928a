"""Which pods a Service's door leads to, where images go, what a learner is granted."""

from typing import Any

import pytest
import yaml

from halab.backends import gateway, rights, ways
from halab.backends.doors import places
from halab.backends.existing import loader_of, parse_ingress
from halab.errors import UsageError


def endpoint(name: str, **conditions: bool) -> dict[str, Any]:
    return {"addresses": ["10.0.0.1"], "conditions": conditions, "targetRef": {"kind": "Pod", "name": name, "uid": "u"}}


def piece(*endpoints: dict[str, Any], name: str = "") -> dict[str, Any]:
    return {"ports": [{"name": name, "port": 80, "protocol": "TCP"}], "endpoints": list(endpoints)}


def test_only_ready_pods_take_connections() -> None:
    assert places([piece(endpoint("a", ready=True), endpoint("b", ready=False))], "") == [("a", 80, "u")]


def test_terminating_pods_that_serve_are_the_last_resort() -> None:
    assert places([piece(endpoint("a", ready=False, serving=True, terminating=True))], "") == [("a", 80, "u")]
    assert places([piece(endpoint("a", ready=False, serving=False))], "") == []


def test_ports_are_told_apart_by_name() -> None:
    assert places([piece(endpoint("a", ready=True), name="admin")], "http") == []


def test_well_known_local_clusters_are_known_by_their_context() -> None:
    assert loader_of("kind-demo") == "kind load image-archive {archive} --name demo"
    assert loader_of("minikube").startswith("minikube image load") and loader_of("arn:aws:eks") == ""


def test_an_ingress_address_has_ports_or_the_usual_ones() -> None:
    assert parse_ingress("192.0.2.7") == ("192.0.2.7", 80) and parse_ingress("h:8080:8443", tls=True) == ("h", 8443)
    with pytest.raises(UsageError):
        parse_ingress("h:http")


def test_the_published_role_is_for_one_namespace_and_grants_nothing_cluster_wide_but_looking() -> None:
    documents = list(yaml.safe_load_all(rights.manifests("alice", "al")))
    assert {doc["metadata"].get("namespace", "alice") for doc in documents} == {"alice"}
    (wide,) = [doc for doc in documents if doc["kind"] == "ClusterRole"]
    assert {verb for rule in wide["rules"] for verb in rule["verbs"]} <= {"get", "list", "watch"}
    (role,) = [doc for doc in documents if doc["kind"] == "Role"]
    assert not any("*" in rule[key] for rule in role["rules"] for key in ("verbs", "resources", "apiGroups"))


def test_the_gateway_s_manifests_are_filled_in() -> None:
    documents = list(yaml.safe_load_all(gateway.manifests("127.0.0.1", http=8081, https=8444, replicas=3)))
    (deployment,) = [doc for doc in documents if doc["kind"] == "Deployment"]
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    assert deployment["spec"]["replicas"] == 3 and container["image"] == "halab-gateway:1"
    assert {item["name"]: item["value"] for item in container["env"]} == {
        "HALAB_PUBLISHED": "127.0.0.1",
        "HALAB_HTTP": "8081",
        "HALAB_HTTPS": "8444",
    }
    assert deployment["spec"]["template"]["spec"]["nodeSelector"] == {}  # somebody's cluster: wherever it fits


def test_on_kind_the_ways_in_and_the_metrics_are_where_no_worker_s_loss_takes_them_along() -> None:
    documents = [*yaml.safe_load_all(gateway.manifests("127.0.0.1", on_control_plane=True))]
    documents += yaml.safe_load_all((gateway.MANIFESTS / "metrics-server.yaml").read_text())
    for deployment in (doc for doc in documents if doc["kind"] == "Deployment"):
        pod = deployment["spec"]["template"]["spec"]
        assert pod["nodeSelector"] == {gateway.CONTROL_PLANE: ""}
        assert pod["tolerations"] == [{"key": gateway.CONTROL_PLANE, "operator": "Exists", "effect": "NoSchedule"}]


def test_why_metrics_do_not_come_is_told_in_the_cluster_s_words() -> None:
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "x"'}}
    assert gateway.waiting_reasons({"status": {"containerStatuses": [{"state": waiting}]}}) == [
        'ImagePullBackOff: Back-off pulling image "x"'
    ]
    condition = {"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"}
    assert gateway.waiting_reasons({"status": {"conditions": [condition]}}) == ["0/1 nodes are available"]


NODE = {"status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.5"}, {"type": "ExternalIP", "address": "192.0.2.5"}]}}


def test_a_service_is_found_from_outside_at_its_load_balancer_or_node_ports_only() -> None:
    port = {"port": 80, "nodePort": 30080}
    plain: dict[str, Any] = {"spec": {"type": "ClusterIP", "clusterIP": "10.96.0.7"}, "status": {"loadBalancer": {}}}
    assert ways.outside(plain, port, [NODE]) == []
    exposed = {"spec": {"type": "NodePort"}}
    assert ways.outside(exposed, port, [NODE]) == [("192.0.2.5", 30080), ("10.0.0.5", 30080)]
    balanced = {"spec": {"type": "LoadBalancer"}, "status": {"loadBalancer": {"ingress": [{"hostname": "lb.example"}]}}}
    assert ways.outside(balanced, port, [])[0] == ("lb.example", 80)


def test_addresses_of_the_inside_are_for_those_who_run_inside_of_that_very_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert not ways.inside("https://kubernetes.default.svc")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    assert ways.inside("https://10.96.0.1:443") and ways.inside("https://kubernetes.default.svc")
    assert not ways.inside("https://another.example:6443")
