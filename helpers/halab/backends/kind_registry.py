"""A registry beside a kind cluster: pushed to at localhost:PORT from this machine, pulled from by the same name in every node.

The program is halab's own, in an image built on the spot, so that none has to be pulled. How nodes and tools are told of it is kind's documented way
(https://kind.sigs.k8s.io/docs/user/local-registry/): containerd's hosts.toml on each node, and the ConfigMap local-registry-hosting (KEP-1755).
"""

from __future__ import annotations

import http.client
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import yaml

from halab.backends import gateway_image, kind_run, kubectl
from halab.backends.base import Report
from halab.errors import ClusterError, ImageError
from halab.images import api

LABEL = "io.halab.kind"  # whose registry it is: no other container is ever touched
NETWORK = "kind"
PORT = 5000  # inside
FIRST_PORT = 5001  # on this machine, or the first free one after it
ANSWER_SECONDS = 60.0
CERTS = "/etc/containerd/certs.d"
HELP = "https://kind.sigs.k8s.io/docs/user/local-registry/"


def container(cluster: str) -> str:
    return f"{cluster}-registry"


def ensure(cluster: str, port: int, report: Report) -> None:
    """Have it run on kind's network, reachable at localhost:``port``. Raises HalabError."""
    name = container(cluster)
    if found(cluster):
        kind_run.checked("docker", "start", name)
        return await_answer(name, port)
    _provide_image(report)
    report(f"starting a registry at localhost:{port}")
    publish = f"127.0.0.1:{port}:{PORT}"
    words = ("--restart", "unless-stopped", "--name", name, "--label", f"{LABEL}={cluster}", "--network", NETWORK, "-p", publish)
    try:
        kind_run.checked("docker", "run", "-d", *words, gateway_image.REGISTRY)
    except BaseException:
        remove(cluster)
        raise
    await_answer(name, port)


def await_answer(name: str, port: int) -> None:
    """Its program may not listen yet when its container runs, and the engine's port takes connections all the same. Raises ClusterError."""
    deadline = time.monotonic() + ANSWER_SECONDS
    while not answers(port):
        if time.monotonic() > deadline:
            raise ClusterError(f"the registry at localhost:{port}", "does not answer", f"see: docker logs {name}")
        time.sleep(0.1)  # nothing tells of a server that begins to listen


def answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/v2/")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def found(cluster: str) -> bool:
    """Whether the cluster has one, running or not. Raises ClusterError where a stranger has its name."""
    output = kind_run.checked(
        "docker", "ps", "-a", "--filter", f"name=^{container(cluster)}$", "--format", f'{{{{.Label "{LABEL}"}}}}'
    )
    lines = output.splitlines()
    if lines and lines[0].strip() != cluster:
        raise ClusterError(
            f"container {container(cluster)}",
            "exists, and halab did not make it",
            "remove or rename it, or go without --registry",
        )
    return bool(lines)


def _provide_image(report: Report) -> None:
    engine = api.engine("docker")
    try:
        engine.inspect(gateway_image.REGISTRY)
    except ImageError:
        with tempfile.TemporaryDirectory() as scratch:
            engine.load(gateway_image.build_registry(Path(scratch), report))


def hosts(cluster: str) -> str:
    """containerd's hosts.toml: where the name ``localhost:PORT`` leads inside a node."""
    return f'[host."http://{container(cluster)}:{PORT}"]\n'


def introduce(cluster: str, nodes: Iterable[kind_run.NodeContainer], port: int, kubeconfig: Path) -> None:
    """Tell every node and, by the ConfigMap, every tool. Nodes that came since are told too. Raises HalabError."""
    directory = f"{CERTS}/localhost:{port}"
    for node in nodes:
        if node.role in ("control-plane", "worker"):
            kind_run.checked("docker", "exec", node.id, "mkdir", "-p", directory)
            kind_run.checked("docker", "exec", "-i", node.id, "cp", "/dev/stdin", f"{directory}/hosts.toml", text=hosts(cluster))
    kubectl.apply(kubeconfig, yaml.safe_dump(config_map(port)))


def config_map(port: int) -> dict[str, object]:
    hosting = yaml.safe_dump({"host": f"localhost:{port}", "help": HELP})
    meta = {"name": "local-registry-hosting", "namespace": "kube-public"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"localRegistryHosting.v1": hosting}}


def stop(cluster: str) -> None:
    if found(cluster):
        kind_run.checked("docker", "stop", "--time", "2", container(cluster))


def remove(cluster: str) -> None:
    """With what was pushed to it."""
    if found(cluster):
        kind_run.checked("docker", "rm", "-f", "-v", container(cluster))
