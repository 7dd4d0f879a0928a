"""Pods on a real node: their lives, what they see, what is told of them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from halab.cluster.kube.kinds import CONFIG_MAPS, PODS, RUNTIME_CLASSES, SECRETS
from halab.cluster.supervisor import manage

from .conftest import FOREVER, SECONDS, Space, condition, container_status


def processes(marker: str) -> list[int]:
    """Processes whose command line contains ``marker``."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if marker.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


async def vanished(path: Path) -> None:
    for _ in range(200):
        if not path.exists():
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{path} is still there")


async def test_a_pod_runs_and_its_program_sees_its_world(space: Space) -> None:
    command = "hostname; env | grep ^WHO; cat /cfg/k; ls /var/run/secrets/kubernetes.io/serviceaccount; id -u; echo $$"
    await space.client.create(CONFIG_MAPS, {"metadata": {"name": "c"}, "data": {"k": "value\n"}}, space.name)
    await space.create(
        command=command,
        container={
            "env": [{"name": "WHO", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
            "volumeMounts": [{"name": "c", "mountPath": "/cfg"}],
        },
        volumes=[{"name": "c", "configMap": {"name": "c"}}],
        restartPolicy="Never",
    )
    pod = await space.until(lambda pod: pod["status"].get("phase") == "Succeeded")
    lines = (await space.log()).splitlines()
    assert lines[:7] == ["p", "WHO=p", "value", "ca.crt", "namespace", "token", "0"]
    assert pod["status"]["hostIP"].startswith(space.config.addresses.prefix)


async def test_a_killed_container_is_back_at_once_and_then_waits(space: Space) -> None:
    marker = f"sleep 9{os.getpid()}.5"
    await space.create(command=f"exec {marker}")
    await space.ready()
    begin = time.monotonic()
    for pid in processes(marker.replace(" ", "\0")):
        os.kill(pid, signal.SIGKILL)
    pod = await space.until(lambda pod: container_status(pod)["restartCount"] == 1 and container_status(pod)["ready"])
    assert time.monotonic() - begin < 2
    assert container_status(pod)["lastState"]["terminated"]["exitCode"] == 137
    for pid in processes(marker.replace(" ", "\0")):
        os.kill(pid, signal.SIGKILL)
    pod = await space.until(lambda pod: "waiting" in container_status(pod)["state"])
    uid = pod["metadata"]["uid"]
    assert container_status(pod)["state"]["waiting"] == {
        "reason": "CrashLoopBackOff",
        "message": f"back-off 10s restarting failed container=main pod=p_{space.name}({uid})",
    }


async def test_a_config_map_volume_follows_its_map(space: Space) -> None:
    await space.client.create(CONFIG_MAPS, {"metadata": {"name": "c"}, "data": {"k": "one\n"}}, space.name)
    await space.create(
        command="cat /cfg/k; while ! grep -q two /cfg/k; do sleep 0.05; done; cat /cfg/k",
        container={"volumeMounts": [{"name": "c", "mountPath": "/cfg"}]},
        volumes=[{"name": "c", "configMap": {"name": "c"}}],
        restartPolicy="Never",
    )
    await space.until(lambda pod: pod["status"].get("phase") == "Running")
    await space.client.patch(CONFIG_MAPS, "c", space.name, {"data": {"k": "two\n"}})
    await space.until(lambda pod: pod["status"].get("phase") == "Succeeded")
    assert await space.log() == "one\ntwo\n"


async def test_a_volume_that_cannot_be_had_keeps_the_pod_waiting_until_it_can(space: Space) -> None:
    await space.create(
        container={"volumeMounts": [{"name": "s", "mountPath": "/s"}]}, volumes=[{"name": "s", "secret": {"secretName": "late"}}]
    )
    expected = ("FailedMount", 'MountVolume.SetUp failed for volume "s" : secret "late" not found')
    await space.told(*expected)
    pod = await space.client.get(PODS, "p", space.name)
    assert container_status(pod)["state"] == {"waiting": {"reason": "ContainerCreating"}}
    await space.client.create(SECRETS, {"metadata": {"name": "late"}, "stringData": {"k": "v"}}, space.name)
    await space.ready()


async def test_the_grace_can_be_cut_short_by_a_second_deletion(space: Space) -> None:
    await space.create(command="trap '' TERM; while :; do sleep 0.1; done", terminationGracePeriodSeconds=60)
    await space.ready()
    await space.client.delete(PODS, "p", space.name)
    begin = time.monotonic()
    await space.client.delete(PODS, "p", space.name, grace_period_seconds=1)
    await space.gone()
    assert time.monotonic() - begin < 8


async def test_sidecars_end_after_the_containers_they_serve(space: Space) -> None:
    await space.create(
        command="trap 'echo main; sleep 0.5; exit 0' TERM; while :; do sleep 0.1; done",
        container={"volumeMounts": [{"name": "w", "mountPath": "/w"}]},
        initContainers=[
            {
                "name": name,
                "image": "busybox:1.36",
                "restartPolicy": "Always",
                "command": ["sh", "-c", f"trap 'echo {name} >> /w/log; exit 0' TERM; while :; do sleep 0.05; done"],
                "volumeMounts": [{"name": "w", "mountPath": "/w"}],
            }
            for name in ("first", "second")
        ],
        volumes=[{"name": "w", "emptyDir": {}}],
        terminationGracePeriodSeconds=10,
        meta={"finalizers": ["example.com/hold"]},
    )
    pod = await space.ready()
    volume = (
        space.config.node_directory(pod["spec"]["nodeName"])
        / "pods"
        / pod["metadata"]["uid"]
        / "volumes/kubernetes.io~empty-dir/w"
    )
    await space.client.delete(PODS, "p", space.name)
    pod = await space.until(lambda pod: "terminated" in container_status(pod)["state"])
    assert (volume / "log").read_text() == "second\nfirst\n"
    assert pod["status"]["phase"] == "Succeeded"
    await space.client.patch(PODS, "p", space.name, {"metadata": {"finalizers": None}})
    await space.gone()
    await vanished(volume)


async def test_a_program_over_its_memory_limit_is_oom_killed(space: Space) -> None:
    code = "x=[]\nwhile 1: x.append(bytearray(1<<20))"
    await space.create(
        container={"image": "python:3.12-slim", "command": ["python3", "-c", code], "resources": {"limits": {"memory": "64Mi"}}},
        restartPolicy="Never",
    )
    pod = await space.until(lambda pod: pod["status"].get("phase") == "Failed")
    ended = container_status(pod)["state"]["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)


@pytest.mark.parametrize("handler", ["httpGet", "tcpSocket"])
async def test_readiness_follows_the_server_and_liveness_restarts_it(space: Space, handler: str) -> None:
    action: dict[str, Any] = {"port": 8080} | ({"path": "/"} if handler == "httpGet" else {})
    probe = {handler: action, "periodSeconds": 1, "failureThreshold": 1}
    await space.create(
        command="mkdir -p /www; echo hi > /www/index.html; [ -e /w/again ] || { touch /w/again; timeout 2 httpd -f -p 8080 -h /www; exec sleep 60; }; exec httpd -f -p 8080 -h /www",
        container={
            "readinessProbe": probe,
            "livenessProbe": {**probe, "initialDelaySeconds": 1},
            "volumeMounts": [{"name": "w", "mountPath": "/w"}],
        },
        volumes=[{"name": "w", "emptyDir": {}}],
    )
    await space.ready()
    pod = await space.until(lambda pod: container_status(pod)["restartCount"] == 1 and condition(pod, "Ready") == "True")
    assert container_status(pod)["lastState"]["terminated"]["exitCode"] in (137, 143)
    reasons = await space.events()
    assert ("Killing", "Container main failed liveness probe, will be restarted") in reasons
    assert any(reason == "Unhealthy" and "connect: connection refused" in message for reason, message in reasons)


async def test_an_unknown_image_says_what_there_is(space: Space) -> None:
    await space.create(container={"image": "nginx-typo:9"})
    pod = await space.until(lambda pod: container_status(pod)["state"].get("waiting", {}).get("reason") == "ImagePullBackOff")
    assert 'Back-off pulling image "nginx-typo:9": ErrImagePull: ' in container_status(pod)["state"]["waiting"]["message"]
    assert pod["status"]["phase"] == "Pending"


async def test_statistics_are_measured(space: Space) -> None:
    await space.create(command="while :; do :; done")
    await space.ready()
    path = f"/apis/metrics.k8s.io/v1beta1/namespaces/{space.name}/pods/p"
    for _ in range(100):
        status, _, body = await space.client.request("GET", path)
        if status == 200 and json.loads(body)["containers"][0]["usage"]["cpu"] not in ("0", "0n"):
            break
        await asyncio.sleep(0.1)
    usage = json.loads(body)["containers"][0]["usage"]
    assert usage["cpu"].endswith("n")
    assert int(usage["cpu"][:-1]) > 10_000_000


SERVER = """
import http.server, os
class Echo(http.server.BaseHTTPRequestHandler):
    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.send_response(302 if self.path == "/old" else 200)
        if self.path == "/old": self.send_header("location", "/new")
        self.end_headers()
        self.wfile.write(f"{self.command} {self.path} ".encode() + body if self.command != "HEAD" else b"")
    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer
http.server.HTTPServer(("", 8080), Echo).serve_forever()
"""


async def test_a_pods_server_is_asked_through_the_api_by_every_method(space: Space) -> None:
    await space.create(
        container={"image": "python:3.12", "command": ["python3", "-c", SERVER], "readinessProbe": {"tcpSocket": {"port": 8080}}}
    )
    await space.ready()
    base = f"/api/v1/namespaces/{space.name}/pods/p:8080/proxy"
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        body = b"x" if method in ("POST", "PUT", "PATCH") else None
        status, _, found = await space.client.request(method, f"{base}/a/b", query={"q": "1"}, body=body)
        assert (status, found) == (200, f"{method} /a/b?q=1 ".encode() + (body or b""))
    places = {}
    for path in ("", "/old"):
        status, headers, _ = await space.client.request("GET", base + path)
        places[path] = (status, dict(headers).get("location"))
    assert places == {"": (301, f"{base}/"), "/old": (302, f"{base}/new")}


ECHO = """
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("", 8081))
open("/tmp/bound", "w")
while True:
    data, sender = server.recvfrom(100)
    server.sendto(data + sender[0].encode(), sender)
"""


async def test_datagrams_of_the_data_plane_are_answered(space: Space) -> None:
    """Envoy sends them from the machine's localhost, which is another than the pod's."""
    await space.create(
        container={
            "image": "python:3.12",
            "command": ["python3", "-c", ECHO],
            "readinessProbe": {"exec": {"command": ["test", "-e", "/tmp/bound"]}, "periodSeconds": 1},
        }
    )
    pod = await space.ready()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(SECONDS)
        client.sendto(b"from ", (pod["status"]["podIP"], 8081))
        answer, _ = await asyncio.to_thread(client.recvfrom, 100)
    assert answer.decode() == f"from {space.config.addresses.prefix}.0.2"


async def test_a_runtime_class_that_the_node_does_not_have_keeps_the_pod_waiting(space: Space) -> None:
    name = f"vm-{space.name}"
    await space.client.create(
        RUNTIME_CLASSES, {"metadata": {"name": name}, "handler": "vm", "overhead": {"podFixed": {"cpu": "10m"}}}
    )
    try:
        pod = await space.create(runtimeClassName=name)
        assert pod["spec"]["overhead"] == {"cpu": "10m"}
        problem = 'rpc error: code = Unknown desc = failed to get sandbox runtime: no runtime for "vm" is configured'
        await space.told("FailedCreatePodSandBox", f"Failed to create pod sandbox: {problem}")
    finally:
        await space.client.delete(RUNTIME_CLASSES, name)


async def test_a_node_tells_its_logs_and_metrics_through_the_api(space: Space) -> None:
    pod = await space.create(command=f"echo hello; {FOREVER}")
    pod = await space.ready()
    base = f"/api/v1/nodes/{pod['spec']['nodeName']}/proxy"
    uid = pod["metadata"]["uid"]
    status, _, page = await space.client.request("GET", f"{base}/logs/pods/")
    assert (status, f'<a href="{space.name}_p_{uid}/">' in page.decode()) == (200, True)
    _, _, log = await space.client.request("GET", f"{base}/logs/pods/{space.name}_p_{uid}/main/0.log")
    assert log.endswith(b" stdout F hello\n")
    for page_of, name in (
        ("", "kubelet_running_pods"),
        ("/resource", "node_cpu_usage_seconds_total"),
        ("/cadvisor", "machine_cpu_cores"),
    ):
        status, _, text = await space.client.request("GET", f"{base}/metrics{page_of}")
        assert (status, f"# TYPE {name} " in text.decode()) == (200, True)
    _, _, text = await space.client.request("GET", f"{base}/metrics/resource")
    assert f'container_memory_working_set_bytes{{container="main",namespace="{space.name}",pod="p"}} ' in text.decode()


async def test_after_the_agents_restart_its_pods_run_again(space: Space) -> None:
    await space.create(command=f"echo up; {FOREVER}")
    node = (await space.ready())["spec"]["nodeName"]
    manage.component("default", f"node-agent/{node}", "restart")
    pod = await space.until(lambda pod: container_status(pod)["restartCount"] == 1 and condition(pod, "Ready") == "True")
    ended = container_status(pod)["lastState"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (255, "Unknown")
    assert await space.log() == "up\n"
    assert await space.log(previous="true") == "up\n"


async def test_a_program_that_hears_no_signal_is_given_its_grace_unless_a_controller_waits_for_it(space: Space) -> None:
    deaf = {"command": ["sleep", "600"]}
    owner = await space.client.create(
        CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner"}}, space.name
    )
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"], "controller": True}
    await space.create("bare", container=deaf, terminationGracePeriodSeconds=600)
    await space.create("owned", container=deaf, meta={"ownerReferences": [reference]}, terminationGracePeriodSeconds=600)
    for name in ("bare", "owned"):
        await space.ready(name)
        await space.client.delete(PODS, name, space.name)
    await space.gone("owned")
    await space.told("Killing", "Stopping container main", "bare")
    assert "running" in container_status(await space.client.get(PODS, "bare", space.name))["state"]
    await space.client.delete(PODS, "bare", space.name, grace_period_seconds=0)


async def test_resources_change_in_place_or_by_a_restart_as_the_policy_says(space: Space) -> None:
    def resources(memory: str) -> dict[str, dict[str, str]]:
        return {"requests": {"cpu": "10m", "memory": memory}, "limits": {"cpu": "100m", "memory": memory}}

    policy = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]
    await space.create(container={"resources": resources("32Mi"), "resizePolicy": policy})
    await space.ready()

    async def resize(wanted: dict[str, dict[str, str]]) -> None:
        patch = {"spec": {"containers": [{"name": "main", "resources": wanted}]}}
        await space.client.patch(PODS, "p", space.name, patch, type="strategic", subresource="resize")

    await resize({"requests": {"cpu": "20m"}})
    pod = await space.until(lambda found: container_status(found)["resources"]["requests"]["cpu"] == "20m")
    assert container_status(pod)["restartCount"] == 0
    await resize(resources("48Mi"))
    pod = await space.until(lambda found: container_status(found)["restartCount"] == 1)
    assert container_status(pod)["resources"]["limits"]["memory"] == "48Mi"
    await space.told("Killing", "Container main resize requires restart")
    await resize({"requests": {"cpu": "900"}, "limits": {"cpu": "900"}})
    await space.until(lambda found: condition(found, "PodResizePending") == "True")
    await resize(resources("48Mi"))
    await space.until(lambda found: condition(found, "PodResizePending") == "")
