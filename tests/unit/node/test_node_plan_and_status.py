"""What the agent does next with a pod and what it reports, from specifications and container states alone."""

from __future__ import annotations

import time
from typing import Any

import pytest

from halab.cluster.node.backoff import Backoff, go_duration
from halab.cluster.node.plan import plan
from halab.cluster.node.records import PodRecord, Probe, Record, Run, adapt
from halab.cluster.node.status import pod_status, terminated, with_transition_times


def pod(*names: str, init: tuple[Any, ...] = (), policy: str = "Always", **spec: Any) -> dict[str, Any]:
    inits = [{"name": item, "image": "i"} if isinstance(item, str) else {"image": "i", **item} for item in init]
    return {
        "metadata": {"name": "p", "namespace": "ns", "uid": "u", "generation": 1},
        "spec": {
            "containers": [{"name": name, "image": "i"} for name in names],
            "initContainers": inits,
            "restartPolicy": policy,
            **spec,
        },
        "status": {},
    }


def recorded(of: dict[str, Any], **states: Any) -> PodRecord:
    """``running``, an exit code, or absent for a container that has not begun."""
    record = PodRecord(address="127.1.1.2", sandbox_ready=True, start_time="2026-01-01T00:00:00Z")
    adapt(record, of)
    for name, state in states.items():
        item: Record = record.containers[name]
        item.run = Run(id=f"halab://{name}", attempt=0, image="i", image_id="i@x", spec_image="i", started=1.0)
        if state == "running":
            item.run.state = "running"
        else:
            item.run.state, item.run.exit_code, item.run.finished = "exited", state, 2.0
            item.run.reason = "Completed" if state == 0 else "Error"
    return record


def test_init_containers_go_one_by_one_and_the_main_ones_after_them() -> None:
    of = pod("main", init=("one", "two"))
    assert plan(of, recorded(of)).init == ["one"]
    assert plan(of, recorded(of, one="running")).nothing
    assert plan(of, recorded(of, one=0)).init == ["two"]
    assert plan(of, recorded(of, one=0, two=0)).main == ["main"]


def test_a_failed_init_container_is_tried_again_or_ends_the_pod() -> None:
    again = pod("main", init=("one",))
    assert plan(again, recorded(again, one=3)).init == ["one"]
    never = pod("main", init=("one",), policy="Never")
    assert plan(never, recorded(never, one=3)).kill_pod


def test_a_sidecar_lets_the_next_start_once_it_has_started() -> None:
    side = {"name": "side", "restartPolicy": "Always", "startupProbe": {"exec": {"command": ["true"]}}}
    of = pod("main", init=(side, "setup"))
    record = recorded(of, side="running")
    assert plan(of, record).nothing
    record.containers["side"].startup = Probe.SUCCESS
    assert plan(of, record).init == ["setup"]


def test_a_sidecar_is_restarted_beside_running_containers_but_does_not_keep_the_pod_alive() -> None:
    of = pod("main", init=({"name": "side", "restartPolicy": "Always"},), policy="Never")
    assert plan(of, recorded(of, side=1, main="running")).init == ["side"]
    assert plan(of, recorded(of, side="running", main=0)).kill_pod


@pytest.mark.parametrize(
    ("policy", "code", "restarts"),
    [("Always", 0, True), ("Always", 1, True), ("OnFailure", 0, False), ("OnFailure", 1, True), ("Never", 1, False)],
)
def test_the_restart_policy_decides_by_exit_code(policy: str, code: int, restarts: bool) -> None:
    of = pod("main", policy=policy)
    assert bool(plan(of, recorded(of, main=code)).main) is restarts


def test_a_failed_liveness_probe_kills_and_restarts() -> None:
    of = pod("main", "other")
    record = recorded(of, main="running", other="running")
    record.containers["main"].liveness = Probe.FAILURE
    actions = plan(of, record)
    assert [kill.message for kill in actions.kill] == ["Container main failed liveness probe, will be restarted"]
    assert actions.main == ["main"]


def test_under_never_a_failed_liveness_probe_of_the_only_container_ends_the_pod() -> None:
    of = pod("main", policy="Never")
    record = recorded(of, main="running")
    record.containers["main"].liveness = Probe.FAILURE
    assert plan(of, record).kill_pod


