"""What the node and its pods use: the Summary API (/stats/summary), measured when asked, not before."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from halab.cluster.client import rfc3339
from halab.cluster.kube.types import Obj

if TYPE_CHECKING:
    from .agent import Agent

_samples: dict[str, tuple[float, float, float]] = {}  # container id -> (when, CPU seconds, last rate)
LEAST_INTERVAL = 0.5  # a rate over less says nothing; the former one is given instead


def rate(key: str, seconds: float, now: float, started: float) -> float:
    """Cores in use since the last look (at the first look: since the container started)."""
    when, before, last = _samples.get(key, (started, 0.0, 0.0))
    if now - when < LEAST_INTERVAL and key in _samples:
        return last
    found = max(0.0, (seconds - before) / max(now - when, LEAST_INTERVAL))
    _samples[key] = (now, seconds, found)
    return found


def _cpu(stamp: str, cores: float, seconds: float) -> Obj:
    return {"time": stamp, "usageNanoCores": int(cores * 1e9), "usageCoreNanoSeconds": int(seconds * 1e9)}


def _memory(stamp: str, used: int) -> Obj:
    return {"time": stamp, "usageBytes": used, "workingSetBytes": used, "rssBytes": used}


def _disk(stamp: str, directory: Path) -> Obj:
    found = os.statvfs(directory)
    size = found.f_frsize
    return {
        "time": stamp,
        "availableBytes": found.f_bavail * size,
        "capacityBytes": found.f_blocks * size,
        "usedBytes": (found.f_blocks - found.f_bfree) * size,
        "inodesFree": found.f_ffree,
        "inodes": found.f_files,
        "inodesUsed": found.f_files - found.f_ffree,
    }


def summary(agent: Agent) -> Obj:
    """``{"node": {...}, "pods": [...]}``. Node figures are the sums of its pods and of the agent itself."""
    now, stamp = time.time(), rfc3339()
    pods: list[Obj] = []
    alive: set[str] = set()
    total_cores = total_seconds = 0.0
    total_memory = 0
    for worker in agent.workers.values():
        containers: list[Obj] = []
        cores = seconds = 0.0
        memory = 0
        for record in worker.record.containers.values():
            run = record.run
            if not record.running or run is None:
                continue
            used_seconds, used_memory = run.handle.usage()
            used_cores = rate(run.id, used_seconds, now, run.started)
            alive.add(run.id)
            cores, seconds, memory = cores + used_cores, seconds + used_seconds, memory + used_memory
            containers.append(
                {
                    "name": record.name,
                    "startTime": rfc3339(run.started),
                    "cpu": _cpu(stamp, used_cores, used_seconds),
                    "memory": _memory(stamp, used_memory),
                }
            )
        if containers:
            reference = {"name": worker.name, "namespace": worker.namespace, "uid": worker.uid}
            pods.append(
                {
                    "podRef": reference,
                    "startTime": worker.record.start_time,
                    "containers": containers,
                    "cpu": _cpu(stamp, cores, seconds),
                    "memory": _memory(stamp, memory),
                }
            )
        total_cores, total_seconds, total_memory = total_cores + cores, total_seconds + seconds, total_memory + memory
    for gone in set(_samples) - alive - {"agent"}:
        del _samples[gone]
    times = os.times()
    own = times.user + times.system
    total_cores += rate("agent", own, now, now - 60)
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    disk = _disk(stamp, agent.node.directory)
    node = {
        "nodeName": agent.node.name,
        "startTime": rfc3339(agent.started),
        "cpu": _cpu(stamp, total_cores, total_seconds + own),
        "memory": _memory(stamp, total_memory + resident),
        "fs": disk,
        "runtime": {"imageFs": disk, "containerFs": disk},
    }
    return {"node": node, "pods": pods}
