"""Users' requests through doors: many of them, over few sessions, and an API server that is away meanwhile is not the application's failure."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from halab.backends.existing import Existing
from halab.cluster.supervisor import manage
from halab.traffic.meter import Meter

from .conftest import Somebodys

pytestmark = pytest.mark.needs("kubectl", "nginx")
RATE = 100.0


@pytest.fixture(scope="module")
def web(somebodys: Somebodys) -> Iterator[str]:
    somebodys.kubectl("-n", "alice", "create", "deployment", "web", "--image=nginx:1.27", "--replicas=2")
    somebodys.kubectl("-n", "alice", "expose", "deployment", "web", "--port=80")
    somebodys.kubectl("-n", "alice", "rollout", "status", "deployment/web", "--timeout=60s")
    yield "web"
    somebodys.kubectl("-n", "alice", "delete", "deployment,service", "web")


@pytest.fixture
def door(somebodys: Somebodys, web: str) -> tuple[Existing, str]:
    cluster = Existing("loaded", {"kubeconfig": str(somebodys.learner), "namespace": "alice", "load": "none"})
    cluster.up(lambda _text: None)
    return cluster, "http://{}:{}".format(*cluster.service("alice", web, 80))


def test_hundreds_of_requests_share_a_session_a_pod(door: tuple[Existing, str]) -> None:
    cluster, url = door
    seen = Meter(url, rate=RATE, duration=3).finish()
    assert (seen.ok, seen.astray) == (seen.sent, 0), seen.sentence()
    sessions = cluster.doors().sessions()
    assert 2 <= sessions <= 8, f"{seen.sent} requests took {sessions} sessions"


def test_while_the_api_server_is_away_requests_go_astray_and_none_counts_as_failed(door: tuple[Existing, str]) -> None:
    _, url = door
    with Meter(url, rate=RATE) as users:
        users.wait(0.5)
        manage.component("real", "apiserver", "stop", signal_name="SIGKILL")
        users.wait(0.5)
        manage.component("real", "apiserver", "start")
        back, deadline = time.time(), time.monotonic() + 30
        while not any(request.ok for request in users.requests if request.at > back):
            assert time.monotonic() < deadline, f"the way is not there again: {users.requests[-1]}"
            users.wait(0.5)
        seen = users.stop()
    assert seen.failures == {} and seen.astray > 0, seen.sentence()


def test_a_pod_that_dies_under_load_is_the_users_loss(somebodys: Somebodys, door: tuple[Existing, str]) -> None:
    _, url = door
    with Meter(f"{url}/", rate=RATE) as users:
        users.wait(0.5)
        somebodys.kubectl("-n", "alice", "delete", "pods", "-l", "app=web", "--grace-period=0", "--force")
        users.wait(1)
        seen = users.stop()
    assert seen.ok < seen.sent and seen.astray == 0, seen.sentence()
    somebodys.kubectl("-n", "alice", "rollout", "status", "deployment/web", "--timeout=60s")


def test_a_node_port_that_can_be_dialled_is_dialled(somebodys: Somebodys, door: tuple[Existing, str]) -> None:
    cluster, url = door
    somebodys.kubectl("-n", "alice", "expose", "deployment", "web", "--name=open", "--type=NodePort", "--port=80")
    deadline = time.monotonic() + 15
    while (found := cluster.service("alice", "open", 80))[0] == "127.0.0.1":  # the nodes take it up a moment after the API does
        assert time.monotonic() < deadline, "the NodePort is not dialled"
        time.sleep(0.1)
    host, port = found
    assert port >= 30000 and f"{host}:{port}" not in url
    assert Meter(f"http://{host}:{port}", rate=20, duration=0.5).finish().failures == {}
    somebodys.kubectl("-n", "alice", "delete", "service", "open")
