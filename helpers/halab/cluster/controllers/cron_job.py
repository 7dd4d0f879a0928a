"""CronJobs: a Job whenever the schedule says so. ``plan`` is pure; its words are those of Kubernetes' cronjob controller."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from halab.cluster.client import Key, rfc3339, seconds_of
from halab.cluster.controllers import cron
from halab.cluster.controllers.actions import with_status
from halab.cluster.controllers.base import Controller, is_terminating
from halab.cluster.controllers.job_plan import condition_of
from halab.cluster.controllers.owners import controlled_by, controller_of, controller_reference, index_by_controller
from halab.cluster.controllers.pods import is_deleting
from halab.cluster.kube.kinds import CRON_JOBS, JOBS
from halab.cluster.kube.status import ApiError
from halab.cluster.kube.types import Obj

SCHEDULED_AT = "batch.kubernetes.io/cronjob-scheduled-timestamp"
TOO_MANY = 100  # missed times, beyond which the clock is suspected
SLACK = 0.1  # seconds after the full minute, so that a timer that fires early does not miss it


@dataclass
class Plan:
    """``create`` is a Job or None; ``status`` before its creation; ``again_in`` seconds until the next time."""

    status: Obj
    create: Obj | None = None
    scheduled: float = 0.0
    delete: list[Obj] = field(default_factory=list)
    events: list[tuple[str, str, str]] = field(default_factory=list)
    again_in: float | None = None


def job_of(owner: Obj, scheduled: datetime) -> Obj:
    """The Job for a scheduled time; its name is the same whoever makes it."""
    template = owner["spec"]["jobTemplate"]
    meta = template.get("metadata") or {}
    made: Obj = {
        "name": f"{owner['metadata']['name']}-{int(scheduled.timestamp()) // 60}",
        "namespace": owner["metadata"]["namespace"],
        "annotations": dict(meta.get("annotations") or {}) | {SCHEDULED_AT: scheduled.isoformat().replace("+00:00", "Z")},
        "ownerReferences": [controller_reference(owner, CRON_JOBS)],
    }
    if meta.get("labels"):
        made["labels"] = dict(meta["labels"])
    return {"apiVersion": JOBS.api_version, "kind": JOBS.kind, "metadata": made, "spec": copy.deepcopy(template["spec"])}


def outcome(job: Obj) -> str:
    """``Complete``, ``Failed`` or ``""``."""
    status = job.get("status") or {}
    return next((type for type in ("Complete", "Failed") if condition_of(status, type)), "")


def reference_to(job: Obj) -> Obj:
    meta = job["metadata"]
    return {
        "kind": JOBS.kind,
        "namespace": meta["namespace"],
        "name": meta["name"],
        "uid": meta["uid"],
        "apiVersion": JOBS.api_version,
        "resourceVersion": meta["resourceVersion"],
    }


def _zone(owner: Obj) -> tzinfo:
    name = owner["spec"].get("timeZone")
    return ZoneInfo(name) if name else UTC


def _most_recent(owner: Obj, schedule: cron.Schedule, now: datetime) -> tuple[datetime | None, bool]:
    """The latest time that is due and was not yet served, and whether suspiciously many were missed."""
    last = (owner.get("status") or {}).get("lastScheduleTime")
    earliest = seconds_of(last or owner["metadata"].get("creationTimestamp"))
    deadline = owner["spec"].get("startingDeadlineSeconds")
    if deadline is not None:
        earliest = max(earliest, now.timestamp() - deadline)
    time = schedule.next(cron.in_zone(earliest, now.tzinfo or UTC))
    if time is None or time > now:
        return None, False
    following = schedule.next(time)
    if following is None or following > now:
        return time, False
    period = (following - time).total_seconds()
    missed = int((now - time).total_seconds() // period) + 1
    # Jump near the present, then step: a schedule with gaps may be uneven.
    start = max(earliest, now.timestamp() - 2 * period)
    nearest = time
    candidate = schedule.next(cron.in_zone(start, now.tzinfo or UTC))
    if candidate is None or candidate > now:
        candidate = time
    for _ in range(10 * TOO_MANY):
        if candidate is None or candidate > now:
            break
        nearest, candidate = candidate, schedule.next(candidate)
    return nearest, missed > TOO_MANY


def _finished_ones(owner: Obj, jobs: Sequence[Obj], result: Plan) -> None:
    """Strike finished and vanished jobs from ``status.active``; keep the history within its limits."""
    active = list(result.status.get("active") or ())
    by_uid = {job["metadata"]["uid"]: job for job in jobs}
    for job in jobs:
        listed = any(each["uid"] == job["metadata"]["uid"] for each in active)
        name, ended = job["metadata"]["name"], outcome(job)
        if listed and ended:
            active = [each for each in active if each["uid"] != job["metadata"]["uid"]]
            result.events.append(("Normal", "SawCompletedJob", f"Saw completed job: {name}, condition: {ended}"))
        elif not listed and not ended:
            result.events.append(("Warning", "UnexpectedJob", f"Saw a job that the controller did not create or forgot: {name}"))
        if ended == "Complete":
            time = (job.get("status") or {}).get("completionTime")
            if time and seconds_of(time) > seconds_of(result.status.get("lastSuccessfulTime")):
                result.status["lastSuccessfulTime"] = time
    for each in [each for each in active if each["uid"] not in by_uid]:
        active.remove(each)
        result.events.append(("Normal", "MissingJob", f"Active job went missing: {each['name']}"))
    _set_active(result.status, active)
    for ended, limit in (
        ("Complete", owner["spec"].get("successfulJobsHistoryLimit")),
        ("Failed", owner["spec"].get("failedJobsHistoryLimit")),
    ):
        over = [job for job in jobs if outcome(job) == ended and not is_deleting(job)] if limit is not None else []
        over.sort(key=lambda job: ((job.get("status") or {}).get("startTime") or "", job["metadata"]["name"]))
        result.delete += over[: max(0, len(over) - (limit or 0))]


def _set_active(status: Obj, active: list[Obj]) -> None:
    if active:
        status["active"] = active
    else:
        status.pop("active", None)


def plan(owner: Obj, jobs: Sequence[Obj], now: float) -> Plan:
    """``jobs`` are those that ``owner`` controls. ``now`` is Unix time."""
    result = Plan(dict(owner.get("status") or {}))
    _finished_ones(owner, jobs, result)
    spec = owner["spec"]
    if is_deleting(owner) or spec.get("suspend"):
        return result
    try:
        zone = _zone(owner)
    except (KeyError, ValueError, OSError):
        message = f'invalid timeZone: "{spec["timeZone"]}": unknown time zone {spec["timeZone"]}'
        result.events.append(("Warning", "UnknownTimeZone", message))
        return result
    try:
        schedule = cron.parse(spec["schedule"])
    except cron.ScheduleError as exc:
        result.events.append(("Warning", "UnparseableSchedule", f"unparseable schedule: {spec['schedule']} : {exc}"))
        return result
    here = cron.in_zone(now, zone)
    following = schedule.next(here)
    if following is not None:
        result.again_in = following.timestamp() - now + SLACK
    else:  # the thirty-first of February: Go's library answers the zero time, twice
        message = f"invalid schedule: {spec['schedule']} : time difference between two schedules is less than 1 second"
        result.events.append(("Warning", "InvalidSchedule", message))
        return result
    due, many = _most_recent(owner, schedule, here)
    if many:
        message = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
        result.events.append(("Warning", "TooManyMissedTimes", message))
    if due is None:
        return result
    deadline = spec.get("startingDeadlineSeconds")
    if deadline is not None and due.timestamp() + deadline < now:
        text = due.astimezone(UTC).strftime("%a, %d %b %Y %H:%M:%S %z")
        result.events.append(("Warning", "MissSchedule", f"Missed scheduled time to start a job: {text}"))
        return result
    active = list(result.status.get("active") or ())
    job = job_of(owner, due)
    last = (owner.get("status") or {}).get("lastScheduleTime")
    if any(each["name"] == job["metadata"]["name"] for each in active) or (last and seconds_of(last) == due.timestamp()):
        return result
    policy = spec.get("concurrencyPolicy", "Allow")
    if policy == "Forbid" and active:
        message = "Not starting job because prior execution is running and concurrency policy is Forbid"
        result.events.append(("Normal", "JobAlreadyActive", message))
        return result
    if policy == "Replace":
        uids = {each["uid"] for each in active}
        result.delete += [each for each in jobs if each["metadata"]["uid"] in uids]
        _set_active(result.status, [])
    result.create, result.scheduled = job, due.timestamp()
    return result


class CronJobController(Controller):
    name = "cronjob-controller"

    def setup(self) -> None:
        self.follow(CRON_JOBS)
        self.jobs = self.informers(JOBS)
        index_by_controller(self.jobs)
        self.jobs.add_handler(self._job_changed)

    def _job_changed(self, old: Obj | None, new: Obj | None) -> None:
        reference = controller_of(new or old or {})
        if reference is not None and reference["kind"] == CRON_JOBS.kind:
            self.queue.add(((new or old or {})["metadata"]["namespace"], reference["name"]))

    async def reconcile(self, key: Key) -> None:
        owner = self.informers(CRON_JOBS).get(*key)
        if owner is None:
            return
        todo = plan(owner, self.jobs.indexed("controller", owner["metadata"]["uid"]), self.now())
        for event in todo.events:
            self.emit(owner, *event)
        for job in todo.delete:
            await self.context.delete(JOBS, job)
            self.emit(owner, "Normal", "SuccessfulDelete", f"Deleted job {job['metadata']['name']}")
        if todo.create is not None:
            await self._start(owner, todo)
        if todo.status != (owner.get("status") or {}):
            await self.context.update(CRON_JOBS, with_status(owner, todo.status), subresource="status")
        if todo.again_in is not None:
            self.queue.add_after(key, todo.again_in)

    async def _start(self, owner: Obj, todo: Plan) -> None:
        assert todo.create is not None
        name, namespace = todo.create["metadata"]["name"], todo.create["metadata"]["namespace"]
        try:
            job = await self.context.create(JOBS, todo.create)
            self.emit(owner, "Normal", "SuccessfulCreate", f"Created job {name}")
        except ApiError as exc:
            if exc.reason != "AlreadyExists":
                if not is_terminating(exc):
                    self.emit(owner, "Warning", "FailedCreate", f"Error creating job: {exc}")
                raise
            job = await self.context.client.get(JOBS, name, namespace)
            if not controlled_by(job, owner):
                message = f"Error creating job: {exc}"
                self.emit(owner, "Warning", "FailedCreate", message)
                raise
        if not outcome(job):
            _set_active(todo.status, [*(todo.status.get("active") or ()), reference_to(job)])
        todo.status["lastScheduleTime"] = rfc3339(todo.scheduled)
