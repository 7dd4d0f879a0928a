"""A classroom on one machine: thirty clusters, each running three pods."""

from __future__ import annotations

import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

from benchmarks.measure import Api, Row, home, kubectl, ready, say, seconds
from benchmarks.workload import MANIFEST, PODS
from halab.cluster.supervisor import manage
from halab.settings import ClusterConfig

CLUSTERS = int(os.environ.get("HALAB_BENCH_CLUSTERS", "30"))


def crowd() -> list[Row]:
    """All up (two at a time), three pods on each, then one round of a learner's smallest check on each: apply, Ready, deleted."""
    names = [f"seat-{number:02d}" for number in range(1, CLUSTERS + 1)]
    with home():
        began = time.perf_counter()
        with ThreadPoolExecutor(max_workers=2) as pool:
            for number, status in enumerate(pool.map(lambda name: manage.up(name, nodes=3), names), 1):
                assert status.config is not None
                kubectl(status.config, "apply", "-f", "-", stdin=MANIFEST)
                say(f"{number} of {CLUSTERS} clusters are up")
        configs = [found.config for found in map(manage.status, names) if found.config]
        for config in configs:
            Api(config).wait(PODS, lambda pods: sum(ready(pod) for pod in pods.values()) == 3, timeout=120)
        total = time.perf_counter() - began
        memory = sum(manage.status(name).memory_mb for name in names)
        checks = [seconds(lambda: _check(config)) for config in configs]  # noqa: B023
    return [
        Row(f"{CLUSTERS} clusters up, three pods Ready on each", total, "s", None),
        Row(f"memory of {CLUSTERS} clusters with three pods each (PSS)", memory, "MB", 20_000),
        Row("a check on one of them, slowest", max(checks), "s", 2.0, runs=len(checks)),
        Row("a check on one of them, median", statistics.median(checks), "s", None, runs=len(checks)),
    ]


def _check(config: ClusterConfig) -> None:
    """Delete a pod and see its replacement Ready."""
    api = Api(config)
    old = {pod["metadata"]["name"] for pod in api.get(PODS)["items"]}
    api.call("DELETE", f"/api/v1/namespaces/default/pods/{min(old)}")
    api.wait(PODS, lambda pods: sum(ready(pod) for name, pod in pods.items() if name != min(old)) == 3)
