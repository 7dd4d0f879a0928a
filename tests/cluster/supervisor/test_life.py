"""A cluster's life: up, again up, down, killed, and up once more."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from halab.aio.processes import parents
from halab.cluster.supervisor import control, manage
from halab.errors import ClusterError, MachineError, UsageError
from halab.settings import API_PORT, LOCK_PORT, ClusterConfig, cluster_directory

from .conftest import ALONE, alive, everyone, tree, wait_gone

Up = Callable[..., manage.Status]


def config_of(status: manage.Status) -> ClusterConfig:
    assert status.config is not None
    return status.config


def can_bind(address: str, port: int) -> bool:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind((address, port))
            server.listen(1)
        except OSError:
            return False
    return True


def test_up_gives_a_running_cluster_and_down_leaves_no_process_lock_or_port(up: Up) -> None:
    status = up()
    config = config_of(status)
    assert everyone(config.directory)
    assert not can_bind(config.addresses.api, LOCK_PORT)
    assert manage.down() is True
    assert everyone(config.directory) == []
    assert can_bind(config.addresses.api, LOCK_PORT)
    assert can_bind(config.addresses.api, API_PORT)
    assert not (config.directory / "control.sock").exists()
    assert manage.status().state == "stopped"


def test_everything_in_the_directory_is_private(up: Up) -> None:
    directory = config_of(up()).directory
    open_to_others = [path for path in directory.rglob("*") if path.lstat().st_mode & 0o077 and not path.is_symlink()]
    assert open_to_others == []
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_a_second_up_changes_nothing_and_is_quick(up: Up) -> None:
    directory = config_of(up()).directory
    before = tree(directory)
    began = time.monotonic()
    up()
    assert time.monotonic() - began < 0.5
    assert tree(directory) == before


def test_two_ups_at_once_make_one_cluster(halab_home: Path) -> None:
    code = f"from halab.cluster.supervisor import manage; manage.up(without={ALONE!r})"
    both = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [one.wait(60) for one in both] == [0, 0]
    assert manage.status().state == "running"
    directory = cluster_directory("default")
    roots = [pid for pid in everyone(directory) if parents()[pid] not in everyone(directory)]
    assert roots == [tree(directory)["keeper"]]


@pytest.mark.parametrize("victim", ["supervisor", "keeper"])
def test_a_sigkill_leaves_no_process_and_the_next_up_recovers(up: Up, victim: str) -> None:
    first = config_of(up())
    members = everyone(first.directory)
    os.kill(tree(first.directory)[victim], signal.SIGKILL)
    assert wait_gone(members) == []
    assert manage.status().state == "stopped"
    assert can_bind(first.addresses.api, API_PORT)
    second = up()
    assert second.state == "running"
    assert config_of(second).number == first.number


def test_a_cluster_outlives_the_process_that_started_it(halab_home: Path) -> None:
    code = f"from halab.cluster.supervisor import manage; manage.up(without={ALONE!r})"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert manage.status().state == "running"


def test_whoever_captures_the_output_of_up_does_not_wait_for_the_end_of_the_cluster(halab_home: Path) -> None:
    code = f"from halab.cluster.supervisor import manage; manage.up(without={ALONE!r})"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30, capture_output=True)


def test_an_up_that_is_killed_midway_leaves_nothing_behind(halab_home: Path) -> None:
    """The starter is killed as soon as it reports that the first component starts."""
    code = f"""
import os, signal
from halab.cluster.supervisor import manage
def report(text):
    if text.startswith("starting"):
        os.kill(os.getpid(), signal.SIGKILL)
manage.up(without={ALONE!r}, report=report)
"""
    done = subprocess.run([sys.executable, "-c", code], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    directory = cluster_directory("default")
    assert wait_gone(everyone(directory), timeout=15) == []
    assert manage.status().state == "absent"


def test_clusters_stand_side_by_side_each_on_its_own_range(up: Up) -> None:
    one, two = config_of(up("one")), config_of(up("two"))
    assert one.number != two.number
    assert manage.clusters() == ["one", "two"]
    manage.down("one")
    assert manage.status("two").state == "running"


def test_a_new_cluster_passes_over_a_range_that_is_held(up: Up) -> None:
    first = config_of(up())
    manage.down(purge=True)
    with socket.create_server((first.addresses.api, LOCK_PORT)):
        assert config_of(up()).number != first.number


def test_a_stopped_cluster_whose_range_was_taken_says_so(up: Up) -> None:
    config = config_of(up())
    manage.down()
    with socket.create_server((config.addresses.api, API_PORT)), pytest.raises(MachineError) as refused:
        up()
    assert f"127.{config.number}.0.0/16 is busy" in str(refused.value)
    assert "halab down --purge" in str(refused.value)
    assert manage.status().state == "stopped"


def test_purge_removes_the_directory_and_down_on_nothing_says_so(up: Up) -> None:
    directory = config_of(up()).directory
    assert manage.down(purge=True) is True
    assert not directory.exists()
    assert manage.down() is False


def test_a_home_deeper_than_a_socket_address_can_be_is_fine(up: Up, halab_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = halab_home / ("d" * 60) / ("e" * 60)
    monkeypatch.setenv("HALAB_HOME", str(deep))
    try:
        assert up().state == "running"
    finally:
        manage.down(purge=True)


@pytest.mark.parametrize("name", ["", "Upper", "under_score", "-dash", "a/b", "x" * 41])
def test_a_name_that_cannot_be_a_label_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        manage.status(name)


def test_a_configuration_that_cannot_be_read_names_the_way_out(up: Up) -> None:
    directory = config_of(up()).directory
    manage.down()
    (directory / "cluster.json").write_text("{")
    with pytest.raises(ClusterError, match="halab down --purge"):
        up()


def test_a_bad_request_on_the_control_socket_costs_nothing(up: Up) -> None:
    directory = config_of(up()).directory
    with pytest.raises(ClusterError, match="is not an operation"):
        control.request(directory, "nonsense")
    with pytest.raises(ClusterError, match="bad request"):
        control.request(directory, "component")
    assert manage.status().state == "running"
    assert alive(tree(directory)["supervisor"])
