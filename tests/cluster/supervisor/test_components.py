"""Components are restarted when they die, and stopped, paused and started when told."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from halab.cluster.supervisor import api, manage
from halab.errors import ClusterError, UsageError

from .conftest import alive, wait_gone

Up = Callable[..., manage.Status]


def apiserver() -> dict[str, Any]:
    return next(one for one in manage.status().components if one["name"] == "apiserver")


def wait_until(condition: Callable[[], bool], timeout: float = 10.0) -> bool:
    """Another process's state has no event to wait on here."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_a_component_that_is_killed_comes_back(up: Up) -> None:
    up()
    before = apiserver()
    os.kill(before["pid"], signal.SIGKILL)
    assert wait_until(lambda: apiserver()["state"] == "ready" and apiserver()["pid"] != before["pid"])
    assert apiserver()["restarts"] == 1
    assert apiserver()["last_exit"] == -signal.SIGKILL


def test_a_stopped_component_stays_down_until_it_is_started(up: Up) -> None:
    up()
    before = apiserver()
    manage.component("default", "apiserver", "stop")
    assert wait_gone([before["pid"]]) == []
    assert wait_until(lambda: apiserver()["state"] == "stopped")
    manage.component("default", "apiserver", "start")
    assert wait_until(lambda: apiserver()["state"] == "ready")


def test_up_says_at_once_that_the_api_server_is_stopped_and_how_to_start_it(up: Up) -> None:
    up("two")
    manage.component("two", "apiserver", "stop")
    assert wait_until(lambda: manage.status("two").components[0]["state"] == "stopped")
    with pytest.raises(ClusterError, match="its API server is stopped; run: halab component start apiserver --name two"):
        up("two")


def test_up_does_not_wait_for_a_node_that_was_stopped_on_purpose(up: Up, monkeypatch: pytest.MonkeyPatch) -> None:
    up(without=("controllers", "scheduler", "dataplane"), nodes=2)
    manage.component("default", "node-agent/node-2", "stop", signal_name="SIGKILL")
    assert manage.wait_stopped("default", "node-agent/node-2")
    config = manage.configuration("default")
    assert config is not None
    api.delete(config, "/api/v1/nodes/node-2")  # which the controllers would only find NotReady after 40 seconds
    monkeypatch.setattr(manage, "UP_TIMEOUT", 30.0)
    told: list[str] = []
    again = manage.up("default", without=("controllers", "scheduler", "dataplane"), report=told.append)
    assert [(node.name, node.ready) for node in again.nodes] == [("node-1", True), ("node-2", False)]
    assert any("not Ready: node-2" in text for text in told)


def test_a_paused_component_does_nothing_and_is_not_replaced(up: Up) -> None:
    up()
    pid = apiserver()["pid"]
    assert manage.component("default", "apiserver", "pause")["state"] == "paused"
    assert wait_until(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")
    assert manage.component("default", "apiserver", "resume")["state"] == "ready"
    assert alive(pid)


def test_a_restart_makes_a_new_process(up: Up) -> None:
    up()
    before = apiserver()["pid"]
    manage.component("default", "apiserver", "restart", signal_name="SIGKILL")
    assert wait_until(lambda: apiserver()["state"] == "ready" and apiserver()["pid"] != before)


def test_unknown_components_actions_and_signals_are_refused(up: Up) -> None:
    up()
    with pytest.raises(Exception, match="one of: apiserver"):
        manage.component("default", "nobody", "stop")
    with pytest.raises(Exception, match="stop, start, restart, pause, resume"):
        manage.component("default", "apiserver", "dance")
    with pytest.raises(Exception, match="SIGNOTHING"):
        manage.component("default", "apiserver", "stop", signal_name="SIGNOTHING")


def test_asking_a_cluster_that_is_down_says_how_to_start_it(halab_home: Path) -> None:
    with pytest.raises(Exception, match="halab up"):
        manage.component("default", "apiserver", "stop")
    with pytest.raises(UsageError):
        manage.component("No Such", "apiserver", "stop")


def test_a_second_api_server_answers_when_the_first_is_stopped(up: Up) -> None:
    up()
    manage.component("default", "apiserver-2", "start")
    assert wait_until(lambda: state_of("apiserver-2") == "ready", 30)
    manage.component("default", "apiserver", "stop")
    assert wait_until(lambda: state_of("apiserver") == "stopped")
    assert all(node.ready for node in manage.status().nodes)
    manage.component("default", "apiserver-2", "stop")
    manage.component("default", "apiserver", "start")
    assert wait_until(lambda: state_of("apiserver") == "ready", 30)


def test_of_two_controller_managers_one_stands_by_and_the_cluster_is_well(up: Up) -> None:
    up(without=("nodes", "dataplane"))
    manage.component("default", "controllers-2", "start")
    assert wait_until(lambda: state_of("controllers-2") == "standby")
    assert manage.status().state == "running"
    manage.component("default", "controllers", "stop")
    assert wait_until(lambda: state_of("controllers-2") == "ready", 40)


def state_of(name: str) -> str:
    return next(str(one["state"]) for one in manage.status().components if one["name"] == name)