def test_another_image_restarts_the_container_even_under_never() -> None:
    of = pod("main", policy="Never")
    record = recorded(of, main="running")
    of["spec"]["containers"][0]["image"] = "j"
    actions = plan(of, record)
    assert actions.kill[0].message == "Container main definition changed, will be restarted"
    assert actions.main == ["main"]


def conditions(status: dict[str, Any]) -> dict[str, tuple[str, str, str]]:
    return {item["type"]: (item["status"], item.get("reason", ""), item.get("message", "")) for item in status["conditions"]}


def test_a_running_pod_has_five_true_conditions() -> None:
    of = pod("main")
    status = pod_status(of, recorded(of, main="running"), "127.1.0.10")
    assert status["phase"] == "Running"
    assert {value[0] for value in conditions(status).values()} == {"True"}
    assert len(status["conditions"]) == 5
    assert status["observedGeneration"] == 1


def test_statuses_are_sorted_by_name_but_messages_follow_the_specification() -> None:
    of = pod("slow", "late")
    record = recorded(of, slow="running", late="running")
    for item in record.containers.values():
        item.readiness = Probe.FAILURE
    status = pod_status(of, record, "127.1.0.10")
    assert [item["name"] for item in status["containerStatuses"]] == ["late", "slow"]
    assert conditions(status)["Ready"] == ("False", "ContainersNotReady", "containers with unready status: [slow late]")


def test_a_pending_pod_waits_for_its_init_containers() -> None:
    of = pod("main", init=("one", "two"))
    status = pod_status(of, recorded(of, one="running"), "127.1.0.10")
    assert status["phase"] == "Pending"
    assert status["containerStatuses"][0]["state"] == {"waiting": {"reason": "PodInitializing"}}
    assert conditions(status)["Initialized"] == (
        "False",
        "ContainersNotInitialized",
        "containers with incomplete status: [one two]",
    )
    one, two = status["initContainerStatuses"]
    assert (one["started"], one["ready"], two["started"]) == (True, False, False)


@pytest.mark.parametrize(
    ("policy", "codes", "phase", "reason"),
    [
        ("Never", (0, 0), "Succeeded", "PodCompleted"),
        ("Never", (0, 2), "Failed", "PodFailed"),
        ("OnFailure", (0, 0), "Succeeded", "PodCompleted"),
    ],
)
def test_phases_of_pods_that_have_ended(policy: str, codes: tuple[int, int], phase: str, reason: str) -> None:
    of = pod("a", "b", policy=policy)
    status = pod_status(of, recorded(of, a=codes[0], b=codes[1]), "127.1.0.10")
    assert status["phase"] == phase
    assert conditions(status)["Ready"][:2] == ("False", reason)


def test_a_deleted_pod_reaches_its_final_phase_even_under_always() -> None:
    of = pod("main")
    of["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert pod_status(of, recorded(of, main=12), "127.1.0.10", terminal=True)["phase"] == "Failed"
    assert pod_status(of, recorded(of, main=0), "127.1.0.10", terminal=True)["phase"] == "Succeeded"


def test_a_crash_loop_shows_the_last_end_beside_the_reason_to_wait() -> None:
    of = pod("main")
    record = recorded(of, main=1)
    record.containers["main"].waiting = ("CrashLoopBackOff", "back-off 10s restarting failed container=main pod=p_ns(u)")
    status = pod_status(of, record, "127.1.0.10")["containerStatuses"][0]
    assert status["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert status["lastState"]["terminated"]["exitCode"] == 1


def test_a_container_that_ended_for_good_has_no_last_state() -> None:
    of = pod("main", policy="OnFailure")
    record = recorded(of, main=0)
    record.containers["main"].last = Run("halab://x", 0, "i", "", "i", "exited", exit_code=9)
    assert pod_status(of, record, "127.1.0.10")["containerStatuses"][0]["lastState"] == {}


def test_readiness_gates_are_looked_up_among_the_pods_conditions() -> None:
    of = pod("main", readinessGates=[{"conditionType": "example.com/ok"}])
    record = recorded(of, main="running")
    missing = conditions(pod_status(of, record, "127.1.0.10"))["Ready"]
    assert missing[1:] == (
        "ReadinessGatesNotReady",
        'corresponding condition of pod readiness gate "example.com/ok" does not exist.',
    )
    of["status"]["conditions"] = [{"type": "example.com/ok", "status": "True"}]
    assert conditions(pod_status(of, record, "127.1.0.10"))["Ready"][0] == "True"


def test_transition_times_change_only_with_the_status() -> None:
    before = {"conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": "then"}]}
    same = with_transition_times({"conditions": [{"type": "Ready", "status": "False"}]}, before, "now")
    other = with_transition_times({"conditions": [{"type": "Ready", "status": "True"}]}, before, "now")
    assert same["conditions"][0]["lastTransitionTime"] == "then"
    assert other["conditions"][0]["lastTransitionTime"] == "now"


