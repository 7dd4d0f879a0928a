"""Whoever changes the pods of the widgets' benchmark: a process of its own, so that it is not counted with what is measured.

``python -m benchmarks.changer CLUSTER PODS NODES RATE SECONDS``: makes the pods, says so, waits for a line, changes them, and prints
``{number: Unix time at which the change was sent}``. Each change is written into a pod as its count of restarts, where it can be seen.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.measure import Api
from halab.settings import ClusterConfig

PODS = "/api/v1/namespaces/default/pods"
IMAGE = "my-nginx:1.0"


class Changer:
    def __init__(self, config: ClusterConfig, nodes: int) -> None:
        self.api, self.patches, self.nodes = Api(config), Api(config), nodes
        self.patches.headers = {**self.patches.headers, "Content-Type": "application/merge-patch+json"}

    def node(self, number: int) -> None:
        """One that no agent stands for: its pods are what the API says they are."""
        name = f"rack-{number + 1}"
        self.api.call("POST", "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
        conditions = [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]
        self.patches.call("PATCH", f"/api/v1/nodes/{name}/status", {"status": {"conditions": conditions}})

    def pod(self, name: str, number: int) -> None:
        meta = {"name": name, "labels": {"app": "web"}}
        spec: dict[str, Any] = {
            "nodeName": f"rack-{number % self.nodes + 1}",
            "automountServiceAccountToken": False,
            "containers": [{"name": "web", "image": IMAGE}],
        }
        self.api.call("POST", PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})

    def show(self, name: str, ready: bool, mark: int) -> None:
        container = {
            "name": "web",
            "image": IMAGE,
            "imageID": "",
            "ready": ready,
            "restartCount": mark,
            "state": {"running": {"startedAt": None}},
        }
        status = {
            "phase": "Running",
            "podIP": "127.1.2.3",
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "containerStatuses": [container],
        }
        self.patches.call("PATCH", f"{PODS}/{name}/status", {"status": status})


def main() -> None:
    directory = Path(sys.argv[1])
    pods, nodes, rate, seconds = map(int, sys.argv[2:6])
    changer = Changer(ClusterConfig.load((directory / "cluster.json").read_text()), nodes)
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}  # no controller makes it here
    changer.api.call("POST", "/api/v1/namespaces/default/serviceaccounts", account)
    for number in range(nodes):
        changer.node(number)
    names = [f"web-6d4f-{number:04d}" for number in range(pods)]
    for number, name in enumerate(names):
        changer.pod(name, number)
        changer.show(name, True, 0)
    print("ready", flush=True)
    sys.stdin.readline()
    sent: dict[int, float] = {}
    began = time.monotonic()
    for mark in range(1, rate * seconds + 1):
        time.sleep(max(0.0, began + mark / rate - time.monotonic()))
        index = mark * 37 % pods
        sent[mark] = time.time()
        if mark % 10 == 0:  # one in ten is another pod in its place, as when one is replaced
            changer.api.call("DELETE", f"{PODS}/{names[index]}", {"gracePeriodSeconds": 0})
            names[index] = f"new-6d4f-{mark:04d}"
            changer.pod(names[index], index)
        changer.show(names[index], mark % 2 == 0, mark)
    print(json.dumps({"sent": sent, "took": time.monotonic() - began}), flush=True)


if __name__ == "__main__":
    main()
