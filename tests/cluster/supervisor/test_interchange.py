"""Components are clients of the API: each can be left out, and ours work at another API server given by a kubeconfig."""

from __future__ import annotations

import asyncio
import http.client
import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cluster.api_process import Server
from cluster.bare_cluster import free_number, make
from halab.aio.processes import die_with_parent
from halab.cluster.client.client import Client
from halab.cluster.kube.kinds import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, DEPLOYMENTS, PODS, REPLICA_SETS, SERVICE_ACCOUNTS
from halab.cluster.supervisor.components import plan
from halab.settings import KUBELET_PORT, ClusterConfig

LABELS = {"app": "web"}
TEMPLATE = {
    "metadata": {"labels": LABELS},
    "spec": {"containers": [{"name": "m", "image": "busybox:1.36", "command": ["sh", "-c", "echo hello; exec sleep 1000"]}]},
}
DEPLOYMENT = {"metadata": {"name": "web"}, "spec": {"replicas": 2, "selector": {"matchLabels": LABELS}, "template": TEMPLATE}}


def test_a_component_that_is_left_out_is_not_planned() -> None:
    names = {component.name for component in plan(["node-1"], ["scheduler", "nodes", "dataplane"])}
    assert names == {"apiserver", "controllers"}
    assert [part.module for part in plan([], ["controllers", "dataplane"])[-1].parts] == ["halab.cluster.scheduler.main"]
    assert [component.name for component in plan(["n"], ["controllers", "scheduler", "nodes", "dataplane"])] == ["apiserver"]


async def test_controllers_scheduler_and_a_node_agent_work_at_another_api_server(tmp_path: Path) -> None:
    (theirs, first), (ours, second) = free_number(), free_number()
    server = Server(make(tmp_path / "theirs", theirs, ("node-1",)))
    own = make(tmp_path / "ours", ours, ("node-1",))
    started: list[subprocess.Popen[bytes]] = []
    try:
        server.start()
        access = ["--kubeconfig", str(server.config.kubeconfig)]
        node = ["--config", str(own.directory / "cluster.json"), "--node", "node-1"]
        for name, arguments in (("controllers", access), ("scheduler", access), ("node", [*node, *access])):
            started.append(start(name, arguments, tmp_path))
        client = server.client()
        await client.create(DEPLOYMENTS, DEPLOYMENT, "default")
        async with asyncio.timeout(60):
            await until(client, PODS, lambda pods: [pod["status"].get("phase") for pod in pods] == ["Running", "Running"])
            pods, _ = await client.list(PODS, "default")
            assert all(pod["status"]["podIP"].startswith(f"127.{ours}.1.") for pod in pods)
            name = pods[0]["metadata"]["name"]
            if shutil.which("kubectl"):
                assert await kubectl(server, "logs", name) == "hello\n"
                assert await kubectl(server, "exec", name, "--", "echo", "from", "inside") == "from inside\n"
            await only_who_may_is_answered(server, own, client)
            await client.delete(DEPLOYMENTS, "web", "default")
            await until(client, REPLICA_SETS, lambda sets: not sets)
        client.close()
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(20)
        server.stop()
        first.close()
        second.close()


async def kubectl(server: Server, *words: str) -> str:
    command = ["kubectl", "--kubeconfig", str(server.config.kubeconfig), *words]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


async def only_who_may_is_answered(server: Server, own: ClusterConfig, client: Client) -> None:
    """The agent asks the API server that it has joined who somebody is, and what they may do."""
    context = ssl.create_default_context(cafile=str(own.ca_file))

    def ask(token: str, path: str = "/pods") -> int:
        connection = http.client.HTTPSConnection(own.addresses.kubelet(0), KUBELET_PORT, context=context, timeout=10)
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        status = connection.getresponse().status
        connection.close()
        return status

    account = {"metadata": {"name": "reader", "namespace": "default"}}
    await client.create(SERVICE_ACCOUNTS, account)
    made = await client.create(SERVICE_ACCOUNTS, {"spec": {}}, "default", name="reader", subresource="token")
    token = made["status"]["token"]
    assert await asyncio.to_thread(ask, "") == 401
    assert await asyncio.to_thread(ask, "nonsense") == 401
    assert await asyncio.to_thread(ask, token, "/stats/summary") == 403
    assert await asyncio.to_thread(ask, server.config.tokens["admin"]) == 200
    rule = {"apiGroups": [""], "resources": ["nodes/pods"], "verbs": ["get"]}
    await client.create(CLUSTER_ROLES, {"metadata": {"name": "reads-kubelets"}, "rules": [rule]})
    subject = {"kind": "ServiceAccount", "name": "reader", "namespace": "default"}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "reads-kubelets"}
    await client.create(CLUSTER_ROLE_BINDINGS, {"metadata": {"name": "reads-kubelets"}, "subjects": [subject], "roleRef": role})
    assert await asyncio.to_thread(ask, token) == 200


def start(name: str, arguments: list[str], folder: Path) -> subprocess.Popen[bytes]:
    parent = os.getpid()
    with (folder / f"{name}.log").open("wb") as log:
        command = [sys.executable, "-m", f"halab.cluster.{name}", *arguments]
        return subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=lambda: die_with_parent(parent))


async def until(client: Client, kind: Any, done: Callable[[list[dict[str, Any]]], bool]) -> None:
    items, version = await client.list(kind, "default")
    found = {item["metadata"]["name"]: item for item in items}
    if done(list(found.values())):
        return
    async for event, item in client.watch(kind, "default", version):
        found.pop(item["metadata"]["name"], None)
        if event != "DELETED":
            found[item["metadata"]["name"]] = item
        if done(list(found.values())):
            return
