"""The API server as a client feels it: over HTTPS, on keep-alive connections."""

from __future__ import annotations

import itertools
import statistics
import subprocess
import sys
import time

from benchmarks.measure import Api, Row, cluster, home, median, say, seconds
from halab.settings import ClusterConfig

CLIENTS = 8
SINGLE = 300
EACH = 250
PODS = 1000

_number = itertools.count()


def configmap(prefix: str) -> dict[str, object]:
    name = f"{prefix}-{next(_number)}"
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"key": "value"}}


def create() -> list[Row]:
    """ConfigMaps by one client, then by eight at once (each a process, so that the clients do not wait for one another)."""
    path = "/api/v1/namespaces/default/configmaps"
    with home(), cluster() as config:
        api = Api(config)
        for _ in range(50):
            api.call("POST", path, configmap("warm"))
        single = statistics.median(seconds(lambda: api.call("POST", path, configmap("one"))) for _ in range(SINGLE))
        read = median(lambda: api.call("GET", "/api/v1/namespaces/default"), SINGLE)
        rate = _rate(config)
    return [
        Row("get an object, one client, p50", read * 1000, "ms", None, runs=SINGLE),
        Row("create a ConfigMap, one client, p50", single * 1000, "ms", 3.0, runs=SINGLE),
        Row(f"create ConfigMaps, {CLIENTS} clients", rate, "/s", 800, better="higher", runs=CLIENTS * EACH),
    ]


def _rate(config: ClusterConfig) -> float:
    command = [sys.executable, "-m", "benchmarks.creator", str(config.directory), str(EACH)]
    clients = [
        subprocess.Popen([*command, str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) for number in range(CLIENTS)
    ]
    for client in clients:
        assert client.stdout is not None
        client.stdout.readline()  # connected, and waiting for the word
    began = time.perf_counter()
    for client in clients:
        assert client.stdin is not None
        client.stdin.write(b"go\n")
        client.stdin.flush()
    for client in clients:
        if client.wait():
            raise RuntimeError("a client failed")
    return CLIENTS * EACH / (time.perf_counter() - began)


def listing() -> list[Row]:
    """1,000 pods of 5 KB that no scheduler takes."""
    path = "/api/v1/namespaces/default/pods"
    with home(), cluster() as config:
        api = Api(config)
        say(f"creating {PODS} pods")
        for number in range(PODS):
            api.call("POST", path, _pod(number))
        size = len(api.call("GET", path)) / 1e6
        took = median(lambda: api.call("GET", path), 15)
    return [Row(f"list {PODS} pods ({size:.1f} MB JSON), p50", took * 1000, "ms", 60, runs=15)]


def _pod(number: int) -> dict[str, object]:
    metadata = {"name": f"pod-{number:04d}", "annotations": {"padding": "x" * 3600}, "labels": {"app": "list"}}
    container = {"name": "main", "image": "busybox:1.36", "command": ["sleep", "1"]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"schedulerName": "nobody", "containers": [container]},
    }
