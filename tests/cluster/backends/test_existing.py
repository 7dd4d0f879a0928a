"""Somebody's cluster: the course in one namespace, with the rights that were published and no others."""

from __future__ import annotations

import socket
import time
import urllib.request

import pytest

from halab import backends
from halab.backends import choice
from halab.backends.existing import Existing
from halab.errors import ClusterError, HalabError, UsageError
from halab.session import open_lab

from .conftest import Somebodys

pytestmark = pytest.mark.needs("kubectl", "nginx")
WEB = """
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  containers: [{name: web, image: "nginx:1.27", readinessProbe: {httpGet: {path: /, port: 80}, periodSeconds: 1}}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
"""


def quiet(_text: str) -> None:
    pass


def test_a_lab_is_done_with_the_published_rights_and_what_was_there_stays(somebodys: Somebodys, alice: Existing) -> None:
    somebodys.kubectl("-n", "alice", "create", "configmap", "of-the-teacher", "--from-literal=a=b")
    session = open_lab("02", cluster="class", quiet=True)
    assert session.namespace == "alice" and session.summary.backend == "existing"
    session.reset(quiet=True)
    session.solve()
    for task in session.definition.tasks:
        result = session.runner.check(task)
        assert result, str(result)
    session.reset(quiet=True)
    assert "of-the-teacher" in somebodys.kubectl("-n", "alice", "get", "configmaps")
    assert "halab-learner" in somebodys.kubectl("-n", "alice", "get", "rolebindings")


def test_a_service_s_door_serves_and_is_shut_while_no_pod_is_ready(somebodys: Somebodys, alice: Existing) -> None:
    somebodys.kubectl("-n", "alice", "apply", "-f", "-", text=WEB)
    somebodys.kubectl("-n", "alice", "wait", "pod/web", "--for=condition=Ready", "--timeout=30s")
    host, port = alice.service("alice", "web", 80)
    with urllib.request.urlopen(f"http://{host}:{port}/", timeout=10) as answer:
        assert answer.status == 200
    assert alice.service("alice", "web", 80) == (host, port)
    somebodys.kubectl("-n", "alice", "delete", "pod", "web", "--grace-period=0", "--force")
    deadline = time.monotonic() + 10
    while True:
        with socket.socket() as client:
            if client.connect_ex((host, port)) != 0:
                break
        assert time.monotonic() < deadline, "the door of a Service without endpoints is still open"
        time.sleep(0.05)
    somebodys.kubectl("-n", "alice", "delete", "service", "web")
    with pytest.raises(ClusterError, match="not found"):
        alice.pod("alice", "web", 80)


def test_faults_that_reach_beyond_the_namespace_are_refused(alice: Existing) -> None:
    controls = alice.controls()
    assert controls.shared and controls.powers == {"api"}
    for act in (
        lambda: controls.component("apiserver", "stop"),
        lambda: controls.node("node-1", {"cut_off": True}),
        lambda: controls.container("node-1", "alice", "web", "web", {"do": "signal"}),
    ):
        with pytest.raises(UsageError, match=r"others use this cluster|through the API"):
            act()


def test_missing_rights_are_named_with_the_way_to_get_them(somebodys: Somebodys) -> None:
    somebodys.kubectl("create", "namespace", "bare")
    stranger = Existing("stranger", {"kubeconfig": str(somebodys.learner), "namespace": "bare"})
    with pytest.raises(ClusterError, match=r"you may not: .*deployments\.apps.*halab role --namespace bare"):
        stranger.up(quiet)


def test_a_namespace_that_may_not_be_made_is_asked_for(somebodys: Somebodys) -> None:
    with pytest.raises(ClusterError, match="halab role --namespace nowhere"):
        Existing("stranger", {"kubeconfig": str(somebodys.learner), "namespace": "nowhere"}).up(quiet)


def test_down_removes_only_what_was_made(somebodys: Somebodys) -> None:
    made = Existing("made", {"kubeconfig": str(somebodys.admin), "namespace": "made-by-halab"})
    made.up(quiet)
    given = Existing("given", {"kubeconfig": str(somebodys.admin), "namespace": "default"})
    given.up(quiet)
    assert Existing("made").down(purge=False) and "made-by-halab" in somebodys.kubectl("get", "namespaces")
    assert Existing("made").down(purge=True) and Existing("given").down(purge=True)
    somebodys.kubectl("wait", "--for=delete", "namespace/made-by-halab", "--timeout=30s")
    assert "default" in somebodys.kubectl("get", "namespaces") and choice.read("made") is None


def test_a_cluster_that_does_not_answer_says_so(somebodys: Somebodys) -> None:
    document = somebodys.admin.read_text().replace(":6443", ":6499")
    file = somebodys.learner.with_name("dead.yaml")
    file.write_text(document)
    with pytest.raises(HalabError, match="does not answer"):
        Existing("dead", {"kubeconfig": str(file), "namespace": "x"}).up(quiet)


def test_connect_knows_what_was_chosen(alice: Existing) -> None:
    assert isinstance(backends.connect("class"), Existing)
