"""Clusters of the API server alone: a supervisor's duties are the same for one component as for eight."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from halab.aio.processes import descendants, marked_with
from halab.cluster.supervisor import manage

ALONE = ("controllers", "scheduler", "nodes", "dataplane")


@pytest.fixture
def up(halab_home: Path) -> Callable[..., manage.Status]:
    """``up(name="default", **options)``: a cluster that consists of an API server, unless told otherwise."""

    def start(name: str = "default", *, without: tuple[str, ...] = ALONE, nodes: int | None = None) -> manage.Status:
        return manage.up(name, without=without, nodes=nodes)

    return start


def tree(directory: Path) -> dict[str, int]:
    """The process ids of the cluster's keeper and supervisor."""
    found: dict[str, int] = json.loads((directory / "running.json").read_text())
    return found


def alive(pid: int) -> bool:
    """True if the process runs; one that has ended but was not reaped yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def everyone(directory: Path) -> list[int]:
    """Every process of the cluster in ``directory``, however it is found."""
    marked = set(marked_with("HALAB_CLUSTER_DIRECTORY", str(directory)))
    return sorted(pid for pid in marked | {below for pid in marked for below in descendants(pid)} if alive(pid))


def wait_gone(pids: list[int], timeout: float = 5.0) -> list[int]:
    """Wait for these processes' ends; those that are left."""
    import select

    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            select.select([descriptor], [], [], timeout)
        finally:
            os.close(descriptor)
    return [pid for pid in pids if alive(pid)]
