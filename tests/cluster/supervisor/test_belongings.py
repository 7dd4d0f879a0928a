"""What belongs to a home rather than to a cluster ends with the home's last cluster."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from halab.cluster.supervisor import manage
from halab.images import api as images

Up = Callable[..., manage.Status]


def purge(name: str) -> str:
    command = [sys.executable, "-m", "halab.cli", "down", "--purge", "--name", name]
    return subprocess.run(command, capture_output=True, text=True, check=True).stderr


def test_containers_and_registries_end_with_the_last_cluster_and_not_before(up: Up, halab_home: Path) -> None:
    up("one")
    up("two")
    engine, registries = images.engine(), images.Registries(halab_home)
    engine.run(images.ContainerSpec("busybox", command=("sleep", "1000"), name="sleeper"))
    registries.start("mine", "127.0.0.1:0")
    assert purge("one") == "cluster one is gone\n"
    assert [row.name for row in engine.containers()] == ["sleeper"]
    assert purge("two") == "cluster two is gone\ncontainer sleeper has ended\nregistry mine has ended\n"
    assert engine.containers(everything=True) == []
    assert [(row.name, row.pid) for row in registries.registries()] == [("mine", 0)]  # its images are still there


def test_a_purge_where_nothing_was_makes_nothing(halab_home: Path) -> None:
    before = sorted(path.name for path in halab_home.iterdir())
    assert purge("one") == "cluster one was not running\n"
    assert sorted(path.name for path in halab_home.iterdir()) == before
