"""What a learner waits for: replicas that become Ready, a crashed container that serves again, a request through a Service."""

from __future__ import annotations

import http.client
import os
import signal
import statistics
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.measure import Api, Row, cluster, home, kubectl, ready, seconds
from halab.settings import ClusterConfig

APPLIES = 7
KILLS = 5
REQUESTS = 2000

MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {name: web, image: "nginx:1.22", ports: [{containerPort: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80}]
"""
PODS = "/api/v1/namespaces/default/pods?labelSelector=app%3Dweb"


def apply() -> list[Row]:
    """From `kubectl apply` of three nginx replicas to the third Ready; the images' layers are there already, as after any first use."""
    took = []
    with home(), cluster() as config:
        api = Api(config)

        def once() -> None:
            kubectl(config, "apply", "-f", "-", stdin=MANIFEST)
            api.wait(PODS, lambda pods: sum(ready(pod) for pod in pods.values()) == 3)

        once()
        for _ in range(APPLIES):
            kubectl(config, "delete", "deployment,service", "web", "--wait")
            while api.get(PODS)["items"]:
                time.sleep(0.02)
            took.append(seconds(once))
    return [Row("kubectl apply of 3 replicas to 3 Ready", statistics.median(took), "s", 0.6, runs=APPLIES)]


def restart() -> list[Row]:
    """SIGKILL for the main process of a pod's only container, until the pod answers HTTP again. A fresh pod each time: no back-off."""
    took = []
    with home(), cluster() as config:
        api = Api(config)
        for _ in range(KILLS):
            kubectl(config, "apply", "-f", "-", stdin=MANIFEST)
            api.wait(PODS, lambda pods: len(_fresh(pods.values())) == 3)
            address = _fresh(api.get(PODS)["items"])[0]["status"]["podIP"]
            for pid in _listeners(address, config.port(80)):
                with suppress(ProcessLookupError):  # a worker ends with its process 1
                    os.kill(pid, signal.SIGKILL)
            took.append(seconds(lambda: _until_served(address, config.port(80))))  # noqa: B023
            _require_restart(api, address)
            kubectl(config, "delete", "deployment,service", "web", "--wait")
    return [Row("a killed container serves again (first restart)", statistics.median(took), "s", 0.5, runs=KILLS)]


def _fresh(pods: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The pods that are Ready and not about to go (those of the round before may still be)."""
    return [pod for pod in pods if ready(pod) and "deletionTimestamp" not in pod["metadata"]]


def _require_restart(api: Api, address: str) -> None:
    """A measurement of a container that was never killed would look splendid."""

    def restarted(pods: dict[str, dict[str, Any]]) -> bool:
        statuses = [pod["status"] for pod in pods.values() if pod.get("status", {}).get("podIP") == address]
        return any(one.get("restartCount", 0) == 1 for status in statuses for one in status.get("containerStatuses", []))

    api.wait(PODS, restarted, timeout=10)


def _listeners(address: str, port: int) -> list[int]:
    """The processes that listen on this address: a server and its workers."""
    wanted = f"{''.join(f'{int(part):02X}' for part in reversed(address.split('.')))}:{port:04X}"
    inodes = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1] == wanted and fields[3] == "0A":
            inodes.add(f"socket:[{fields[9]}]")
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if any(str(link.readlink()) in inodes for link in (entry / "fd").iterdir()):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def _until_served(address: str, port: int) -> None:
    while True:
        connection = http.client.HTTPConnection(address, port, timeout=1)
        try:
            connection.request("GET", "/")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.002)
        finally:
            connection.close()


def service() -> list[Row]:
    """GET through the Service's address against GET of one of its pods, in turns, each on a keep-alive connection."""
    with home(), cluster() as config:
        api = Api(config)
        kubectl(config, "apply", "-f", "-", stdin=MANIFEST)
        api.wait(PODS, lambda pods: sum(ready(pod) for pod in pods.values()) == 3)
        pod = api.get(PODS)["items"][0]["status"]["podIP"]
        address = api.get("/api/v1/namespaces/default/services/web")["spec"]["clusterIP"]
        _until_served(address, config.port(80))
        direct, through = _in_turns(config, pod, address)
    return [
        Row("a request to a pod, p50", direct * 1000, "ms", None, runs=REQUESTS),
        Row("what a Service adds to it, p50", (through - direct) * 1000, "ms", 0.3, runs=REQUESTS),
    ]


def _in_turns(config: ClusterConfig, *addresses: str) -> tuple[float, float]:
    connections = [http.client.HTTPConnection(address, config.port(80), timeout=10) for address in addresses]
    took: list[list[float]] = [[] for _ in connections]
    for _ in range(REQUESTS):
        for connection, times in zip(connections, took, strict=True):
            began = time.perf_counter()
            connection.request("GET", "/")
            connection.getresponse().read()
            times.append(time.perf_counter() - began)
    first, second = (statistics.median(times) for times in took)
    return first, second
