"""What a cluster itself costs: its start, and its memory and processor while nothing happens."""

from __future__ import annotations

import json
import statistics
import subprocess
import time

from benchmarks.measure import HALAB, Row, cluster, home, say, seconds
from halab.aio.processes import cpu_seconds, descendants, memory_bytes
from halab.cluster.supervisor import manage

STARTS = 5
SETTLE = 10.0  # seconds after the start before an idle cluster is called idle
IDLE = 30.0  # seconds over which the processor's use is counted


def up() -> list[Row]:
    """The whole command, from a home without a cluster to the exit of `halab up`, when all three nodes are Ready."""
    took, again = [], []
    with home():
        for _ in range(STARTS):
            took.append(seconds(lambda: subprocess.run([HALAB, "up"], check=True, capture_output=True)))
            again.append(seconds(lambda: subprocess.run([HALAB, "up"], check=True, capture_output=True)))
            manage.down(purge=True)
    return [
        Row("halab up, 3 nodes Ready, cold", statistics.median(took), "s", 1.0, runs=STARTS),
        Row("halab up on a running cluster", statistics.median(again), "s", None, runs=STARTS),
    ]


def idle() -> list[Row]:
    """All processes of an idle 3-node cluster, Envoy included."""
    with home(), cluster() as config:
        say(f"waiting {SETTLE + IDLE:.0f} s while the cluster does nothing")
        time.sleep(SETTLE)
        keeper = json.loads((config.directory / "running.json").read_text())["keeper"]
        members = [keeper, *descendants(keeper)]
        before = cpu_seconds(members)
        time.sleep(IDLE)
        share = (cpu_seconds(members) - before) / IDLE * 100
        memory = memory_bytes([keeper, *descendants(keeper)]) / (1 << 20)
    return [
        Row("memory of the idle 3-node cluster (PSS)", memory, "MB", 200),
        Row("CPU of the idle 3-node cluster", share, "% of a core", 1.0),
    ]
