"""``python -m benchmarks.crash [--rounds 300]``: kill -9 of each component at random under load, and see that nothing acknowledged is lost.

Writers create, change and delete ConfigMaps all the time, each over its own connection, and note what the API server acknowledged (200
or 201 seen by the writer, or the object of a DELETE). A request without an answer may have happened or not: both are then right. After
every crash the cluster must answer again by itself, and every noted state must be there. Every few rounds the last page of the
write-ahead log is overwritten while the server is down, as a torn write would. At the end the pods must be as they were asked for.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import select
import signal
import statistics
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measure import cluster, home, say
from halab.cluster.client import Client
from halab.cluster.kube.kinds import CONFIG_MAPS, DEPLOYMENTS
from halab.cluster.kube.status import ApiError
from halab.cluster.supervisor import control
from halab.settings import ClusterConfig

WRITERS = 6
REPLICAS = 6
DAMAGE_EVERY = 5  # crashes of the API server
PATIENCE = 60.0  # seconds within which the cluster must answer again
Known = dict[str, set[str | None]]
"""name -> the states it may have: one where it was acknowledged, two while a request's outcome is unknown. None: deleted."""


@dataclass
class Report:
    acknowledged: int = 0
    unanswered: int = 0
    lost: list[str] = field(default_factory=list)
    killed: Counter[str] = field(default_factory=Counter)
    damaged: int = 0
    outages: list[float] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        api = sorted(self.outages)
        return {
            "rounds": sum(self.killed.values()),
            "killed": dict(self.killed),
            "log pages damaged": self.damaged,
            "writes acknowledged": self.acknowledged,
            "writes without an answer": self.unanswered,
            "acknowledged writes lost": len(self.lost),
            "lost": self.lost[:20],
            "API server back, median s": round(statistics.median(api), 3) if api else None,
            "API server back, slowest s": round(api[-1], 3) if api else None,
        }


async def write(config: ClusterConfig, who: int, known: Known, report: Report, stop: asyncio.Event) -> None:
    """One writer, until ``stop``; after an error it goes on as soon as the server is back."""
    client = Client(config.server, config.tokens["admin"], config.ca_file)
    number = 0
    while not stop.is_set():
        number += 1
        name = f"w{who}-{number}"
        steps: list[str | None] = ["0", str(random.randrange(10**6)), None] if number % 3 == 0 else ["0", str(number)]
        for step, value in enumerate(steps):
            before = known.setdefault(name, {None})
            known[name] = before | {value}
            try:
                if step == 0:
                    await client.create(CONFIG_MAPS, {"metadata": {"name": name, "namespace": "default"}, "data": {"n": "0"}})
                elif value is None:
                    await client.delete(CONFIG_MAPS, name, "default")
                else:
                    await client.patch(CONFIG_MAPS, name, "default", {"data": {"n": value}})
            except (OSError, TimeoutError, ApiError):
                report.unanswered += 1
                await asyncio.sleep(0.05)
                break
            known[name] = {value}
            report.acknowledged += 1
    client.close()


async def verify(config: ClusterConfig, known: Known, report: Report) -> None:
    """Compare what is there with what was acknowledged; what was unknown is known from now on."""
    client = Client(config.server, config.tokens["admin"], config.ca_file)
    began = time.monotonic()
    while True:
        try:
            items, _ = await client.list(CONFIG_MAPS, "default")
            break
        except (OSError, TimeoutError, ApiError):
            if time.monotonic() - began > PATIENCE:
                raise
            await asyncio.sleep(0.01)
    client.close()
    found = {item["metadata"]["name"]: item.get("data", {}).get("n") for item in items}
    for name, allowed in known.items():
        state = found.get(name)
        if state not in allowed:
            report.lost.append(f"{name}: {sorted(map(str, allowed))} expected, {state} found")
        known[name] = {state}


def pids(config: ClusterConfig) -> dict[str, int]:
    return {one["name"]: one["pid"] for one in control.request(config.directory, "status")["components"]}


