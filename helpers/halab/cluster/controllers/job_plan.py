"""What a Job should do next, as a pure function. ``job.py`` carries it out.

The life of a pod's result: it is finished (or deleted) and still carries the tracking finalizer -> its uid is noted in
``uncountedTerminatedPods`` -> the finalizer is taken off -> it is counted. So no result is lost or counted twice, whoever crashes when.
https://kubernetes.io/docs/concepts/workloads/controllers/job/ has the rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from halab.cluster.client import rfc3339, seconds_of
from halab.cluster.controllers.job_policies import failure_rule, indexes_of, ranges, success_rule
from halab.cluster.controllers.pods import is_active, is_deleting, is_ready, phase
from halab.cluster.kube.types import Obj

FINALIZER = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
INDEX_FAILURES = "batch.kubernetes.io/job-index-failure-count"
MOST_AT_ONCE = 500
BACKOFF, LONGEST_BACKOFF = 10.0, 600.0  # seconds after the first failed pod, and at most


@dataclass
class Plan:
    """``status`` before anything is counted; ``create`` completion indexes (-1: none) of pods to make."""

    status: Obj
    create: list[int] = field(default_factory=list)
    delete: list[Obj] = field(default_factory=list)
    release: list[Obj] = field(default_factory=list)  # pods whose finalizer goes once the status is written
    ending: Obj | None = None  # the condition SuccessCriteriaMet or FailureTarget, when the job is ending
    events: list[tuple[str, str, str]] = field(default_factory=list)
    again_in: float | None = None
    index_failures: dict[int, int] = field(default_factory=dict)


def condition_of(status: Obj, type: str) -> Obj | None:
    return next((each for each in status.get("conditions") or () if each["type"] == type and each["status"] == "True"), None)


def is_finished_job(job: Obj) -> bool:
    status = job.get("status") or {}
    return condition_of(status, "Complete") is not None or condition_of(status, "Failed") is not None


def make_condition(type: str, reason: str, message: str, now: float, value: str = "True") -> Obj:
    time = rfc3339(now)
    made = {"type": type, "status": value, "lastProbeTime": time, "lastTransitionTime": time}
    return made | ({"reason": reason} if reason else {}) | ({"message": message} if message else {})


def set_condition(status: Obj, made: Obj) -> None:
    """Where one of that type stands it is replaced, a new one goes to the end."""
    conditions = list(status.get("conditions") or ())
    at = next((index for index, each in enumerate(conditions) if each["type"] == made["type"]), len(conditions))
    status["conditions"] = [*conditions[:at], made, *conditions[at + 1 :]]


def tracked(pod: Obj) -> bool:
    return FINALIZER in (pod["metadata"].get("finalizers") or ())


def index_of(pod: Obj) -> int:
    text = (pod["metadata"].get("annotations") or {}).get(INDEX, "")
    return int(text) if text.isdecimal() else -1


def finished_at(pod: Obj) -> float:
    """When the pod's last container ended; else when it was deleted or made."""
    ends = [
        seconds_of((each.get("state") or {}).get("terminated", {}).get("finishedAt"))
        for each in (pod.get("status") or {}).get("containerStatuses") or ()
        if (each.get("state") or {}).get("terminated")
    ]
    meta = pod["metadata"]
    return max(ends, default=0.0) or seconds_of(meta.get("deletionTimestamp")) or seconds_of(meta.get("creationTimestamp"))


def only_replaces_failed(job: Obj) -> bool:
    return bool(job["spec"].get("podReplacementPolicy") == "Failed") or bool(job["spec"].get("podFailurePolicy"))


def has_failed(job: Obj, pod: Obj) -> bool:
    """A deleted pod counts as failed at once, unless the job waits for the end of what it replaces."""
    if phase(pod) == "Failed":
        return True
    return not only_replaces_failed(job) and is_deleting(pod) and phase(pod) != "Succeeded"


def is_indexed(job: Obj) -> bool:
    return bool(job["spec"].get("completionMode") == "Indexed")


