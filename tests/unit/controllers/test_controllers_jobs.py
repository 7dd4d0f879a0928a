"""Jobs and cron jobs: what is counted, what is made, when a job ends."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from controller_objects import NOW, made, pod

from halab.cluster.client import rfc3339
from halab.cluster.controllers import cron, cron_job
from halab.cluster.controllers.job_plan import FINALIZER, counted, plan
from halab.cluster.controllers.job_policies import failure_rule, indexes_of, ranges, success_rule
from halab.cluster.controllers.ttl import time_left
from halab.cluster.kube.types import Obj


def job(*, status: Obj | None = None, **spec: Any) -> Obj:
    body = {"completions": 1, "parallelism": 1, "backoffLimit": 6, "template": {"spec": {"restartPolicy": "Never"}}}
    started = {"startTime": rfc3339(NOW - 10), "uncountedTerminatedPods": {}, "ready": 0, "terminating": 0}
    return made("Job", "work", "batch/v1", spec=body | spec, status=started | (status or {}))


def worker(name: str, phase: str = "Running", *, index: int | None = None, ended: float = 0.0, **more: Any) -> Obj:
    each = pod(name, phase=phase, **more)
    each["metadata"]["finalizers"] = [FINALIZER]
    if index is not None:
        each["metadata"]["annotations"] = {"batch.kubernetes.io/job-completion-index": str(index)}
    if ended:
        each["status"]["containerStatuses"] = [
            {"name": "main", "state": {"terminated": {"finishedAt": rfc3339(ended), "exitCode": 1}}}
        ]
    return each


def types(status: Obj) -> list[str]:
    return [each["type"] for each in status.get("conditions") or ()]


def test_a_job_starts_its_pods_and_notes_when() -> None:
    fresh = made("Job", "work", "batch/v1", spec={"completions": 3, "parallelism": 2, "template": {"spec": {}}}, status={})
    todo = plan(fresh, [], NOW)
    assert todo.create == [-1, -1] and todo.status["startTime"] == rfc3339(NOW)


def test_a_result_is_noted_then_counted_and_then_ends_the_job() -> None:
    work = job()
    todo = plan(work, [worker("a", "Succeeded")], NOW)
    assert todo.status["uncountedTerminatedPods"] == {"succeeded": ["uid-a"]}
    assert types(todo.status) == ["SuccessCriteriaMet"]
    status, events = counted(work, todo.status, todo.release, 0, NOW)
    assert status["succeeded"] == 1 and status["uncountedTerminatedPods"] == {} and "failed" not in status
    assert types(status) == ["SuccessCriteriaMet", "Complete"] and status["completionTime"] == rfc3339(NOW)
    assert events == [("Normal", "Completed", "Job completed")]


def test_a_crash_between_noting_and_counting_loses_nothing() -> None:
    noted = job(status={"uncountedTerminatedPods": {"succeeded": ["uid-a"]}})
    free = worker("a", "Succeeded")
    free["metadata"]["finalizers"] = []
    todo = plan(noted, [free], NOW)
    assert counted(noted, todo.status, todo.release, 0, NOW)[0]["succeeded"] == 1


def test_a_failed_pod_is_replaced_after_a_growing_pause() -> None:
    failed = [worker("a", "Failed", ended=NOW - 3)]
    assert plan(job(), failed, NOW).again_in == pytest.approx(7, abs=1)
    failed.append(worker("b", "Failed", ended=NOW - 3))
    assert plan(job(), failed, NOW).again_in == pytest.approx(17, abs=1)
    assert plan(job(), failed, NOW + 20).create == [-1]


def test_the_back_off_limit_ends_a_job_and_its_pods() -> None:
    todo = plan(job(backoffLimit=0, parallelism=2, completions=2), [worker("a", "Failed"), worker("b")], NOW)
    assert todo.ending is not None and todo.ending["reason"] == "BackoffLimitExceeded"
    assert [each["metadata"]["name"] for each in todo.delete] == ["b"]
    assert todo.status["uncountedTerminatedPods"] == {"failed": ["uid-a", "uid-b"]}


def test_a_job_waits_for_its_last_pod_before_it_has_failed() -> None:
    work = job(activeDeadlineSeconds=5)
    todo = plan(work, [worker("a")], NOW)
    assert types(counted(work, todo.status, todo.release, 1, NOW)[0]) == ["FailureTarget"]
    status, events = counted(work, todo.status, todo.release, 0, NOW)
    assert types(status) == ["FailureTarget", "Failed"]
    assert events == [("Warning", "DeadlineExceeded", "Job was active longer than specified deadline")]


def test_restarts_count_against_the_limit_when_pods_restart_themselves() -> None:
    restarting = worker("a")
    restarting["status"]["containerStatuses"] = [{"name": "main", "restartCount": 2, "state": {}}]
    work = job(backoffLimit=2, template={"spec": {"restartPolicy": "OnFailure"}})
    ending = plan(work, [restarting], NOW).ending
    assert ending is not None and ending["reason"] == "BackoffLimitExceeded"


def test_a_suspended_job_gives_up_its_pods_and_says_so() -> None:
    todo = plan(job(suspend=True), [worker("a")], NOW)
    assert len(todo.delete) == 1 and "startTime" not in todo.status and types(todo.status) == ["Suspended"]
    resumed = plan(job(status={"conditions": todo.status["conditions"]}), [], NOW)
    assert resumed.events == [("Normal", "Resumed", "Job resumed")] and resumed.create == [-1]


def test_an_indexed_job_works_on_the_lowest_free_indexes() -> None:
    work = job(completionMode="Indexed", completions=5, parallelism=3, status={"completedIndexes": "0"})
    assert plan(work, [worker("a", index=2)], NOW).create == [1, 3]
    status, _ = counted(
        work, plan(work, [worker("b", "Succeeded", index=1)], NOW).status, [worker("b", "Succeeded", index=1)], 0, NOW
    )
    assert status["completedIndexes"] == "0,1" and status["succeeded"] == 2


def test_an_index_may_fail_alone() -> None:
    work = job(completionMode="Indexed", completions=2, parallelism=2, backoffLimitPerIndex=0, backoffLimit=2**31 - 1)
    todo = plan(work, [worker("a", "Failed", index=0), worker("b", "Succeeded", index=1)], NOW)
    assert todo.status["failedIndexes"] == "0"
    assert todo.ending is not None and todo.ending["reason"] == "FailedIndexes"


def test_an_index_that_failed_waits_alone_for_its_next_try() -> None:
    work = job(completionMode="Indexed", completions=3, parallelism=2, backoffLimitPerIndex=2, backoffLimit=2**31 - 1)
    failed = worker("a", "Failed", index=0, ended=NOW - 4)
    todo = plan(work, [failed], NOW)
    assert (todo.create, todo.again_in) == ([1], 6.0)
    later = plan(work, [failed, worker("b", index=1)], NOW + 6)
    assert later.create == [0] and later.index_failures[0] == 1


def test_the_failure_policy_names_container_code_and_rule() -> None:
    each = worker("a", "Failed")
    each["status"]["containerStatuses"] = [{"name": "main", "state": {"terminated": {"exitCode": 42}}}]
    policy = {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}]}
    text = "Container main for pod ns/a failed with exit code 42 matching FailJob rule at index 0"
    assert failure_rule(policy, each) == ("FailJob", text)
    ending = plan(job(podFailurePolicy=policy), [each], NOW).ending
    assert ending is not None and (ending["reason"], ending["message"]) == ("PodFailurePolicy", text)


def test_ignored_failures_are_released_but_not_counted() -> None:
    each = worker("a", "Failed")
    each["status"]["conditions"].append({"type": "DisruptionTarget", "status": "True"})
    policy = {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]}
    todo = plan(job(podFailurePolicy=policy, backoffLimit=0), [each], NOW)
    assert todo.status["uncountedTerminatedPods"] == {} and todo.release == [each] and todo.ending is None


def test_sets_of_indexes_are_written_as_ranges() -> None:
    assert ranges({0, 1, 2, 5, 7, 8}) == "0-2,5,7,8"
    assert indexes_of("0-2,5,7,8") == {0, 1, 2, 5, 7, 8}
    assert success_rule({"rules": [{"succeededIndexes": "0-2", "succeededCount": 2}]}, {1, 2, 4}, 5) == 0


def test_a_finished_job_has_its_time_to_live() -> None:
    ended = {"conditions": [{"type": "Complete", "status": "True", "lastTransitionTime": rfc3339(NOW - 3)}]}
    assert time_left(job(ttlSecondsAfterFinished=10, status=ended), NOW) == 7
    assert time_left(job(ttlSecondsAfterFinished=10), NOW) is None


# Schedules


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "after", "expected"),
    [
        ("* * * * *", "2024-01-01T00:00:30", "2024-01-01T00:01"),
        ("0 * * * *", "2024-01-01T00:00", "2024-01-01T01:00"),
        ("*/15 9-17 * * mon-fri", "2024-01-05T17:45", "2024-01-08T09:00"),
        ("0 0 29 2 *", "2024-03-01T00:00", "2028-02-29T00:00"),
        ("0 12 1 * 0", "2024-01-02T00:00", "2024-01-07T12:00"),
        ("@monthly", "2024-01-02T00:00", "2024-02-01T00:00"),
        ("30 4 * * 7", "2024-01-01T00:00", "2024-01-07T04:30"),
        ("5/20 * * * *", "2024-01-01T00:06", "2024-01-01T00:25"),
    ],
)
def test_a_schedule_finds_its_next_time(schedule: str, after: str, expected: str) -> None:
    assert cron.parse(schedule).next(at(after)) == at(expected)


@pytest.mark.parametrize("text", ["", "* * * *", "60 * * * *", "a * * * *", "* * * * 8", "5-1 * * * *"])
def test_what_is_no_schedule_is_refused(text: str) -> None:
    with pytest.raises(cron.ScheduleError):
        cron.parse(text)


def hourly(*, last: str | None = None, active: list[Obj] | None = None, **spec: Any) -> Obj:
    body = {"schedule": "0 * * * *", "jobTemplate": {"metadata": {"labels": {"a": "b"}}, "spec": {"template": {}}}}
    status = ({"lastScheduleTime": last} if last else {}) | ({"active": active} if active else {})
    return made("CronJob", "hourly", "batch/v1", spec=body | spec, status=status)


def test_a_missed_time_makes_one_job_named_after_it() -> None:
    moment = at("2024-01-01T10:20").timestamp()
    todo = cron_job.plan(hourly(last="2024-01-01T03:00:00Z"), [], moment)
    assert todo.create is not None
    scheduled = at("2024-01-01T10:00")
    assert todo.create["metadata"]["name"] == f"hourly-{int(scheduled.timestamp()) // 60}"
    assert todo.create["metadata"]["annotations"] == {"batch.kubernetes.io/cronjob-scheduled-timestamp": "2024-01-01T10:00:00Z"}
    assert todo.again_in == pytest.approx(40 * 60, abs=1)


def test_a_schedule_that_never_comes_is_told_and_left_alone() -> None:
    todo = cron_job.plan(hourly(schedule="59 23 31 2 *"), [], at("2024-01-01T10:20").timestamp())
    assert (todo.create, todo.again_in) == (None, None)
    said = "invalid schedule: 59 23 31 2 * : time difference between two schedules is less than 1 second"
    assert todo.events == [("Warning", "InvalidSchedule", said)]


def test_a_time_that_was_served_is_not_served_again() -> None:
    assert cron_job.plan(hourly(last="2024-01-01T10:00:00Z"), [], at("2024-01-01T10:20").timestamp()).create is None


def test_a_time_zone_moves_the_schedule() -> None:
    daily = hourly(last="2024-01-01T00:00:00Z", schedule="0 9 * * *", timeZone="Asia/Tokyo")
    todo = cron_job.plan(daily, [], at("2024-01-01T00:30").timestamp())
    assert todo.create is None
    assert todo.again_in == pytest.approx(23.5 * 3600, abs=1)


@pytest.mark.parametrize(("policy", "starts", "deletes"), [("Allow", True, 0), ("Forbid", False, 0), ("Replace", True, 1)])
def test_the_concurrency_policy_decides_about_a_second_run(policy: str, starts: bool, deletes: int) -> None:
    running = job()
    active = [{"name": "work", "uid": "uid-work"}]
    owner = hourly(last="2024-01-01T09:00:00Z", active=active, concurrencyPolicy=policy)
    todo = cron_job.plan(owner, [running], at("2024-01-01T10:20").timestamp())
    assert (todo.create is not None, len(todo.delete)) == (starts, deletes)


def test_a_start_that_is_too_late_is_missed() -> None:
    owner = hourly(last="2024-01-01T09:00:00Z", startingDeadlineSeconds=60)
    assert cron_job.plan(owner, [], at("2024-01-01T10:20").timestamp()).create is None


def test_finished_runs_leave_the_active_list_and_the_history_is_kept_short() -> None:
    done = []
    for i in range(3):
        each = job(status={"conditions": [{"type": "Complete", "status": "True"}], "startTime": f"2024-01-01T0{i}:00:00Z"})
        each["metadata"] |= {"name": f"run-{i}", "uid": f"uid-{i}"}
        done.append(each)
    owner = hourly(last="2024-01-01T10:00:00Z", active=[{"name": "run-2", "uid": "uid-2"}], successfulJobsHistoryLimit=1)
    todo = cron_job.plan(owner, done, at("2024-01-01T10:20").timestamp())
    assert [each["metadata"]["name"] for each in todo.delete] == ["run-0", "run-1"]
    assert "active" not in todo.status
    assert ("Normal", "SawCompletedJob", "Saw completed job: run-2, condition: Complete") in todo.events


def test_a_suspended_cron_job_starts_nothing() -> None:
    assert cron_job.plan(hourly(suspend=True), [], NOW).create is None


def test_of_an_indexed_job_that_shrank_the_indexes_beyond_its_end_go_first() -> None:
    of = job(completions=2, parallelism=2, completionMode="Indexed")
    todo = plan(of, [worker(f"p{index}", index=index) for index in range(3)], NOW)
    assert [each["metadata"]["name"] for each in todo.delete] == ["p2"]
