"""``halab up --runtime docker``: pods as containers of a real engine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.homes import at_home

from halab.backends.embedded import Embedded
from halab.images.api import Request
from halab.images.docker_engine import DockerEngine
from halab.images.embedded import EmbeddedEngine

from .runtime import Containers, cluster, pod

pytestmark = pytest.mark.needs("dockerd", "kubectl", "nginx", "busybox")


@pytest.fixture(scope="module")
def shared(dockerd: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containers]:
    with cluster(dockerd, tmp_path_factory.mktemp("runtime") / "home") as found:
        yield found


@pytest.fixture(scope="module")
def web(shared: Containers) -> Containers:
    """Three replicas of nginx behind a Service and an Ingress."""
    container = {
        "name": "nginx",
        "image": "nginx:1.22",
        "readinessProbe": {"httpGet": {"path": "/", "port": 80}, "periodSeconds": 1},
        "resources": {"limits": {"memory": "64Mi", "cpu": "500m"}},
    }
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}}
    spec = {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    rule = {"host": "web.test", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
    shared.apply(
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web"},
            "spec": {"type": "NodePort", "selector": {"app": "web"}, "ports": [{"port": 80}]},
        },
        {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "web"}, "spec": {"rules": [rule]}},
    )
    shared.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    return shared


def names(found: Containers) -> list[str]:
    return found.kubectl("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[*].metadata.name}").split()


def test_a_deployment_is_containers_and_its_service_node_port_and_ingress_lead_there(web: Containers) -> None:
    assert len(web.own("label=io.kubernetes.container.name=nginx", "status=running")) == 3
    service = web.get("service", "web")["spec"]
    assert "Welcome to nginx!" in web.http(service["clusterIP"])
    assert "Welcome to nginx!" in web.http(web.config.addresses.node(0), service["ports"][0]["nodePort"])
    assert "Welcome to nginx!" in web.http(web.config.addresses.ingress, host="web.test")
    assert web.http(web.config.addresses.ingress, host="other.test").startswith("404")


def test_pods_find_services_by_name_and_the_api_by_its_own(web: Containers) -> None:
    web.apply(pod("asker", "sleep 1000"))
    web.ready("asker")
    assert "Welcome to nginx!" in web.kubectl("exec", "asker", "--", "wget", "-qO-", "http://web")
    found = web.kubectl("exec", "asker", "--", "nslookup", "kubernetes.default.svc.cluster.local")
    assert web.config.addresses.kubernetes_service in found
    web.kubectl("exec", "asker", "--", "sh", "-c", "echo | nc -w 3 kubernetes 443")


def test_the_containers_of_a_pod_share_localhost_and_volumes_and_start_in_order(shared: Containers) -> None:
    found = pod("together", "cat /shared/first; while sleep 1; do :; done")
    volume = {"name": "shared", "mountPath": "/shared"}
    first = {
        "name": "first",
        "image": "busybox:1.36",
        "command": ["sh", "-c", "echo from-init > /shared/first"],
        "volumeMounts": [volume],
    }
    beside = {
        "name": "beside",
        "image": "busybox:1.36",
        "restartPolicy": "Always",
        "command": ["nc", "-ll", "-p", "9000", "-e", "hostname"],
    }
    found["spec"] |= {"initContainers": [first, beside], "volumes": [{"name": "shared", "emptyDir": {}}]}
    found["spec"]["containers"][0]["volumeMounts"] = [volume]
    shared.apply(found)
    shared.ready("together")
    assert shared.until(lambda: shared.kubectl("logs", "together", "-c", "main")) == "from-init\n"
    said = shared.until(lambda: shared.kubectl("exec", "together", "-c", "main", "--", "sh", "-c", "nc 127.0.0.1 9000 || true"))
    assert said.strip() == "together"


def test_logs_exec_attach_and_statistics_are_those_of_the_container(shared: Containers) -> None:
    listening = {"stdin": True, "stdinOnce": True}
    shared.apply(
        pod("hearer", "echo begin; while read line; do echo got $line; done", container=listening, restartPolicy="Never")
    )
    shared.ready("hearer")
    assert "got hello" in shared.kubectl("attach", "-i", "hearer", stdin="hello\n")
    assert shared.kubectl("logs", "hearer", "--since=1h") == "begin\ngot hello\n"
    shared.apply(pod("talker", "while sleep 1; do :; done"))
    shared.ready("talker")
    assert shared.kubectl("exec", "-i", "talker", "--", "cat", stdin="through and back") == "through and back"
    assert "exit code 3" in shared.kubectl("exec", "talker", "--", "sh", "-c", "exit 3", fails=True)
    assert "executable file not found" in shared.kubectl("exec", "talker", "--", "no-such-program", fails=True)
    assert "talker" in shared.until(lambda: shared.kubectl("top", "pod", "talker", "--no-headers"))


def test_a_terminal_has_the_clients_size(shared: Containers) -> None:
    shared.apply(pod("terminal", "sleep 1000"))
    shared.ready("terminal")
    kubectl = f"kubectl --kubeconfig {shared.config.kubeconfig}"
    script = f"stty rows 33 cols 99; {kubectl} exec -it terminal -- sh -c 'until stty size | grep 33; do :; done'"
    done = subprocess.run(["script", "-qec", script, "/dev/null"], capture_output=True, text=True, timeout=60)
    assert "33 99" in done.stdout, done.stdout


def test_port_forward_reaches_what_listens_on_the_pods_localhost_alone(web: Containers) -> None:
    served = "mkdir /www; echo only here > /www/index.html; exec httpd -f -p 127.0.0.1:8000 -h /www"
    web.apply(pod("inward", served))
    web.ready("inward")
    command = ["kubectl", "--kubeconfig", str(web.config.kubeconfig), "port-forward", "pod/inward", ":8000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as forwarding:
        assert forwarding.stdout is not None
        port = int(forwarding.stdout.readline().split("->")[0].rpartition(":")[2])
        try:
            assert web.http("127.0.0.1", port) == "200 only here\n"
        finally:
            forwarding.terminate()


def test_a_killed_container_is_restarted_and_its_former_log_kept(shared: Containers) -> None:
    shared.apply(pod("mortal", "echo life; sleep 1000"))
    shared.ready("mortal")
    identity = shared.status("mortal")["containerID"].removeprefix("docker://")
    shared.docker("kill", identity)
    status = shared.until(lambda: (found := shared.status("mortal"))["restartCount"] == 1 and found["ready"] and found)
    assert status["lastState"]["terminated"]["exitCode"] == 137
    assert status["lastState"]["terminated"]["reason"] == "Error"
    assert shared.kubectl("logs", "-p", "mortal") == "life\n"


def test_a_pod_whose_sandbox_somebody_removed_is_made_anew(shared: Containers) -> None:
    shared.apply(pod("homeless", "while sleep 1; do :; done"))
    shared.ready("homeless")
    filters = ("label=io.kubernetes.pod.name=homeless", "label=io.halab.role=sandbox")
    shared.docker("rm", "-f", *shared.own(*filters))
    shared.until(lambda: (found := shared.status("homeless"))["restartCount"] == 1 and found["ready"])
    assert "SandboxChanged" in shared.kubectl("get", "events", "--field-selector", "involvedObject.name=homeless")
    assert len(shared.own(*filters)) == 1


def test_a_rollout_replaces_containers_and_can_be_undone(web: Containers) -> None:
    before = set(names(web))
    web.kubectl("set", "env", "deployment/web", "GREETING=hello")
    web.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    web.until(lambda: not before & set(names(web)))
    assert web.kubectl("exec", names(web)[0], "--", "sh", "-c", "echo $GREETING") == "hello\n"
    web.kubectl("rollout", "undo", "deployment/web")
    web.kubectl("rollout", "status", "deployment/web", "--timeout=60s")


def test_a_claimed_volume_outlives_its_pod(shared: Containers) -> None:
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    shared.apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": claim})
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    mounts = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    shared.apply(pod("writer", "echo kept > /data/file; sleep 1000", container=mounts, volumes=volumes))
    shared.ready("writer")
    shared.kubectl("delete", "pod", "writer", "--now")
    shared.apply(pod("reader", "cat /data/file; sleep 1000", container=mounts, volumes=volumes))
    shared.ready("reader")
    assert shared.until(lambda: shared.kubectl("logs", "reader")) == "kept\n"


def test_what_is_not_ready_gets_no_requests(shared: Containers) -> None:
    probe = {"exec": {"command": ["test", "-e", "/tmp/ready"]}, "periodSeconds": 1, "failureThreshold": 1}
    shared.apply(
        pod("shy", "while sleep 1; do :; done", container={"readinessProbe": probe}),
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "shy"},
            "spec": {"selector": {"app": "shy"}, "ports": [{"port": 80}]},
        },
    )

    def serving() -> str:
        return shared.kubectl(
            "get", "endpointslices", "-l", "kubernetes.io/service-name=shy", "-o", "jsonpath={..endpoints[*].conditions.ready}"
        )

    shared.until(lambda: serving() == "false" and shared.status("shy").get("started"))
    shared.kubectl("exec", "shy", "--", "touch", "/tmp/ready")
    shared.until(lambda: serving() == "true")


def test_beyond_its_memory_limit_a_container_is_oom_killed(shared: Containers) -> None:
    if "Memory Limit" in shared.docker("info"):
        pytest.skip("this engine may not limit memory here (docker info says so)")
    limits = {"resources": {"limits": {"memory": "20Mi"}}}
    shared.apply(pod("greedy", "x=a; while true; do x=$x$x; done", container=limits, restartPolicy="Never"))
    ended = shared.until(lambda: shared.status("greedy").get("state", {}).get("terminated"))
    assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)


def test_images_of_either_builder_are_found_and_others_are_the_engines_refusal(shared: Containers, tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text('FROM busybox:1.36\nRUN echo built > /made\nCMD ["sh", "-c", "cat /made; sleep 1000"]\n')
    EmbeddedEngine(shared.home).build(Request(context, tags=("ours:1",)), lambda _: None)
    DockerEngine(shared.host).build(Request(context, tags=("theirs:1",)), lambda _: None)
    for name in ("ours", "theirs"):
        container = {"image": f"{name}:1", "imagePullPolicy": "Never", "command": None}
        shared.apply(pod(name, "", container=container))
        shared.ready(name)
        assert shared.until(partial(shared.kubectl, "logs", name)) == "built\n"
    shared.apply(pod("stranger", "true", image="nowhere.test/no/such:1"))
    reason = shared.until(lambda: (shared.status("stranger").get("state") or {}).get("waiting", {}).get("message", ""))
    assert "nowhere.test" in reason


def test_a_program_that_cannot_start_is_told_in_the_runtimes_words(shared: Containers) -> None:
    found = pod("wrong", "", restartPolicy="Never")
    found["spec"]["containers"][0]["command"] = ["no-such-program"]
    shared.apply(found)
    ended = shared.until(lambda: shared.status("wrong").get("state", {}).get("terminated"))
    assert ended["reason"] == "StartError"
    assert 'exec: "no-such-program": executable file not found in $PATH' in ended["message"]


def test_a_node_that_is_switched_off_takes_its_containers_along_and_nobody_elses(shared: Containers) -> None:
    stranger = shared.docker(
        "run", "-d", "--network", "none", "--name", "k8s_main_stranger", "busybox:1.36", "sleep", "1000"
    ).strip()
    node = {"nodeName": "node-2"}
    shared.apply(pod("there", "while sleep 1; do :; done", **node), pod("here", "while sleep 1; do :; done", nodeName="node-1"))
    shared.ready("there", "here")
    with at_home(shared.home):
        controls = Embedded("default").controls()
        controls.component("node/node-2", "stop")
    assert shared.own("label=io.halab.node=node-2") == []
    assert shared.own("label=io.kubernetes.pod.name=here", "status=running")
    assert shared.docker("ps", "-q", "--no-trunc", "--filter", f"id={stranger}").strip() == stranger
    with at_home(shared.home):
        controls.component("node/node-2", "start")
    shared.until(lambda: (found := shared.status("there"))["restartCount"] == 1 and found["ready"])
    shared.docker("rm", "-f", stranger)


def test_a_killed_supervisor_and_the_other_clusters_down_leave_what_they_should(
    shared: Containers, dockerd: str, tmp_path: Path
) -> None:
    mine = set(shared.own())
    # Somebody's: it has a cluster's name and looks in on its network, and is none of its business.
    forged = ("--label", "io.halab.cluster=default", "--label", "io.halab.role=container")
    shared.docker("volume", "create", *forged, "somebodys")
    with cluster(dockerd, tmp_path / "home", nodes=1) as other:
        other.apply(pod("inhabitant", "while sleep 1; do :; done"))
        other.ready("inhabitant")
        network = f"halab-default-{other.config.number}"
        shared.docker("run", "-d", "--network", network, "--name", "somebodys", *forged, "busybox:1.36", "sleep", "1000")
        assert other.config.number != shared.config.number and not mine & set(other.own())
        with at_home(other.home):
            os.kill(json.loads((other.config.directory / "running.json").read_text())["supervisor"], signal.SIGKILL)
        other.until(lambda: not other.own())
    assert shared.docker("inspect", "--format", "{{.State.Status}}", "somebodys").strip() == "running"
    shared.docker("rm", "-f", "somebodys")
    shared.docker("volume", "rm", "somebodys")
    networks = shared.docker("network", "ls", "--format", "{{.Name}}").split()
    assert [name for name in networks if name.startswith("halab-")] == [f"halab-default-{shared.config.number}"]
    assert mine <= set(shared.own())