class _Job:
    """The numbers of one pass."""

    def __init__(self, job: Obj, pods: Sequence[Obj], now: float) -> None:
        self.job, self.spec, self.pods, self.now = job, job["spec"], pods, now
        old: Obj = job.get("status") or {}
        self.uncounted: Obj = old.get("uncountedTerminatedPods") or {}
        noted = {*self.uncounted.get("succeeded", ()), *self.uncounted.get("failed", ())}
        self.fresh = fresh = [pod for pod in pods if tracked(pod) and pod["metadata"]["uid"] not in noted]
        self.new_succeeded = [pod for pod in fresh if phase(pod) == "Succeeded"]
        failed = [pod for pod in fresh if has_failed(job, pod)]
        self.ignored: list[Obj] = []
        self.fail_message = ""
        self.failed_by_policy: set[int] = set()
        self._apply_failure_policy(failed)
        self.new_failed = [pod for pod in failed if pod not in self.ignored]
        self.succeeded = old.get("succeeded", 0) + len(self.uncounted.get("succeeded", ())) + len(self.new_succeeded)
        self.failed = old.get("failed", 0) + len(self.uncounted.get("failed", ())) + len(self.new_failed)
        self.active = [pod for pod in pods if is_active(pod)]
        self.terminating = sum(is_deleting(pod) and phase(pod) not in ("Succeeded", "Failed") for pod in pods)
        self.indexed = is_indexed(job)
        self.completions: int | None = self.spec.get("completions")
        self.done: set[int] = set()
        self.failed_indexes: set[int] = set()
        self.index_failures: dict[int, int] = {}
        if self.indexed:
            self._count_indexes(old)

    def _apply_failure_policy(self, failed: Iterable[Obj]) -> None:
        for pod in failed:
            found = failure_rule(self.spec.get("podFailurePolicy"), pod)
            if found is None:
                continue
            action, message = found
            if action == "Ignore":
                self.ignored.append(pod)
            elif action == "FailJob" and not self.fail_message:
                self.fail_message = message
            elif action == "FailIndex":
                self.failed_by_policy.add(index_of(pod))

    def _count_indexes(self, old: Obj) -> None:
        total = self.completions or 0
        self.done = {i for i in indexes_of(old.get("completedIndexes", "")) if i < total}
        self.done |= {i for pod in self.new_succeeded if 0 <= (i := index_of(pod)) < total}
        noted = set(self.uncounted.get("succeeded", ()))
        self.done |= {i for pod in self.pods if pod["metadata"]["uid"] in noted and 0 <= (i := index_of(pod)) < total}
        self.succeeded = len(self.done)
        limit = self.spec.get("backoffLimitPerIndex")
        if limit is None:
            return
        self.failed_indexes = indexes_of(old.get("failedIndexes", ""))
        for pod in self.pods:
            if not has_failed(self.job, pod) or pod in self.ignored:
                continue
            index = index_of(pod)
            before = int((pod["metadata"].get("annotations") or {}).get(INDEX_FAILURES, "0"))
            self.index_failures[index] = max(self.index_failures.get(index, 0), before + 1)
            if (before + 1 > limit or index in self.failed_by_policy) and index not in self.done:
                self.failed_indexes.add(index)

    def fail_the_rest(self) -> None:
        """When a job has failed, what has not ended yet has failed as well."""
        passed = [*self.new_succeeded, *self.new_failed, *self.ignored]
        self.new_failed += [pod for pod in self.fresh if pod not in passed]

    @property
    def suspended(self) -> bool:
        return bool(self.spec.get("suspend"))

    def failure(self) -> tuple[str, str] | None:
        """(reason, message) if the job has failed."""
        limit = self.spec.get("backoffLimit", 6)
        if self.fail_message:
            return "PodFailurePolicy", self.fail_message
        if self.failed > limit or self._restarted_too_often(limit):
            return "BackoffLimitExceeded", "Job has reached the specified backoff limit"
        if self.until_deadline() == 0:
            return "DeadlineExceeded", "Job was active longer than specified deadline"
        if self.indexed and self.spec.get("backoffLimitPerIndex") is not None:
            most = self.spec.get("maxFailedIndexes")
            if most is not None and len(self.failed_indexes) > most:
                return "MaxFailedIndexesExceeded", "Job has exceeded the specified maximal number of failed indexes"
            if self.failed_indexes and len(self.failed_indexes | self.done) >= (self.completions or 0):
                return "FailedIndexes", "Job has failed indexes"
        return None

    def _restarted_too_often(self, limit: int) -> bool:
        if self.spec["template"]["spec"].get("restartPolicy") != "OnFailure":
            return False
        count = 0
        for pod in self.pods:
            if phase(pod) in ("Running", "Pending"):
                status = pod.get("status") or {}
                statuses = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
                count += sum(each.get("restartCount", 0) for each in statuses)
        return count > 0 if limit == 0 else count >= limit

    def until_deadline(self) -> float | None:
        """Seconds, 0 if it is past, None if there is none."""
        limit = self.spec.get("activeDeadlineSeconds")
        start = (self.job.get("status") or {}).get("startTime")
        if limit is None or start is None or self.suspended:
            return None
        return max(0.0, seconds_of(start) + float(limit) - self.now)

    def success(self) -> tuple[str, str] | None:
        """(reason, message) if the job has succeeded."""
        if self.indexed and (rule := success_rule(self.spec.get("successPolicy"), self.done, self.completions or 0)) is not None:
            return "SuccessPolicy", f"Matched rules at index {rule}"
        empty_queue = self.succeeded > 0 and not self.active  # without completions, one success means that the queue is empty
        complete = empty_queue if self.completions is None else self.succeeded >= self.completions
        return ("CompletionsReached", "Reached expected number of succeeded pods") if complete else None

    def wanted(self) -> int:
        """How many pods should be active."""
        parallelism: int = self.spec.get("parallelism", 1)
        if self.completions is None:
            return len(self.active) if self.succeeded else parallelism
        left = self.completions - self.succeeded - len(self.failed_indexes - self.done)
        return int(max(0, min(parallelism, left)))

    def backoff(self) -> float:
        """Seconds to wait before the next pod, because of the failures since the last success."""
        last_success = max((finished_at(pod) for pod in self.pods if phase(pod) == "Succeeded"), default=0.0)
        failures = sorted(finished_at(pod) for pod in self.pods if has_failed(self.job, pod) and pod not in self.ignored)
        recent = [time for time in failures if time > last_success]
        if not recent:
            return 0.0
        delay: float = min(BACKOFF * 2 ** min(len(recent) - 1, 10), LONGEST_BACKOFF)
        return max(0.0, recent[-1] + delay - self.now)

    def index_backoff(self, index: int) -> float:
        """The same for one index of a job whose indexes fail on their own."""
        failures = self.index_failures.get(index, 0)
        ends = [finished_at(pod) for pod in self.pods if index_of(pod) == index and has_failed(self.job, pod)]
        if not failures or not ends:
            return 0.0
        delay: float = min(BACKOFF * 2 ** min(failures - 1, 10), LONGEST_BACKOFF)
        return max(0.0, max(ends) + delay - self.now)

    def pending_indexes(self, count: int) -> list[int]:
        """The lowest indexes that nobody works on."""
        if not self.indexed:
            return [-1] * count
        busy = self.done | self.failed_indexes | {index_of(pod) for pod in self.active}
        if only_replaces_failed(self.job):
            busy |= {index_of(pod) for pod in self.pods if is_deleting(pod)}
        free = (i for i in range(self.completions or 0) if i not in busy)
        return [i for i, _ in zip(free, range(count), strict=False)]


