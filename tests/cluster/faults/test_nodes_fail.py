"""Failures of nodes and of the control plane."""

from __future__ import annotations

import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

import pytest

from halab.backends.access import Obj
from halab.cluster.client.clock import seconds_of
from halab.cluster.supervisor import manage
from halab.course.requests import fetch_many
from halab.faults import api as faults

from .conftest import DEPLOYMENT, NAMESPACE, REPLICAS, Shop, ready, restarts, until


def busiest(shop: Shop) -> tuple[str, str]:
    """A node, and a pod of the application on it."""
    pod = shop.pods()[0]
    return pod["spec"]["nodeName"], pod["metadata"]["name"]


def lost(shop: Shop, node: str) -> None:
    def silent(nodes: list[Obj]) -> bool:
        return any(found["metadata"]["name"] == node and not ready(found) for found in nodes)

    shop.wait("nodes", silent)


def test_a_lost_node_takes_its_pods_along_and_others_replace_them(shop: Shop) -> None:
    node, pod = busiest(shop)
    url = shop.url(pod)
    with shop.users() as users, shop.inject("node-lost", node, detect=1):
        lost(shop, node)
        shop.wait("pods", lambda pods: sum(ready(found) and found["spec"]["nodeName"] != node for found in pods) == REPLICAS)
        users.wait(0.3)
    seen = users.availability()
    assert seen.failures and seen.ok
    assert url
    shop.wait("nodes", lambda nodes: all(map(ready, nodes)))


def test_the_pods_of_a_stopped_node_agent_run_on(shop: Shop) -> None:
    node, pod = busiest(shop)
    with shop.users(pod) as users, shop.inject("node-agent-stopped", node, detect=1):
        lost(shop, node)
        host, _, port = shop.url(pod).removeprefix("http://").rpartition(":")
        answers = fetch_many((host, int(port)), 1500)  # more log than a pipe holds that nobody reads
        meanwhile = users.availability()
    assert all(answer.status == 200 for answer in answers)
    assert meanwhile.ok
    assert not meanwhile.failures
    shop.wait("nodes", lambda nodes: all(map(ready, nodes)))


@pytest.fixture
def settler(shop: Shop) -> Iterator[tuple[str, str]]:
    """A node, and a pod there that a silent node's taint does not evict: whatever the controllers do meanwhile, the API server still knows it."""
    template = DEPLOYMENT["spec"]["template"]["spec"]
    spec = {key: template[key] for key in ("terminationGracePeriodSeconds", "volumes", "containers")}
    shop.api.create(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "settler", "namespace": NAMESPACE},
            "spec": {**spec, "tolerations": [{"operator": "Exists"}]},
        }
    )
    shop.wait_for_pod("settler", ready)
    yield shop.pod("settler")["spec"]["nodeName"], "settler"
    shop.api.delete("pods", "settler", grace=0)
    shop.wait("pods", lambda pods: all(pod["metadata"]["name"] != "settler" for pod in pods))


def test_a_node_that_is_cut_off_serves_and_heals_its_containers_itself(shop: Shop, settler: tuple[str, str]) -> None:
    node, pod = settler
    with shop.users(pod) as users, shop.inject("node-cut-off", node, detect=1):
        lost(shop, node)
        assert shop.ask(pod).status == 200
        shop.inject("container-killed", f"pod/{pod}", duration=1)
        assert until(lambda: shop.ask(pod).status == 200)
        assert restarts(shop.pod(pod)) == 0, "the API server cannot know of the restart"
    assert users.availability().ok
    shop.wait("nodes", lambda nodes: all(map(ready, nodes)))


def test_a_drained_node_is_left_by_its_pods_and_takes_no_new_ones(shop: Shop) -> None:
    node, _ = busiest(shop)
    with shop.users() as users, shop.inject("node-drained", node):
        shop.wait("pods", lambda pods: len(pods) == REPLICAS and all(map(ready, pods)))
        assert node not in {found["spec"]["nodeName"] for found in shop.pods()}
        assert shop.api.get("nodes", node)["spec"]["unschedulable"]
    assert users.availability().ok
    assert "unschedulable" not in shop.api.get("nodes", node)["spec"]


def test_a_drain_of_one_namespace_leaves_the_pods_of_others_alone(shop: Shop) -> None:
    node, _ = busiest(shop)
    before = {pod["metadata"]["name"] for pod in shop.pods()}
    with faults.inject(shop.backend, "node-drained", node, namespace="kube-system", pods="own"):
        assert shop.api.get("nodes", node)["spec"]["unschedulable"]
        assert {pod["metadata"]["name"] for pod in shop.pods()} == before


def test_users_do_not_notice_that_the_api_server_is_down(shop: Shop) -> None:
    with shop.users() as users:
        with shop.inject("apiserver-down"):
            with pytest.raises(OSError):
                shop.api.list("pods")
            users.wait(0.5)
        shop.wait("nodes", lambda nodes: all(map(ready, nodes)))
    assert not users.availability().failures


def test_without_controllers_a_deleted_pod_is_not_replaced_until_they_are_back(shop: Shop) -> None:
    _, pod = busiest(shop)
    with shop.inject("controllers-down"):
        shop.api.delete("pods", pod, grace=0)
        shop.wait("pods", lambda pods: len(pods) == REPLICAS - 1)
        with shop.users() as users:
            users.wait(0.5)
        assert len(shop.pods()) == REPLICAS - 1
    assert users.availability().ok
    shop.wait("pods", lambda pods: len(pods) == REPLICAS and all(map(ready, pods)))


def test_a_node_whose_clock_is_ahead_stays_ready_and_reports_the_future(shop: Shop) -> None:
    node, pod = busiest(shop)
    with shop.users() as users, shop.inject("clock-skew", node, seconds=7200):
        shop.inject("container-killed", pod, duration=1)
        shop.wait_for_pod(pod, lambda found: restarts(found) == 1 and ready(found))
        started = shop.pod(pod)["status"]["containerStatuses"][0]["state"]["running"]["startedAt"]
        assert seconds_of(started) > time.time() + 3600
        assert ready(shop.api.get("nodes", node))
    assert users.availability().ok
    assert manage.status().state == "running"


def test_programs_on_a_node_whose_clock_is_wrong_see_the_wrong_time_and_pause_the_right_one(shop: Shop) -> None:
    node, pod = busiest(shop)
    other = next(found["metadata"]["name"] for found in shop.pods() if found["spec"]["nodeName"] != node)

    def ahead(name: str) -> float:
        """By a server's own word: it runs on all the while, so nothing but the clock can have changed."""
        return parsedate_to_datetime(shop.ask(name).headers["date"]).timestamp() - time.time()

    since = shop.pod(pod)["status"]["containerStatuses"][0]["state"]["running"]["startedAt"]
    with shop.inject("clock-skew", node, seconds=-7200), shop.users(pod) as users:
        assert until(lambda: -7260 < ahead(pod) < -7140)
        assert abs(ahead(other)) < 60
        users.wait(0.5)
    assert users.availability().ok
    assert until(lambda: abs(ahead(pod)) < 60)
    assert shop.pod(pod)["status"]["containerStatuses"][0]["state"]["running"]["startedAt"] == since
