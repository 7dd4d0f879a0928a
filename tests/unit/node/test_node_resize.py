"""Resources of a running pod: what the node grants, what takes a restart."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from halab.cluster.node.plan import plan
from halab.cluster.node.publish import _patch
from halab.cluster.node.records import PodRecord, Run, adapt
from halab.cluster.node.resize import Resizer, must_restart, verdict, with_resources
from halab.cluster.node.status import pod_status

NODE = {"cpu": "2", "memory": "1Gi"}


def pod(cpu: str, memory: str = "16Mi", **container: Any) -> dict[str, Any]:
    main = {"name": "main", "image": "i", "resources": {"requests": {"cpu": cpu, "memory": memory}}, **container}
    return {"metadata": {"name": "p", "uid": "u", "generation": 1}, "spec": {"containers": [main]}, "status": {}}


class Handle:
    def __init__(self) -> None:
        self.limits: list[Any] = []

    def resize_limits(self, limits: Any) -> None:
        self.limits.append(limits)


class Worker:
    """What a Resizer asks of its worker: one running container, and neighbours."""

    def __init__(self, of: dict[str, Any], *others: dict[str, Any]) -> None:
        self.pod, self.uid = of, "u"
        self.node = SimpleNamespace(pods=lambda: list(others), allocatable=NODE)
        self.record = PodRecord(address="127.1.1.2", sandbox_ready=True, start_time="2026-01-01T00:00:00Z")
        adapt(self.record, of)
        self.handle = Handle()
        run = Run(id="x", attempt=0, image="i", image_id="", spec_image="i", state="running", started=1.0, handle=self.handle)
        run.resources = dict(of["spec"]["containers"][0]["resources"])
        self.run = self.record.containers["main"].run = run
        self.events: list[tuple[str, str]] = []
        self.resizer = Resizer(cast(Any, self))

    def event(self, kind: str, reason: str, message: str) -> None:
        self.events.append((reason, message))

    def wish(self, of: dict[str, Any]) -> None:
        of["metadata"]["generation"] = self.pod["metadata"]["generation"] + 1
        self.pod = of
        self.resizer.look()

    def reasons(self) -> list[str]:
        return [reason for reason, _ in self.events]


def test_a_change_that_fits_is_carried_out_in_place() -> None:
    worker = Worker(pod("100m"))
    worker.wish(pod("200m"))
    assert worker.reasons() == ["ResizeStarted", "ResizeCompleted"]
    assert worker.events[0][1] == (
        'Pod resize started: {"containers":[{"name":"main","resources":{"requests":{"cpu":"200m","memory":"16Mi"}}}],"generation":2}'
    )
    assert worker.run.resources["requests"]["cpu"] == "200m" and len(worker.handle.limits) == 1
    assert not plan(worker.pod, worker.record).kill


def test_a_change_that_the_policy_forbids_in_place_restarts_the_container() -> None:
    policy = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]
    worker = Worker(pod("100m", resizePolicy=policy))
    worker.wish(pod("100m", "32Mi", resizePolicy=policy))
    actions = plan(worker.pod, worker.record)
    assert [kill.message for kill in actions.kill] == ["Container main resize requires restart"]
    assert actions.main == ["main"]
    assert [each["type"] for each in worker.resizer.conditions(2)] == ["PodResizeInProgress"]
    worker.run.resources = worker.resizer.granted["main"]  # the new run has what was granted
    worker.resizer.look()
    assert worker.reasons() == ["ResizeStarted", "ResizeCompleted"] and worker.resizer.conditions(2) == []


def test_what_no_node_of_this_size_has_is_infeasible_and_what_others_have_is_deferred() -> None:
    assert verdict(pod("3"), [], NODE) == (
        "Infeasible",
        "Node didn't have enough capacity: cpu, requested: 3000, capacity: 2000",
    )
    assert verdict(pod("1500m"), [pod("1")], NODE) == (
        "Deferred",
        "Node didn't have enough resource: cpu, requested: 1500, used: 1000, capacity: 2000",
    )
    assert verdict(pod("1"), [pod("1")], NODE) is None


def test_a_wish_that_is_not_granted_is_told_once_and_changes_nothing() -> None:
    worker = Worker(pod("100m"))
    worker.wish(pod("3"))
    worker.resizer.look()
    assert worker.reasons() == ["ResizeInfeasible"]
    condition = worker.resizer.conditions(2)[0]
    assert (condition["type"], condition["reason"]) == ("PodResizePending", "Infeasible")
    granted = with_resources(worker.pod, worker.resizer.granted)
    assert granted["spec"]["containers"][0]["resources"]["requests"]["cpu"] == "100m"
    status = pod_status(worker.pod, worker.record, "127.1.0.1", resize=worker.resizer.conditions(2))
    assert status["containerStatuses"][0]["resources"]["requests"]["cpu"] == "100m"
    worker.wish(pod("100m"))
    assert worker.resizer.conditions(3) == []


def test_a_condition_that_is_over_is_taken_away() -> None:
    worker = Worker(pod("100m"))
    worker.resizer.pending = ("Deferred", "no")
    before = pod_status(worker.pod, worker.record, "127.1.0.1", resize=worker.resizer.conditions(1))
    after = pod_status(worker.pod, worker.record, "127.1.0.1")
    assert _patch(before, after)["conditions"] == [{"$patch": "delete", "type": "PodResizePending"}]


@pytest.mark.parametrize(("policy", "restarts"), [("NotRequired", False), ("RestartContainer", True)])
def test_only_the_resource_that_changes_decides(policy: str, restarts: bool) -> None:
    container = {"resizePolicy": [{"resourceName": "cpu", "restartPolicy": policy}]}
    has: dict[str, Any] = {"requests": {"cpu": "1", "memory": "1"}}
    assert must_restart(container, has, {"requests": {"cpu": "2", "memory": "1"}}) is restarts
    assert not must_restart(container, has, {"requests": {"cpu": "1", "memory": "2"}})


def test_an_agent_that_starts_anew_knows_what_was_granted() -> None:
    of = pod("3")
    of["status"] = {"containerStatuses": [{"name": "main", "resources": {"requests": {"cpu": "100m", "memory": "16Mi"}}}]}
    worker = Worker(of)
    worker.resizer.look()
    assert worker.reasons() == ["ResizeInfeasible"]
    assert worker.resizer.granted["main"]["requests"]["cpu"] == "100m"
