"""Ends containers: preStop hook, stop signal, grace, SIGKILL; sidecars after the others and in reverse order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from halab.cluster.kube.types import Obj

from . import hooks
from .records import Record, Role, specs_of

if TYPE_CHECKING:
    from .worker import PodWorker

MINIMUM_GRACE = 2.0  # however short the grace is, a program gets this long to heed its signal


class Stopper:
    """The ending half of a pod's worker. ``shorten`` is called when the pod's deletion came, or came again with less grace."""

    def __init__(self, worker: PodWorker) -> None:
        self.worker = worker
        self._shortened = asyncio.Event()
        self.busy = False

    def shorten(self) -> None:
        self._shortened.set()

    def _grace(self, cause: str, container: Obj) -> float:
        worker = self.worker
        meta, spec = worker.pod["metadata"], worker.pod["spec"]
        if worker.removed:
            return 0.0
        if meta.get("deletionTimestamp") and meta.get("deletionGracePeriodSeconds") is not None:
            return float(meta["deletionGracePeriodSeconds"])
        if cause:
            own = (container.get(f"{cause}Probe") or {}).get("terminationGracePeriodSeconds")
            if own is not None:
                return float(own)
        return float(spec.get("terminationGracePeriodSeconds", 30))

    async def stop_all(self) -> None:
        """End every running container: the main ones together, then each sidecar from the last to the first."""
        self.busy = True
        try:
            begin = time.monotonic()
            records = [record for record in self.worker.record.containers.values() if record.running]
            sidecars = [record for record in records if record.role is Role.SIDECAR]
            others = [record for record in records if record.role is not Role.SIDECAR]
            gone = {record.name: asyncio.Event() for record in records}
            before = {record.name: [gone[other.name] for other in others] for record in sidecars}
            for index, record in enumerate(sidecars):
                before[record.name] += [gone[later.name] for later in sidecars[index + 1 :]]

            async def end(record: Record) -> None:
                try:
                    await self.stop(
                        record, f"Stopping container {record.name}", "", after=before.get(record.name, []), begin=begin
                    )
                finally:
                    gone[record.name].set()

            await asyncio.gather(*(end(record) for record in records))
        finally:
            self.busy = False

    async def stop(
        self, record: Record, message: str, cause: str, *, after: list[asyncio.Event] | None = None, begin: float | None = None
    ) -> None:
        """End one container and wait until it has. ``after`` are the ends that it waits for, within its grace."""
        run = record.run
        if run is None or run.handle is None or not record.running:
            return
        worker, container = self.worker, specs_of(self.worker.pod).get(record.name, {})
        begin = time.monotonic() if begin is None else begin
        worker.event("Normal", "Killing", message, record)
        if worker.removed and self._grace(cause, container) == 0:
            run.handle.stop()
            await self._wait(run.handle.ended, lambda: begin + MINIMUM_GRACE)
            run.handle.kill()
            await self._gone(record)
            return

        def deadline() -> float:
            return begin + self._grace(cause, container)

        handler = (container.get("lifecycle") or {}).get("preStop")
        if handler and deadline() > time.monotonic():
            hook = asyncio.create_task(
                hooks.run(handler, container, run.handle, worker.node.target(worker.record.address), worker.full_name)
            )
            try:
                await self._wait(hook, deadline)
                if hook.done():
                    hook.result()
            except hooks.HookFailed:
                worker.event("Warning", "FailedPreStopHook", "PreStopHook failed", record)
            finally:
                hook.cancel()
        for event in after or ():
            turn = asyncio.ensure_future(event.wait())
            await self._wait(turn, deadline)
            turn.cancel()
        if not run.handle.ended.done():
            run.handle.stop()
            least = time.monotonic() + MINIMUM_GRACE
            await self._wait(run.handle.ended, lambda: max(least, deadline()))
            run.handle.kill()
        await self._gone(record)

    async def _wait(self, future: asyncio.Future[Any], deadline: Callable[[], float]) -> None:
        """Until the future is done or the deadline is over; the deadline is asked again when the grace was shortened."""
        while not future.done():
            left = deadline() - time.monotonic()
            if left <= 0:
                return
            self._shortened.clear()
            shortened = asyncio.create_task(self._shortened.wait())
            await asyncio.wait([future, shortened], timeout=left, return_when=asyncio.FIRST_COMPLETED)
            shortened.cancel()

    async def _gone(self, record: Record) -> None:
        run = record.run
        if run is not None and run.handle is not None:
            await asyncio.shield(run.handle.ended)
            await asyncio.sleep(0)  # let the worker note the end first
