"""One cluster with one application for all failures; after each of them it must be as it was before."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from halab.aio.processes import start_time
from halab.backends.access import Api, Obj
from halab.backends.embedded import Embedded
from halab.cluster.supervisor import manage
from halab.course.requests import Answer, fetch
from halab.faults import api as faults
from halab.faults import engine
from halab.traffic.meter import Meter
from homes import at_home

ROOT = Path(__file__).resolve().parents[3]
NAMESPACE = "shop"
REPLICAS = 3
PATIENCE = 45.0  # seconds; far more than anything takes here, for a busy machine
PROBE = {"httpGet": {"path": "/", "port": 80}, "periodSeconds": 1, "failureThreshold": 1, "timeoutSeconds": 1}
LOST = [
    {"key": f"node.kubernetes.io/{what}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1}
    for what in ("unreachable", "not-ready")
]
LABELS = {"app": "web"}
DEPLOYMENT: Obj = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "namespace": NAMESPACE},
    "spec": {
        "replicas": REPLICAS,
        "selector": {"matchLabels": LABELS},
        "template": {
            "metadata": {"labels": LABELS},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "tolerations": LOST,
                "topologySpreadConstraints": [
                    {
                        "maxSkew": 1,
                        "topologyKey": "kubernetes.io/hostname",
                        "whenUnsatisfiable": "ScheduleAnyway",
                        "labelSelector": {"matchLabels": LABELS},
                    }
                ],
                "volumes": [{"name": "data", "emptyDir": {}}],
                "containers": [
                    {
                        "name": "web",
                        "image": "nginx:1.22",
                        "ports": [{"containerPort": 80}],
                        "resources": {"limits": {"memory": "96Mi"}},
                        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                        "readinessProbe": PROBE,
                        "livenessProbe": {**PROBE, "failureThreshold": 5},
                    }
                ],
            },
        },
    },
}
SERVICE: Obj = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web", "namespace": NAMESPACE},
    "spec": {"selector": LABELS, "ports": [{"port": 80}]},
}


@dataclass
class Shop:
    """The cluster with its application, and what tests look at."""

    backend: Embedded
    api: Api

    def pods(self) -> list[Obj]:
        """Ready ones that are not on their way out, by name."""
        found = [pod for pod in self.api.list("pods", "app=web") if ready(pod)]
        return sorted(found, key=lambda pod: str(pod["metadata"]["name"]))

    def pod(self, name: str) -> Obj:
        return self.api.get("pods", name)

    def wait(self, kind: str, done: Callable[[list[Obj]], bool], timeout: float = PATIENCE, namespace: str | None = None) -> None:
        seen = self.api.wait(kind, done, timeout, namespace=namespace)
        assert done(seen), f"{kind} are still {[(o['metadata']['name'], o.get('status')) for o in seen]}"

    def wait_for_pod(self, name: str, done: Callable[[Obj], bool]) -> None:
        self.wait("pods", lambda pods: any(pod["metadata"]["name"] == name and done(pod) for pod in pods))

    def inject(self, fault: str, target: str = "", **options: Any) -> faults.Handle:
        return faults.inject(self.backend, fault, target, namespace=NAMESPACE, **options)

    def url(self, pod: str = "") -> str:
        host, port = self.backend.pod(NAMESPACE, pod, 80) if pod else self.backend.service(NAMESPACE, "web", 80)
        return f"http://{host}:{port}"

    def ask(self, pod: str = "", timeout: float = 1.0) -> Answer:
        host, _, port = self.url(pod).removeprefix("http://").rpartition(":")
        return fetch((host, int(port)), "/", timeout=timeout)

    @contextmanager
    def users(self, pod: str = "", rate: float = 50.0) -> Iterator[Meter]:
        """Requests for the Service (or for one pod) while the block runs, and for a moment before and after it."""
        meter = Meter(self.url(pod), rate=rate)
        try:
            meter.wait(0.3)
            yield meter
            meter.wait(0.3)
        finally:
            meter.stop()


def ready(pod: Obj) -> bool:
    conditions = pod.get("status", {}).get("conditions") or []
    return "deletionTimestamp" not in pod["metadata"] and any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def restarts(pod: Obj) -> int:
    return sum(int(c["restartCount"]) for c in pod.get("status", {}).get("containerStatuses") or [])


def waiting(pod: Obj) -> str:
    """Why the pod's first container waits; empty if it does not."""
    for status in pod.get("status", {}).get("containerStatuses") or []:
        return str((status["state"].get("waiting") or {}).get("reason", ""))
    return ""


def until(condition: Callable[[], bool], timeout: float = PATIENCE) -> bool:
    """For what has no event to wait on here."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    home = tmp_path_factory.mktemp("faults") / "home"
    home.mkdir()
    compiled = ROOT / ".tools" / "test-cache"
    compiled.mkdir(parents=True, exist_ok=True)
    (home / "cache").symlink_to(compiled)
    try:
        with at_home(home):
            backend = Embedded()
            backend.up(lambda _text: None)
            api = Api(backend.kubeconfig(), NAMESPACE)
            api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
            until(lambda: api.find("serviceaccounts", "default") is not None)
            api.create(DEPLOYMENT)
            api.create(SERVICE)
        yield Shop(backend, api)
    finally:
        with at_home(home):
            manage.down(purge=True)


@pytest.fixture
def shop(cluster: Shop, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """The application, healthy; afterwards everything is healed, nothing is left, and it is healthy again."""
    monkeypatch.setenv("HALAB_HOME", str(cluster.backend.kubeconfig().parents[2]))
    healthy(cluster)
    template = cluster.api.get("deployments", "web")["spec"]["template"]
    guards: list[tuple[int, str]] = []
    start = engine.guard.start

    def remembered(folder: Path, record: engine.Record) -> tuple[int, str]:
        guards.append(start(folder, record))
        return guards[-1]

    monkeypatch.setattr(engine.guard, "start", remembered)
    yield cluster
    faults.heal_all(cluster.backend)
    assert until(lambda: all(start_time(pid) != since for pid, since in guards)), "a guard outlived its failure"
    records = cluster.backend.controls().records()
    assert [path.name for path in records.iterdir() if path.suffix == ".json"] == []
    for kind in ("services", "nodes"):
        marks = [obj["metadata"].get("annotations") or {} for obj in cluster.api.list(kind)]
        assert not [mark for mark in marks if "halab.dev/fault" in mark]
    assert cluster.api.get("deployments", "web")["spec"]["template"] == template
    healthy(cluster)


def healthy(shop: Shop) -> None:
    """All components and nodes are ready, and so are the pods, none of which waits for a back-off from an earlier failure."""
    assert until(lambda: manage.status().state == "running"), manage.status()
    shop.wait("nodes", lambda nodes: all(ready(node) and not node["spec"].get("unschedulable") for node in nodes))
    for pod in shop.api.list("pods"):
        if restarts(pod) or not ready(pod):
            shop.api.delete("pods", pod["metadata"]["name"], grace=0)
    shop.wait("pods", lambda pods: len(pods) == REPLICAS and all(map(ready, pods)))
    assert until(lambda: shop.ask().status == 200)