def _surplus(numbers: _Job, count: int) -> list[Obj]:
    """The active pods to delete: pending before running, unready before ready, the youngest first; of an index twice there, one."""

    def worth(pod: Obj) -> tuple[bool, bool, bool, str]:
        return (
            bool(pod["spec"].get("nodeName")),
            phase(pod) == "Running",
            is_ready(pod),
            pod["metadata"].get("creationTimestamp", ""),
        )

    ordered = sorted(numbers.active, key=lambda pod: (*worth(pod)[:3], -seconds_of(worth(pod)[3])))
    if not numbers.indexed:
        return ordered[:count]
    # Of an indexed job first goes what has no business to be there: indexes beyond the end, and all but one of an index.
    seen: set[int] = set()
    wrong: list[Obj] = []
    for pod in reversed(ordered):
        index = index_of(pod)
        if not 0 <= index < (numbers.completions or 0) or index in seen:
            wrong.append(pod)
        seen.add(index)
    return [*wrong, *(pod for pod in ordered if pod not in wrong)][: max(count, len(wrong))]


def plan(job: Obj, pods: Sequence[Obj], now: float) -> Plan:
    """What to do for an unfinished ``job`` that owns ``pods``. ``now`` is Unix time."""
    numbers = _Job(job, pods, now)
    status: Obj = dict(job.get("status") or {})
    result = Plan(status, index_failures=numbers.index_failures)
    if not status.get("startTime") and not numbers.suspended:
        status["startTime"] = rfc3339(now)
        if limit := job["spec"].get("activeDeadlineSeconds"):
            result.again_in = float(limit)
    ending = condition_of(status, "FailureTarget") or condition_of(status, "SuccessCriteriaMet")
    if ending is None:
        if failure := numbers.failure():
            ending = make_condition("FailureTarget", *failure, now)
        elif success := numbers.success():
            ending = make_condition("SuccessCriteriaMet", *success, now)
        if ending:
            set_condition(status, ending)
    result.ending = ending
    left = len(numbers.active)
    if ending is not None:
        result.delete = list(numbers.active)
        if ending["type"] == "FailureTarget":
            numbers.fail_the_rest()
    elif not is_deleting(job):
        _manage(numbers, result)
        if (wait := numbers.until_deadline()) is not None:
            result.again_in = min(wait, result.again_in) if result.again_in is not None else wait
        _note_suspension(numbers, status, result)
    left -= len(result.delete)
    _count(numbers, status, left, len(result.delete))
    uncounted = {
        "succeeded": [*numbers.uncounted.get("succeeded", ()), *(pod["metadata"]["uid"] for pod in numbers.new_succeeded)],
        "failed": [*numbers.uncounted.get("failed", ()), *(pod["metadata"]["uid"] for pod in numbers.new_failed)],
    }
    status["uncountedTerminatedPods"] = {key: uids for key, uids in uncounted.items() if uids}
    noted = {uid for uids in uncounted.values() for uid in uids}
    ignored = {pod["metadata"]["uid"] for pod in numbers.ignored}
    result.release = [pod for pod in pods if tracked(pod) and (ending or pod["metadata"]["uid"] in noted | ignored)]
    return result


