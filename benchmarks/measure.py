"""The vocabulary of a benchmark: a row, a timer, a cluster to measure on, and a plain HTTPS client."""

from __future__ import annotations

import http.client
import json
import os
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from halab.cluster.supervisor import manage
from halab.settings import API_PORT, ClusterConfig

HALAB = str(Path(sys.executable).parent / "halab")


@dataclass(frozen=True, slots=True)
class Row:
    """``budget`` is what ARCHITECTURE.md asks for; ``better`` says on which side of it good values lie; ``load`` is the machine's when
    the row was made, its own work included: a cluster is a dozen processes."""

    what: str
    value: float
    unit: str
    budget: float | None
    better: str = "lower"
    runs: int = 1
    load: float = field(default_factory=lambda: round(os.getloadavg()[0], 1))

    @property
    def met(self) -> bool | None:
        if self.budget is None:
            return None
        return self.value <= self.budget if self.better == "lower" else self.value >= self.budget


def say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


def seconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def median(action: Callable[[], object], runs: int) -> float:
    """The median duration of ``runs`` calls, in seconds."""
    return statistics.median(seconds(action) for _ in range(runs))


@contextmanager
def home() -> Iterator[Path]:
    """A home of our own: the learner's cluster is never measured on. What was compiled before is kept, as it is for a learner."""
    from halab.sandbox.build import programs

    programs()
    before = os.environ.get("HALAB_HOME")
    compiled = Path(before) / "cache" if before else Path.home() / ".local" / "state" / "halab" / "cache"
    with tempfile.TemporaryDirectory(prefix="halab-bench-", ignore_cleanup_errors=True) as folder:
        if compiled.is_dir():
            (Path(folder) / "cache").symlink_to(compiled)
        os.environ["HALAB_HOME"] = folder
        try:
            yield Path(folder)
        finally:
            for name in manage.clusters():
                manage.down(name, purge=True)
            os.environ.pop("HALAB_HOME")
            if before is not None:
                os.environ["HALAB_HOME"] = before


@contextmanager
def cluster(name: str = "default", nodes: int = 3) -> Iterator[ClusterConfig]:
    status = manage.up(name, nodes=nodes)
    assert status.config is not None
    try:
        yield status.config
    finally:
        manage.down(name, purge=True)


class Api:
    """One keep-alive connection to the cluster's API, as the administrator."""

    def __init__(self, config: ClusterConfig) -> None:
        context = ssl.create_default_context(cafile=str(config.ca_file))
        self.connection = http.client.HTTPSConnection(config.addresses.api, API_PORT, context=context, timeout=60)
        self.headers = {"Authorization": f"Bearer {config.tokens['admin']}", "Content-Type": "application/json"}

    def call(self, method: str, path: str, body: object = None) -> bytes:
        self.connection.request(method, path, None if body is None else json.dumps(body), self.headers)
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {text[:300]!r}")
        return text

    def get(self, path: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.call("GET", path))
        return found

    def wait(self, path: str, done: Callable[[dict[str, dict[str, Any]]], bool], timeout: float = 60.0) -> None:
        """Watch the collection ``path`` on a connection of its own until ``done({name: object})``."""
        objects: dict[str, dict[str, Any]] = {}
        old = self.connection
        watch = http.client.HTTPSConnection(old.host, old.port, context=old._context, timeout=timeout)  # type: ignore[attr-defined]
        try:
            watch.request("GET", path + ("&" if "?" in path else "?") + "watch=1", headers=self.headers)
            for line in watch.getresponse():
                event = json.loads(line)
                name = event["object"]["metadata"]["name"]
                if event["type"] == "DELETED":
                    objects.pop(name, None)
                else:
                    objects[name] = event["object"]
                if done(objects):
                    return
        finally:
            watch.close()
        raise RuntimeError(f"{path}: the watch ended early")


def kubectl(config: ClusterConfig, *arguments: str, stdin: str | None = None) -> str:
    command = ["kubectl", "--kubeconfig", str(config.kubeconfig), *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=True).stdout


def ready(pod: dict[str, Any]) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in pod.get("status", {}).get("conditions") or [])
