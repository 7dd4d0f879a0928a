"""Jobs: run pods until enough of them have succeeded. ``job_plan.py`` decides, this carries it out."""

from __future__ import annotations

from halab.cluster.client import Key
from halab.cluster.controllers.actions import with_status
from halab.cluster.controllers.base import Controller, is_terminating, slow_start
from halab.cluster.controllers.job_plan import (
    FINALIZER,
    INDEX,
    INDEX_FAILURES,
    Plan,
    counted,
    is_finished_job,
    plan,
    tracked,
)
from halab.cluster.controllers.owners import candidates, claim, controller_of
from halab.cluster.controllers.pods import from_template, is_deleting, phase
from halab.cluster.kube.kinds import JOBS, PODS
from halab.cluster.kube.selectors import from_label_selector
from halab.cluster.kube.status import ApiError
from halab.cluster.kube.types import Obj


def pod_of(job: Obj, index: int, failures: int) -> Obj:
    """The pod for a completion index (-1: the job is not indexed)."""
    pod = from_template(job["spec"]["template"], job, JOBS)
    meta = pod["metadata"]
    meta.setdefault("finalizers", []).append(FINALIZER)
    if index < 0:
        return pod
    name = job["metadata"]["name"]
    meta["generateName"] = f"{name}-{index}-"
    meta["annotations"] = (meta.get("annotations") or {}) | {INDEX: str(index)}
    meta["labels"] = (meta.get("labels") or {}) | {INDEX: str(index)}
    if job["spec"].get("backoffLimitPerIndex") is not None:
        meta["annotations"][INDEX_FAILURES] = str(failures)
    pod["spec"].setdefault("hostname", f"{name}-{index}")
    variable = {"name": "JOB_COMPLETION_INDEX", "valueFrom": {"fieldRef": {"fieldPath": f"metadata.labels['{INDEX}']"}}}
    for container in [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]:
        if not any(each["name"] == variable["name"] for each in container.get("env") or ()):
            container["env"] = [*(container.get("env") or ()), variable]
    return pod


class JobController(Controller):
    name = "job-controller"
    backoff = (1.0, 60.0)  # Kubernetes' DefaultJobApiBackOff and MaxJobApiBackOff

    def setup(self) -> None:
        self.follow(JOBS)
        self.jobs, self.pods = self.informers(JOBS), self.informers(PODS)
        self.follow_dependents(self.pods, self.jobs, JOBS)

    async def reconcile(self, key: Key) -> None:
        job = self.jobs.get(*key)
        await self._free_orphans(key, job)
        if job is None or job["spec"].get("managedBy") not in (None, "kubernetes.io/job-controller"):
            return
        if is_finished_job(job):
            for pod in self.pods.indexed("controller", job["metadata"]["uid"]):
                await self._release(pod)
            return
        selector = from_label_selector(job["spec"]["selector"])
        pods, claims = claim(
            job,
            JOBS,
            PODS,
            candidates(self.pods, job),
            lambda pod: selector.matches(pod["metadata"].get("labels") or {}),
            finalizer=FINALIZER,
        )
        await self.apply(claims)
        todo = plan(job, pods, self.now())
        error = await self._manage(job, todo)
        for event in todo.events:
            self.emit(job, *event)
        job = await self._write(job, todo.status)
        for pod in todo.release:
            await self._release(pod)
        await self._count(job, todo, key)
        if todo.again_in is not None:
            self.queue.add_after(key, todo.again_in + 0.01)
        if error is not None:
            raise error

    async def _count(self, job: Obj, todo: Plan, key: Key) -> None:
        left = [pod for pod in self.pods.indexed("controller", job["metadata"]["uid"]) if is_deleting(pod)]
        terminating = sum(phase(pod) not in ("Succeeded", "Failed") for pod in left)
        status, events = counted(job, todo.status, todo.release, terminating, self.now())
        if todo.ending is not None:
            status["terminating"] = terminating
        # What was noted stays so until the cache shows this very status: another pass would count it twice.
        await self._write(job, status)
        for event in events:
            self.emit(job, *event)

    async def _write(self, job: Obj, status: Obj) -> Obj:
        if status == (job.get("status") or {}):
            return job
        return await self.context.update(JOBS, with_status(job, status), subresource="status")

    async def _manage(self, job: Obj, todo: Plan) -> BaseException | None:
        """Make and delete pods; the status' active count becomes what it then is."""

        async def make(number: int) -> None:
            index = todo.create[number]
            try:
                pod = await self.context.create(PODS, pod_of(job, index, todo.index_failures.get(index, 0)))
            except ApiError as exc:
                if not is_terminating(exc):
                    self.emit(job, "Warning", "FailedCreate", f"Error creating: {exc}")
                raise
            self.emit(job, "Normal", "SuccessfulCreate", f"Created pod: {pod['metadata']['name']}")

        async def drop(number: int) -> None:
            pod = todo.delete[number]
            if todo.ending is None:
                await self._release(pod)  # a pod that the job itself gives up is no failure
            await self.context.delete(PODS, pod)
            self.emit(job, "Normal", "SuccessfulDelete", f"Deleted pod: {pod['metadata']['name']}")

        _, error = await slow_start(len(todo.delete), drop)
        if error is None:
            made, error = await slow_start(len(todo.create), make)
            if made:
                todo.status["active"] = todo.status.get("active", 0) + made
        return error

    async def _release(self, pod: Obj) -> None:
        """Take the tracking finalizer off."""
        if not tracked(pod):
            return
        meta = pod["metadata"]
        kept = [each for each in meta["finalizers"] if each != FINALIZER]
        try:
            change: Obj = {
                "metadata": {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"], "finalizers": kept or None}
            }
            await self.context.patch(PODS, meta["namespace"], meta["name"], change)
        except ApiError as exc:
            if exc.code == 409:
                current = await self.context.client.get(PODS, meta["name"], meta["namespace"])
                if current["metadata"]["uid"] == meta["uid"]:
                    await self._release(current)
            elif exc.code != 404:
                raise

    async def _free_orphans(self, key: Key, job: Obj | None) -> None:
        """Pods of a job that is gone are not held by its finalizer."""
        for pod in self.pods.objects(key[0]) if job is None else ():
            reference = controller_of(pod)
            if tracked(pod) and reference is not None and (reference["kind"], reference["name"]) == (JOBS.kind, key[1]):
                await self._release(pod)