def test_back_off_doubles_to_five_minutes_and_is_forgotten_after_ten_quiet_ones() -> None:
    backoff, now = Backoff(), 1000.0
    assert backoff.remaining("k", now, now) == 0
    delays = []
    for _ in range(7):
        backoff.next("k", now, now)
        delays.append(backoff.delay("k"))
        assert backoff.remaining("k", now + 1, now + 1) == delays[-1]
        now += delays[-1] + 1
    assert delays == [10, 20, 40, 80, 160, 300, 300]
    assert backoff.remaining("k", now + 601, now + 601) == 0
    backoff.next("k", now + 601, now + 601)
    assert backoff.delay("k") == 10


@pytest.mark.parametrize("jump", [86400.0, -86400.0])
def test_a_clock_that_jumps_changes_nothing_about_a_wait_that_has_begun(monkeypatch: pytest.MonkeyPatch, jump: float) -> None:
    backoff, real = Backoff(), time.time
    failed = real()
    backoff.next("k", failed)
    assert 9 < backoff.remaining("k", failed) <= 10
    monkeypatch.setattr(time, "time", lambda: real() + jump)
    assert 9 < backoff.remaining("k", failed) <= 10


@pytest.mark.parametrize(("seconds", "text"), [(10, "10s"), (80, "1m20s"), (300, "5m0s"), (3600, "1h0m0s")])
def test_durations_read_as_go_prints_them(seconds: int, text: str) -> None:
    assert go_duration(seconds) == text


def test_what_never_ran_has_ended_when_its_pod_was_terminated() -> None:
    of = pod("main")
    record = recorded(of)
    record.containers["main"].waiting = ("ImagePullBackOff", "no")
    status = terminated(of, pod_status(of, record, "127.1.0.1", terminal=True))
    state = status["containerStatuses"][0]["state"]["terminated"]
    assert (status["phase"], state["exitCode"], state["reason"]) == ("Failed", 137, "ContainerStatusUnknown")


def test_main_containers_of_a_pod_that_was_never_initialized_stay_as_they_are_when_it_ends() -> None:
    of = pod("main", init=("one", "two"))
    status = terminated(of, pod_status(of, recorded(of, one=1), "127.1.0.1", terminal=True))
    assert [list(each["state"]) for each in status["initContainerStatuses"]] == [["terminated"], ["waiting"]]
    assert list(status["containerStatuses"][0]["state"]) == ["waiting"]
    assert status["phase"] == "Failed"


@pytest.mark.parametrize(
    ("policy", "code", "state"), [("Always", 1, "waiting"), ("Always", 0, "terminated"), ("Never", 1, "terminated")]
)
def test_a_sidecar_in_its_back_off_waits_only_where_kubelet_says_so(policy: str, code: int, state: str) -> None:
    of = pod("main", init=({"name": "side", "restartPolicy": "Always"},), policy=policy)
    record = recorded(of, main="running", side=code)
    record.containers["side"].waiting = ("CrashLoopBackOff", "back-off")
    assert list(pod_status(of, record, "127.1.0.1")["initContainerStatuses"][0]["state"]) == [state]


def test_statuses_of_main_and_ephemeral_containers_are_sorted_by_name_and_those_of_init_containers_are_not() -> None:
    of = pod("b", "a", init=("y", "x"))
    of["spec"]["ephemeralContainers"] = [{"name": "e2", "image": "i"}, {"name": "e1", "image": "i"}]
    status = pod_status(of, recorded(of), "127.1.0.1")
    sections = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
    assert [[each["name"] for each in status[section]] for section in sections] == [["y", "x"], ["a", "b"], ["e1", "e2"]]
