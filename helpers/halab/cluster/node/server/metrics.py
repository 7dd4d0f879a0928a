"""Kubelet's metrics in Prometheus' text format: ``/metrics``, ``/metrics/resource``, ``/metrics/cadvisor`` and ``/metrics/probes``.

Names and labels are Kubernetes' (https://kubernetes.io/docs/reference/instrumentation/metrics/); there are those of which this agent knows the
value.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from halab.cluster.client import seconds_of
from halab.cluster.kube import quantity
from halab.cluster.node.stats import summary
from halab.settings import KUBERNETES_VERSION

if TYPE_CHECKING:
    from halab.cluster.node.agent import Agent

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
Sample = tuple[dict[str, str], float]


def family(name: str, kind: str, text: str, samples: Iterable[Sample]) -> str:
    """One metric with its HELP and TYPE lines; empty if it has no samples."""
    lines = []
    for labels, value in samples:
        pairs = ",".join(f'{key}="{_escaped(labels[key])}"' for key in sorted(labels))
        lines.append(f"{name}{{{pairs}}} {value:.17g}" if pairs else f"{name} {value:.17g}")
    return "\n".join([f"# HELP {name} {text}", f"# TYPE {name} {kind}", *lines, ""]) if lines else ""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _cpu(part: dict[str, Any]) -> float:
    return float(part["cpu"]["usageCoreNanoSeconds"]) / 1e9


def _memory(part: dict[str, Any]) -> float:
    return float(part["memory"]["workingSetBytes"])


def _containers(found: dict[str, Any]) -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
    for pod in found["pods"]:
        for each in pod["containers"]:
            yield {"container": each["name"], "namespace": pod["podRef"]["namespace"], "pod": pod["podRef"]["name"]}, each


def resource(agent: Agent) -> str:
    found = summary(agent)
    each, node = list(_containers(found)), found["node"]
    pods = [({"namespace": pod["podRef"]["namespace"], "pod": pod["podRef"]["name"]}, pod) for pod in found["pods"]]
    used, held = "Cumulative cpu time consumed by the %s in core-seconds", "Current working set of the %s in bytes"
    return "".join([
        family("container_cpu_usage_seconds_total", "counter", used % "container", ((at, _cpu(c)) for at, c in each)),
        family("container_memory_working_set_bytes", "gauge", held % "container", ((at, _memory(c)) for at, c in each)),
        family(
            "container_start_time_seconds", "gauge", "Start time of the container since unix epoch in seconds",
            ((at, seconds_of(c["startTime"])) for at, c in each),
        ),
        family("node_cpu_usage_seconds_total", "counter", used % "node", [({}, _cpu(node))]),
        family("node_memory_working_set_bytes", "gauge", held % "node", [({}, _memory(node))]),
        family("pod_cpu_usage_seconds_total", "counter", used % "pod", ((at, _cpu(p)) for at, p in pods)),
        family("pod_memory_working_set_bytes", "gauge", held % "pod", ((at, _memory(p)) for at, p in pods)),
        family("resource_scrape_error", "gauge", "1 if there was an error while getting container metrics, 0 otherwise", [({}, 0)]),
    ])  # fmt: skip


def cadvisor(agent: Agent) -> str:
    names: dict[tuple[str, str, str], tuple[str, str]] = {}
    for worker in agent.workers.values():
        for record in worker.record.containers.values():
            if record.run is not None:
                names[worker.namespace, worker.name, record.name] = (record.run.id.rpartition("/")[2], record.run.image)
    rows = []
    for at, usage in _containers(summary(agent)):
        number, image = names.get((at["namespace"], at["pod"], at["container"]), ("", ""))
        rows.append((at | {"id": f"/kubepods/{number}", "image": image, "name": number}, usage))
    allocatable = agent.node.allocatable
    machine = {"node": agent.node.name}
    return "".join([
        family(
            "container_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed in seconds.",
            ((at | {"cpu": "total"}, _cpu(usage)) for at, usage in rows),
        ),
        family("container_memory_rss", "gauge", "Size of RSS in bytes.", ((at, usage["memory"]["rssBytes"]) for at, usage in rows)),
        family(
            "container_memory_usage_bytes", "gauge", "Current memory usage in bytes, including all memory regardless of when it was accessed",
            ((at, usage["memory"]["usageBytes"]) for at, usage in rows),
        ),
        family("container_memory_working_set_bytes", "gauge", "Current working set in bytes.", ((at, _memory(usage)) for at, usage in rows)),
        family(
            "container_start_time_seconds", "gauge", "Start time of the container since unix epoch in seconds.",
            ((at, seconds_of(usage["startTime"])) for at, usage in rows),
        ),
        family("machine_cpu_cores", "gauge", "Number of logical CPU cores.", [(machine, os.cpu_count() or 1)]),
        family(
            "machine_memory_bytes", "gauge", "Amount of memory installed on the machine.",
            [(machine, float(quantity.parse(allocatable["memory"])))] if "memory" in allocatable else [],
        ),
    ])  # fmt: skip


def probes(agent: Agent) -> str:
    samples = []
    for worker in agent.workers.values():
        for name, prober in worker.probers.items():
            for (kind, result), count in sorted(prober.counts.items()):
                labels = {"container": name, "namespace": worker.namespace, "pod": worker.name, "pod_uid": worker.uid}
                samples.append((labels | {"probe_type": kind, "result": result}, float(count)))
    return family(
        "prober_probe_total",
        "counter",
        "Cumulative number of a liveness, readiness or startup probe for a container by result.",
        samples,
    )


def general(agent: Agent) -> str:
    states: Counter[str] = Counter()
    running = 0
    for worker in agent.workers.values():
        records = worker.record.containers.values()
        states.update(record.run.state for record in records if record.run is not None)
        running += any(record.running for record in records)
    times = os.times()
    build = {"git_version": KUBERNETES_VERSION, "major": "1", "minor": "34", "platform": "linux"}
    return "".join([
        family("kubelet_node_name", "gauge", "The node's name. The count is always 1.", [({"node": agent.node.name}, 1)]),
        family("kubelet_running_containers", "gauge", "Number of containers currently running", (({"container_state": s}, n) for s, n in sorted(states.items()))),
        family("kubelet_running_pods", "gauge", "Number of pods that have a running pod sandbox", [({}, running)]),
        family("kubelet_working_pods", "gauge", "Number of pods the kubelet is actually running, broken down by lifecycle phase", [({}, len(agent.workers))]),
        family("kubernetes_build_info", "gauge", "A metric with a constant '1' value labeled by version.", [(build, 1)]),
        family("process_cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds.", [({}, times.user + times.system)]),
        family("process_start_time_seconds", "gauge", "Start time of the process since unix epoch in seconds.", [({}, agent.started)]),
    ])  # fmt: skip


PAGES = {"": general, "resource": resource, "cadvisor": cadvisor, "probes": probes}
