"""A cluster whose pods are containers, as tests use it."""

from __future__ import annotations

import http.client
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.homes import at_home

from halab.cluster.supervisor import manage
from halab.settings import ClusterConfig

SECONDS = 60.0


@dataclass(frozen=True)
class Containers:
    """The cluster ``config`` in ``home``; ``host`` is its engine."""

    config: ClusterConfig
    home: Path
    host: str

    def kubectl(self, *words: str, stdin: str | None = None, fails: bool = False) -> str:
        """What it prints, errors too. It must fail if ``fails``."""
        command = ["kubectl", "--kubeconfig", str(self.config.kubeconfig), "--cache-dir", str(self.home / "kube"), *words]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=90)
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    def apply(self, *objects: dict[str, Any]) -> None:
        self.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))

    def get(self, kind: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.kubectl("get", kind, name, "-o", "json"))
        return found

    def status(self, pod: str, container: int = 0) -> dict[str, Any]:
        found: list[dict[str, Any]] = self.get("pod", pod)["status"].get("containerStatuses") or [{}]
        return found[container]

    def until(self, what: Callable[[], Any]) -> Any:
        """What it returns, as soon as that is true."""
        deadline = time.monotonic() + SECONDS
        while not (found := what()):
            assert time.monotonic() < deadline, self.kubectl("get", "pods,events", "-A")[-6000:]
            time.sleep(0.1)
        return found

    def ready(self, *pods: str) -> None:
        self.kubectl("wait", "--for=condition=Ready", f"--timeout={SECONDS:.0f}s", *(f"pod/{pod}" for pod in pods))

    def http(self, address: str, port: int = 80, host: str = "") -> str:
        connection = http.client.HTTPConnection(address, port, timeout=10)
        try:
            connection.request("GET", "/", headers={"Host": host or address})
            answer = connection.getresponse()
            return f"{answer.status} {answer.read().decode(errors='replace')}"
        finally:
            connection.close()

    def docker(self, *words: str) -> str:
        from .dockerd import docker

        return docker(self.host, *words)

    def own(self, *more: str) -> list[str]:
        """The ids of the cluster's containers, running or not."""
        filters = [word for each in more for word in ("--filter", each)]
        return self.docker("ps", "-aq", "--filter", f"label=io.halab.directory={self.config.directory}", *filters).split()


def pod(name: str, script: str, image: str = "busybox:1.36", **more: Any) -> dict[str, Any]:
    """A pod with one container ``main`` that runs a shell script. ``container`` has the container's further fields."""
    container = {"name": "main", "image": image, "command": ["sh", "-c", script], **more.pop("container", {})}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [container], **more},
    }


@contextmanager
def cluster(host: str, home: Path, name: str = "default", nodes: int = 2) -> Iterator[Containers]:
    """Up, and down again with nothing left in the engine."""
    compiled = Path(__file__).resolve().parents[2] / ".tools" / "test-cache"
    compiled.mkdir(parents=True, exist_ok=True)
    home.mkdir(parents=True, exist_ok=True)
    if not (home / "cache").exists():
        (home / "cache").symlink_to(compiled)
    with at_home(home), pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", host)
        found = manage.up(name, nodes=nodes, runtime="docker")
    assert found.config is not None
    made = Containers(found.config, home, host)
    try:
        yield made
    finally:
        with at_home(home):
            manage.down(name, purge=True)
        assert made.own() == []
        assert not made.config.directory.exists()
