"""Leader election over a Lease, so that two controller managers can run and one acts.

As in client-go: the holder renews well within ``duration``; others take over when the lease was not renewed for that long on *their* clock.
Unlike client-go, those who wait do not poll: they watch the Lease, so a released one changes hands in milliseconds.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import socket
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import IO

from halab.cluster.client.client import Client
from halab.cluster.client.clock import micro
from halab.cluster.client.informer import Informer
from halab.cluster.kube.kinds import LEASES
from halab.cluster.kube.status import ApiError
from halab.cluster.kube.types import Obj

log = logging.getLogger(__name__)

DURATION, RENEW_EVERY, RETRY = (
    15.0,
    5.0,
    1.0,
)  # seconds; client-go: 15, 2, 2 (a renewal is a write, and idle clusters should be idle)


class Identity:
    """A name for this process that a restarted process gets again, so that it need not wait for its own lease to run out.

    The first free slot of ``directory``, held by a file lock that the kernel drops when the process dies. Without a directory
    (a foreign cluster), a name that nobody else has.
    """

    def __init__(self, directory: Path | None, component: str) -> None:
        self._file: IO[str] | None = None
        self.name = f"{socket.gethostname()}_{uuid.uuid4()}"
        if directory is None:
            return
        directory.mkdir(parents=True, exist_ok=True)
        for slot in range(8):
            file = open(directory / f"{component}-{slot}.lock", "w")  # noqa: SIM115 - held open as long as the process lives
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                file.close()
                continue
            os.set_inheritable(file.fileno(), False)
            self._file, self.name = file, f"{socket.gethostname()}_{component}-{slot}"
            return

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class LeaderElector:
    """``run(work)`` awaits leadership, runs ``work()`` while it lasts and starts over when it is lost, until cancelled."""

    def __init__(
        self,
        client: Client,
        name: str,
        identity: str,
        *,
        namespace: str = "kube-system",
        duration: float = DURATION,
        renew_every: float = RENEW_EVERY,
    ) -> None:
        self.client, self.name, self.namespace, self.identity = client, name, namespace, identity
        self.duration, self.renew_every = duration, renew_every
        self.leading = False

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            lease = await self._acquire()
            self.leading = True
            log.info("%s: %s leads", self.name, self.identity)
            task = asyncio.ensure_future(work())
            renewal = asyncio.create_task(self._renew(lease))
            try:
                await asyncio.wait({task, renewal}, return_when=asyncio.FIRST_COMPLETED)
                if task.done():
                    return task.result()
                log.warning("%s: %s leads no more", self.name, self.identity)
            finally:
                self.leading = False
                for each in (task, renewal):
                    each.cancel()
                await asyncio.gather(task, renewal, return_exceptions=True)

    async def release(self) -> None:
        """Give the lease back if it is ours, so that another can take over at once."""
        try:
            lease = await self.client.get(LEASES, self.name, self.namespace)
            if lease.get("spec", {}).get("holderIdentity") == self.identity:
                del lease["spec"]["holderIdentity"]
                lease["spec"] |= {"leaseDurationSeconds": 1, "renewTime": micro()}
                await self.client.update(LEASES, lease)
        except (ApiError, OSError, TimeoutError) as exc:
            log.debug("%s: not released: %s", self.name, exc)

    def _spec(self, lease: Obj | None) -> Obj:
        spec: Obj = dict((lease or {}).get("spec") or {})
        if spec.get("holderIdentity") != self.identity:
            spec["leaseTransitions"] = spec.get("leaseTransitions", 0) + 1 if lease else 0
            spec["acquireTime"] = micro()
        return spec | {"holderIdentity": self.identity, "leaseDurationSeconds": round(self.duration) or 1, "renewTime": micro()}

    async def _take(self, lease: Obj | None) -> Obj | None:
        """The lease as ours, or None if somebody was faster."""
        try:
            if lease is None:
                body = {
                    "apiVersion": "coordination.k8s.io/v1",
                    "kind": "Lease",
                    "metadata": {"name": self.name, "namespace": self.namespace},
                }
                return await self.client.create(LEASES, body | {"spec": self._spec(None)})
            return await self.client.update(LEASES, {**lease, "spec": self._spec(lease)})
        except ApiError as exc:
            if exc.code not in (404, 409):
                log.warning("%s: not taken: %s", self.name, exc)
                await asyncio.sleep(RETRY)
            return None
        except (OSError, TimeoutError):
            await asyncio.sleep(RETRY / 5)
            return None

    async def _acquire(self) -> Obj:
        try:  # the common case needs no watch: nobody holds it, or we did before a restart
            lease: Obj | None = await self.client.get(LEASES, self.name, self.namespace)
        except ApiError as exc:
            lease = None
            log.debug("%s: %s", self.name, exc)
        except (OSError, TimeoutError):
            lease = None
        if (lease is None or lease["spec"].get("holderIdentity") in (None, "", self.identity)) and (
            taken := await self._take(lease)
        ):
            return taken
        informer = Informer(self.client, LEASES, self.namespace, field_selector=f"metadata.name={self.name}")
        changed = asyncio.Event()
        informer.add_handler(lambda old, new: changed.set())
        informer.start()
        try:
            await informer.synced()
            seen, seen_at = "", time.monotonic()
            while True:
                changed.clear()
                lease = informer.get(self.namespace, self.name)
                spec: Obj = (lease or {}).get("spec") or {}
                version = (lease or {}).get("metadata", {}).get("resourceVersion", "")
                if version != seen:
                    seen, seen_at = version, time.monotonic()
                left = seen_at + float(spec.get("leaseDurationSeconds") or self.duration) - time.monotonic()
                if (not spec.get("holderIdentity") or spec["holderIdentity"] == self.identity or left <= 0) and (
                    taken := await self._take(lease)
                ):
                    return taken
                try:
                    async with asyncio.timeout(max(left, 0.05)):
                        await changed.wait()
                except TimeoutError:
                    pass
        finally:
            await informer.stop()

    async def _renew(self, lease: Obj) -> None:
        """Returns when the lease is lost."""
        renewed = time.monotonic()
        pause = self.renew_every
        while True:
            await asyncio.sleep(pause)
            try:
                lease = await self.client.update(LEASES, {**lease, "spec": self._spec(lease)})
                renewed, pause = time.monotonic(), self.renew_every
                continue
            except ApiError as exc:
                if exc.code in (404, 409):
                    try:
                        lease = await self.client.get(LEASES, self.name, self.namespace)
                    except (ApiError, OSError, TimeoutError):
                        pass
                    if lease["spec"].get("holderIdentity") != self.identity:
                        return
            except (OSError, TimeoutError):
                pass
            pause = min(RETRY, self.renew_every)
            if time.monotonic() - renewed > self.duration * 2 / 3:  # stop acting before another may begin
                return
