"""Starts one container: back-off, image, configuration, the program, its postStart hook; and notes how it ended."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halab.cluster.kube.types import Obj
from halab.sandbox import User

from . import environment, hooks
from .backoff import go_duration
from .configure import container_spec
from .environment import ConfigError
from .hosts import hosts_file, resolver
from .logs import tail_message
from .projection import VolumeError
from .pulling import PullFailed
from .records import Record, Role, Run, specs_of
from .resize import resources_of
from .runtime import Container, ContainerSpec, Exit, StartFailed

if TYPE_CHECKING:
    from .worker import PodWorker

CONFIG_RETRY = 2.0  # for a ConfigMap or Secret that is not there yet
EVENT_REPEAT = 12.0
MESSAGE_BYTES = 4096


class Starter:
    """The starting half of a pod's worker."""

    def __init__(self, worker: PodWorker) -> None:
        self.worker = worker
        self._messages: dict[str, Path] = {}  # the termination message files of running containers, by container id
        self._told: dict[str, float] = {}  # when a container's BackOff was last told

    def _key(self, record: Record) -> str:
        return f"{self.worker.uid}/{record.name}/{specs_of(self.worker.pod)[record.name].get('image', '')}"

    async def start(self, record: Record) -> None:
        """Try to start (again). What goes wrong is in ``record.waiting`` and in events; the worker is woken when to try again."""
        worker = self.worker
        container = dict(specs_of(worker.pod)[record.name])
        if record.role is not Role.EPHEMERAL and (granted := worker.resizer.granted.get(record.name)) is not None:
            container["resources"] = granted
        if not self._may_restart(record):
            return

        def event(kind: str, reason: str, message: str) -> None:
            worker.event(kind, reason, message, record)

        try:
            image = await worker.node.puller.image(worker.pod, container, event)
        except PullFailed as error:
            record.waiting = (error.reason, str(error))
            event("Warning", "Failed", f"Error: {error.reason}")
            worker.wake_in(error.retry)
            return
        try:
            spec, user, message_file = await self._configure(record, container, image)
        except (ConfigError, VolumeError) as error:
            record.waiting = ("CreateContainerConfigError", str(error))
            event("Warning", "Failed", f"Error: {error}")
            worker.wake_in(CONFIG_RETRY)
            return
        self._new_run(record, container, image, user)
        event("Normal", "Created", f"Created container: {record.name}")
        await self._launch(record, container, spec, message_file)

    def _may_restart(self, record: Record) -> bool:
        run = record.run
        if run is None or run.state != "exited":
            return True
        node, key = self.worker.node, self._key(record)
        left = node.restarts.remaining(key, run.finished)
        if left <= 0:
            node.restarts.next(key, run.finished)
            return True
        delay = go_duration(node.restarts.delay(key))
        message = f"back-off {delay} restarting failed container={record.name} pod={self.worker.full_name}"
        record.waiting = ("CrashLoopBackOff", message)
        now = time.monotonic()
        if now - self._told.get(record.name, -EVENT_REPEAT) >= EVENT_REPEAT * 0.9:
            self._told[record.name] = now
            self.worker.event(
                "Warning", "BackOff", f"Back-off restarting failed container {record.name} in pod {self.worker.full_name}", record
            )
        self.worker.wake_in(min(left + 0.01, EVENT_REPEAT))
        return False

    def _files(self, container: Obj) -> dict[str, str]:
        worker = self.worker
        assert worker.ground.sandbox is not None
        files = {"/etc/hostname": worker.ground.sandbox.hostname + "\n"}
        mounted = {mount["mountPath"] for mount in container.get("volumeMounts") or ()}
        if "/etc/hosts" not in mounted:
            files["/etc/hosts"] = hosts_file(worker.pod, worker.record.address, worker.node.name)
        _, text = resolver(worker.pod, worker.node.config.addresses.dns)
        if text is not None:
            files["/etc/resolv.conf"] = text
        return files

    async def _configure(self, record: Record, container: Obj, image: Any) -> tuple[ContainerSpec, User, Path]:
        worker, node = self.worker, self.worker.node
        assert worker.ground.sandbox is not None
        variables = await environment.build(
            worker.pod,
            container,
            node,
            node.services.cache.values(),
            address=worker.record.address,
            host_address=node.address,
            allocatable=node.allocatable,
        )
        attempt = self._attempt(record)
        directory = worker.directory / "containers" / record.name
        directory.mkdir(parents=True, exist_ok=True)
        message_file = directory / f"{attempt}-{secrets.token_hex(4)}"
        message_file.touch()
        message_file.chmod(0o666)
        spec, user = container_spec(
            worker.pod,
            container,
            image,
            variables,
            worker.volumes.mounts(container, variables),
            self._files(container),
            worker.ground.sandbox.hostname,
            self.log_path(record.name, attempt),
            message_file,
        )
        return spec, user, message_file

    def log_path(self, name: str, attempt: int) -> Path:
        directory: Path = self.worker.directory / "logs"
        return directory / name / f"{attempt}.log"

    def _attempt(self, record: Record) -> int:
        return 0 if record.run is None else record.run.attempt + 1

    def _new_run(self, record: Record, container: Obj, image: Any, user: User) -> None:
        attempt = self._attempt(record)
        if record.run is not None:
            record.last = record.run
            record.last.handle = None
        for old in range(max(0, attempt - 3), attempt - 1):
            self.log_path(record.name, old).unlink(missing_ok=True)  # only the last two runs' logs can be asked for
        groups = sorted({user.gid, *user.groups})
        record.run = Run(
            id=f"halab://{secrets.token_hex(32)}",
            attempt=attempt,
            image=str(image.reference),
            image_id=image.image_id,
            spec_image=container.get("image", ""),
            created=time.time(),
            resources=resources_of(container),
            user={"linux": {"uid": user.uid, "gid": user.gid, "supplementalGroups": groups}},
        )

    async def _launch(self, record: Record, container: Obj, spec: ContainerSpec, message_file: Path) -> None:
        worker, run = self.worker, record.run
        assert run is not None and worker.ground.sandbox is not None
        try:
            handle = await self._finished(worker.node.runtime.start(worker.ground.sandbox, self._targeted(container, spec)))
        except StartFailed as error:
            run.state, run.exit_code, run.reason, run.message = "exited", 128, "StartError", str(error)
            run.finished = time.time()
            record.waiting = ("RunContainerError", str(error))
            worker.event("Warning", "Failed", f"Error: {error}", record)
            worker.wake()
            return
        run.id, run.handle, run.started, run.state = handle.id, handle, handle.started, "running"
        record.waiting = None
        self._messages[run.id] = message_file
        worker.event("Normal", "Started", f"Started container {record.name}", record)
        worker.started(record)
        await self._post_start(record, container)

    async def _finished(self, start: Coroutine[Any, Any, Container]) -> Container:
        """A start that is cancelled half-way is finished first, and its container ended: nothing may run that nobody knows of."""
        task = asyncio.ensure_future(start)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait([task])
            if not task.cancelled() and task.exception() is None:
                task.result().kill()
            raise

    def _targeted(self, container: Obj, spec: ContainerSpec) -> ContainerSpec:
        """An ephemeral container may see the processes of the container that it targets."""
        target = self.worker.record.containers.get(container.get("targetContainerName", ""))
        if target is None or not target.running or target.run is None or not self.worker.node.runtime.shares_processes:
            return spec
        return replace(spec, share_processes_of=target.run.handle.pid)

    async def _post_start(self, record: Record, container: Obj) -> None:
        handler = (container.get("lifecycle") or {}).get("postStart")
        run = record.run
        if not handler or run is None:
            return
        worker = self.worker
        target = worker.node.target(worker.record.address)
        hook = asyncio.create_task(hooks.run(handler, container, run.handle, target, worker.full_name))
        try:
            await hook
        except hooks.HookFailed as error:
            worker.event("Warning", "FailedPostStartHook", "PostStartHook failed", record)
            await worker.stopper.stop(record, "FailedPostStartHook", "")
            record.waiting = ("PostStartHookError", str(error))
        finally:
            if not hook.done():
                hook.cancel()

    def note_end(self, record: Record, run: Run, end: Exit) -> None:
        """Write down how a run ended, with what it left as its last words."""
        run.state, run.exit_code, run.reason, run.finished = "exited", end.code, end.reason, end.finished
        container = specs_of(self.worker.pod).get(record.name, {})
        message_file = self._messages.pop(run.id, None)
        text = ""
        if message_file is not None:
            try:
                with message_file.open("rb") as file:
                    text = file.read(MESSAGE_BYTES).decode(errors="replace")
            except OSError:
                text = ""
        if not text and end.code != 0 and container.get("terminationMessagePolicy") == "FallbackToLogsOnError":
            text = tail_message(self.log_path(record.name, run.attempt))
        run.message = text
        if record.role is Role.EPHEMERAL:
            record.waiting = None