def _manage(numbers: _Job, result: Plan) -> None:
    active = len(numbers.active)
    if numbers.suspended:
        result.delete = list(numbers.active)
        return
    want = numbers.wanted()
    if active > want:
        result.delete = _surplus(numbers, min(active - want, MOST_AT_ONCE))
        return
    missing = want - active - (numbers.terminating if only_replaces_failed(numbers.job) else 0)
    if missing <= 0:
        return
    if numbers.indexed and numbers.spec.get("backoffLimitPerIndex") is not None:
        waits = {index: numbers.index_backoff(index) for index in numbers.pending_indexes(min(missing, MOST_AT_ONCE))}
        result.create = [index for index, wait in waits.items() if not wait]
        wait = min((wait for wait in waits.values() if wait), default=0.0)
    else:
        wait = numbers.backoff()
        result.create = [] if wait else numbers.pending_indexes(min(missing, MOST_AT_ONCE))
    if wait:
        result.again_in = wait


def _note_suspension(numbers: _Job, status: Obj, result: Plan) -> None:
    said = condition_of(status, "Suspended") is not None
    if numbers.suspended and not said:
        set_condition(status, make_condition("Suspended", "JobSuspended", "Job suspended", numbers.now))
        result.events.append(("Normal", "Suspended", "Job suspended"))
        status.pop("startTime", None)
    elif said and not numbers.suspended:
        set_condition(status, make_condition("Suspended", "JobResumed", "Job resumed", numbers.now, "False"))
        result.events.append(("Normal", "Resumed", "Job resumed"))
        status["startTime"] = rfc3339(numbers.now)


def _count(numbers: _Job, status: Obj, active: int, deleted: int) -> None:
    gone = deleted > 0 and active == 0
    status["ready"] = 0 if gone else sum(is_ready(pod) for pod in numbers.active)
    status["terminating"] = numbers.terminating + deleted
    if active:
        status["active"] = active
    else:
        status.pop("active", None)
    if numbers.failed_indexes or (numbers.indexed and numbers.spec.get("backoffLimitPerIndex") is not None):
        status["failedIndexes"] = ranges(numbers.failed_indexes)


def counted(
    job: Obj, status: Obj, released: Iterable[Obj], terminating: int, now: float
) -> tuple[Obj, list[tuple[str, str, str]]]:
    """The status once the finalizers of ``released`` are gone, with the final condition if nothing is left to wait for; and events."""
    status = dict(status)
    uncounted = status.get("uncountedTerminatedPods") or {}
    status["uncountedTerminatedPods"] = {}
    if is_indexed(job):
        uids = set(uncounted.get("succeeded", ()))
        total = job["spec"].get("completions") or 0
        done = indexes_of(status.get("completedIndexes", ""))
        done |= {i for pod in released if pod["metadata"]["uid"] in uids and 0 <= (i := index_of(pod)) < total}
        status["succeeded"] = len(done)
        if done:
            status["completedIndexes"] = ranges(done)
    else:
        status["succeeded"] = status.get("succeeded", 0) + len(uncounted.get("succeeded", ()))
    status["failed"] = status.get("failed", 0) + len(uncounted.get("failed", ()))
    for field_name in ("succeeded", "failed"):
        if not status[field_name]:
            del status[field_name]
    events: list[tuple[str, str, str]] = []
    ending = condition_of(status, "FailureTarget") or condition_of(status, "SuccessCriteriaMet")
    if ending is not None and not terminating and not status.get("active"):
        good = ending["type"] == "SuccessCriteriaMet"
        made = make_condition("Complete" if good else "Failed", ending.get("reason", ""), ending.get("message", ""), now)
        set_condition(status, made)
        if good:
            status["completionTime"] = made["lastTransitionTime"]
            events.append(("Normal", "Completed", "Job completed"))
        else:
            events.append(("Warning", made.get("reason", ""), made.get("message", "")))
    return status, events
