"""A whole cluster whose machine's clock is set, a day ahead and back, while it runs: it works on, and nothing is missing.

A small library, preloaded into every process of the cluster, adds to the calendar what a file says; monotonic time stays, as it does on
a machine whose clock is set.
"""

from __future__ import annotations

import asyncio
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from halab.cluster.client.client import Client
from halab.cluster.kube.kinds import CONFIG_MAPS, DEPLOYMENTS, NODES, PODS, Kind
from halab.cluster.supervisor import manage
from halab.settings import ClusterConfig

pytestmark = pytest.mark.needs("cc")
DAY = 86400
SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static const volatile int64_t *ahead;
__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("TEST_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *found = file < 0 ? MAP_FAILED : mmap(NULL, 8, PROT_READ, MAP_SHARED, file, 0);
    if (file >= 0) close(file);
    if (found != MAP_FAILED) ahead = found;
}
static int64_t by(void) { return ahead ? *ahead : 0; }
int clock_gettime(clockid_t clock, struct timespec *now) {
    int (*real)(clockid_t, struct timespec *) = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    if (!result && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += by();
    return result;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    int (*real)(struct timeval *, void *) = (int (*)(struct timeval *, void *))dlsym(RTLD_NEXT, "gettimeofday");
    int result = real(now, zone);
    if (!result && now) now->tv_sec += by();
    return result;
}
time_t time(time_t *where) {
    time_t (*real)(time_t *) = (time_t (*)(time_t *))dlsym(RTLD_NEXT, "time");
    time_t now = real(NULL) + by();
    if (where) *where = now;
    return now;
}
"""
CONTAINER = {"name": "m", "image": "busybox:1.36", "command": ["sleep", "100000"]}
TEMPLATE = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [CONTAINER], "terminationGracePeriodSeconds": 1}}
DEPLOYMENT = {
    "metadata": {"name": "web"},
    "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": TEMPLATE},
}


class Clock:
    """The machine's clock, as the cluster sees it."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "clock"
        self.set(0)
        source, self.library = folder / "clock.c", folder / "clock.so"
        source.write_text(SOURCE)
        subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", str(self.library), str(source), "-ldl"], check=True)

    def set(self, ahead: int) -> None:
        descriptor = os.open(self.file, os.O_CREAT | os.O_WRONLY, 0o600)  # in place: it is mapped
        os.pwrite(descriptor, struct.pack("=q", ahead), 0)
        os.close(descriptor)


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path)


@pytest.fixture
def config(clock: Clock, halab_home: Path) -> Iterator[ClusterConfig]:
    env = os.environ | {"LD_PRELOAD": str(clock.library), "TEST_CLOCK": str(clock.file)}
    subprocess.run([sys.executable, "-m", "halab.cli", "up"], env=env, check=True, capture_output=True)
    found = manage.configuration("default")
    assert found is not None
    yield found
    manage.down(purge=True)


def is_true(obj: dict[str, Any], condition: str) -> bool:
    conditions = obj.get("status", {}).get("conditions") or ()
    return any(one["type"] == condition and one["status"] == "True" for one in conditions)


async def until(client: Client, kind: Kind, namespace: str | None, done: Callable[[list[dict[str, Any]]], bool]) -> None:
    items, version = await client.list(kind, namespace)
    found = {item["metadata"]["name"]: item for item in items}
    if done(list(found.values())):
        return
    async for event, item in client.watch(kind, namespace, version):
        found.pop(item["metadata"]["name"], None)
        if event != "DELETED":
            found[item["metadata"]["name"]] = item
        if done(list(found.values())):
            return


def ready(number: int, without: str = "") -> Callable[[list[dict[str, Any]]], bool]:
    def done(pods: list[dict[str, Any]]) -> bool:
        return len(pods) == number and all(is_true(pod, "Ready") and pod["metadata"]["name"] != without for pod in pods)

    return done


async def test_a_cluster_works_on_when_the_machines_clock_is_set(config: ClusterConfig, clock: Clock) -> None:
    client = Client.from_config(config, "admin")
    written = ["before"]
    await client.create(CONFIG_MAPS, {"metadata": {"name": "before"}, "data": {"v": "before"}}, "default")
    await client.create(DEPLOYMENTS, DEPLOYMENT, "default")
    async with asyncio.timeout(60):
        await until(client, PODS, "default", ready(3))
        pods, _ = await client.list(PODS, "default")
        for name, ahead in (("ahead", DAY), ("back", 0), ("behind", -DAY)):
            clock.set(ahead)
            made = await client.create(CONFIG_MAPS, {"metadata": {"name": name}, "data": {"v": name}}, "default")
            written.append(name)
            stamp = datetime.fromisoformat(made["metadata"]["creationTimestamp"])
            assert abs(stamp - datetime.now(UTC) - timedelta(seconds=ahead)) < timedelta(hours=1), "the cluster's clock was set"
            victim = min(pod["metadata"]["name"] for pod in pods)
            await client.delete(PODS, victim, "default")
            await until(client, PODS, "default", ready(3, without=victim))
            before, pods = {one["metadata"]["uid"] for one in pods}, (await client.list(PODS, "default"))[0]
            assert len(before & {one["metadata"]["uid"] for one in pods}) == 2, "only the deleted pod is another one"
            nodes, _ = await client.list(NODES)
            assert all(is_true(node, "Ready") for node in nodes)
            maps, _ = await client.list(CONFIG_MAPS, "default")
            assert {one["metadata"]["name"]: one["data"]["v"] for one in maps if "v" in one["data"]} == {n: n for n in written}
    client.close()