def damage(database: Path) -> bool:
    """Overwrite a part of the last page of the write-ahead log."""
    wal = database.with_name(database.name + "-wal")
    if not wal.exists() or wal.stat().st_size <= 4096:
        return False
    with wal.open("r+b") as file:
        file.seek(-3000, os.SEEK_END)
        file.write(random.randbytes(2000))
    return True


async def crash(config: ClusterConfig, name: str, report: Report) -> None:
    """Kill one component as it is; the supervisor brings it back by itself."""
    report.killed[name.partition("/")[0]] += 1
    torn = name == "apiserver" and report.killed["apiserver"] % DAMAGE_EVERY == 0
    began = time.monotonic()
    if torn:
        old = pids(config)[name]
        handle = os.pidfd_open(old) if old else -1
        control.request(config.directory, "component", name=name, action="stop", signal_name="SIGKILL")
        if handle >= 0:
            select.select([handle], [], [], 5)  # the server's end; no writer can be answered meanwhile
            os.close(handle)
        report.damaged += damage(config.database)
        control.request(config.directory, "component", name=name, action="start")
    elif pid := pids(config).get(name):
        os.kill(pid, signal.SIGKILL)
    if name == "apiserver":
        client = Client(config.server, config.tokens["admin"], config.ca_file)
        while time.monotonic() - began < PATIENCE:
            try:
                await client.list(CONFIG_MAPS, "kube-public")
                break
            except (OSError, TimeoutError, ApiError):
                await asyncio.sleep(0.01)
        report.outages.append(time.monotonic() - began)
        client.close()


async def run(config: ClusterConfig, rounds: int) -> Report:
    report = Report()
    known: Known = {}
    client = Client(config.server, config.tokens["admin"], config.ca_file)
    await client.create(DEPLOYMENTS, deployment(), "default")
    components = sorted(pids(config))
    for number in range(1, rounds + 1):
        stop = asyncio.Event()
        writers = [asyncio.create_task(write(config, number * WRITERS + who, known, report, stop)) for who in range(WRITERS)]
        await asyncio.sleep(random.uniform(0.05, 0.5))
        # Half of the crashes are the API server's: it alone holds what must not be lost.
        await crash(config, "apiserver" if random.random() < 0.5 else random.choice(components), report)
        stop.set()
        await asyncio.gather(*writers)
        await verify(config, known, report)
        if number % 20 == 0:
            say(f"{number} crashes, {report.acknowledged} writes acknowledged, {len(report.lost)} lost")
            await forget(config, known)
    await settled(config)
    return report


async def forget(config: ClusterConfig, known: Known) -> None:
    """Start over with an empty namespace, so that late rounds are no slower than early ones."""
    client = Client(config.server, config.tokens["admin"], config.ca_file)
    for name, states in known.items():
        if states != {None}:
            try:
                await client.delete(CONFIG_MAPS, name, "default")
            except ApiError as error:
                if error.code != 404:
                    raise
    known.clear()
    client.close()


async def settled(config: ClusterConfig) -> None:
    """Wait until the Deployment is whole again."""
    client = Client(config.server, config.tokens["admin"], config.ca_file)
    async with asyncio.timeout(PATIENCE * 2):
        while True:
            status = (await client.get(DEPLOYMENTS, "web", "default")).get("status") or {}
            if status.get("readyReplicas") == status.get("replicas") == REPLICAS:
                client.close()
                return
            await asyncio.sleep(0.2)


def deployment() -> dict[str, Any]:
    labels = {"app": "web"}
    container = {"name": "main", "image": "busybox:1.36", "command": ["sleep", "100000"]}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container], "terminationGracePeriodSeconds": 0}}
    spec = {"replicas": REPLICAS, "selector": {"matchLabels": labels}, "template": template}
    return {"metadata": {"name": "web", "namespace": "default"}, "spec": spec}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crash", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="repeat a run's choices (its timing differs)")
    arguments = parser.parse_args()
    seed = arguments.seed or random.randrange(1, 10**6)
    random.seed(seed)
    with home(), cluster("crash") as config:
        report = asyncio.run(run(config, arguments.rounds))
    json.dump({"seed": seed, **report.to_json()}, sys.stdout, indent=2)
    print()
    return 1 if report.lost else 0


if __name__ == "__main__":
    sys.exit(main())
