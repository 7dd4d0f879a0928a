"""The frame of every controller: informers feed a queue of keys, workers reconcile one key at a time.

A controller is a class with a ``setup`` (which changes concern which key) and a ``reconcile``. What it writes goes through ``Context``,
which puts the server's answers into the shared caches at once: a reconciler sees its own writes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, ClassVar

from halab.cluster.client import Client, EventRecorder, Informer, Key, SharedInformers, WorkQueue, key_of, rfc3339
from halab.cluster.client.client import PatchType
from halab.cluster.client.queue import BASE_DELAY, MAX_DELAY
from halab.cluster.controllers.actions import Action, Create, Delete, Emit, Patch, Update
from halab.cluster.controllers.owners import controller_of, index_by_controller
from halab.cluster.kube.kinds import Kind
from halab.cluster.kube.selectors import Selector, from_label_selector
from halab.cluster.kube.status import ApiError
from halab.cluster.kube.types import Obj
from halab.settings import ClusterConfig

log = logging.getLogger(__name__)

FIRST_BATCH, LARGEST_BATCH = 1, 64  # creations under way at once double from the first to the second while they succeed


class Context:
    """What all controllers of a process share: the client, the caches, the event recorders.

    ``config`` is None on a foreign cluster; ``root_ca`` (PEM) is what pods are told to trust.
    """

    def __init__(
        self, client: Client, config: ClusterConfig | None = None, informers: SharedInformers | None = None, *, root_ca: str = ""
    ) -> None:
        self.client, self.config = client, config
        self.root_ca = config.ca_file.read_text() if config and not root_ca else root_ca
        self.informers = informers or SharedInformers(client)
        self._recorders: dict[str, EventRecorder] = {}
        # Told of each object that is gone, of whatever kind: the garbage collector, which follows all kinds, calls them.
        self.on_removal: list[Callable[[Kind, str], None]] = []

    def recorder(self, component: str) -> EventRecorder:
        if component not in self._recorders:
            self._recorders[component] = EventRecorder(self.client, component)
        return self._recorders[component]

    async def create(self, kind: Kind, obj: Obj) -> Obj:
        made = await self.client.create(kind, obj)
        self.informers.observe(kind, made)
        return made

    async def update(self, kind: Kind, obj: Obj, *, subresource: str | None = None) -> Obj:
        made = await self.client.update(kind, obj, subresource=subresource)
        if subresource != "scale":
            self.informers.observe(kind, made)
        return made

    async def patch(
        self,
        kind: Kind,
        namespace: str | None,
        name: str,
        patch: Any,
        *,
        type: PatchType = "merge",
        subresource: str | None = None,
    ) -> Obj:
        made = await self.client.patch(kind, name, namespace, patch, type=type, subresource=subresource)
        if subresource != "scale":
            self.informers.observe(kind, made)
        return made

    async def delete(self, kind: Kind, obj: Obj, *, grace_period_seconds: int | None = None) -> None:
        """Delete this very object, in the background; that it is gone already is no error."""
        meta = obj["metadata"]
        try:
            await self.client.delete(
                kind,
                meta["name"],
                meta.get("namespace"),
                uid=meta.get("uid"),
                grace_period_seconds=grace_period_seconds,
                propagation_policy="Background",
            )
        except ApiError as exc:
            if exc.code not in (404, 409):
                raise
        self.informers.observe_deletion(kind, obj, rfc3339())

    async def apply(self, actions: Iterable[Action], component: str) -> None:
        """Carry out ``actions`` in order. Raises what the first that fails raises."""
        for action in actions:
            match action:
                case Create():
                    try:
                        await self.create(action.kind, action.obj)
                    except ApiError as exc:
                        instead = action.on_error(exc) if action.on_error else None
                        if instead is None:
                            raise
                        await self.apply(instead, component)
                        return
                case Update():
                    await self.update(action.kind, action.obj, subresource=action.subresource)
                case Patch():
                    await self.patch(
                        action.kind, action.namespace, action.name, action.patch, type=action.type, subresource=action.subresource
                    )
                case Delete():
                    await self.delete(action.kind, action.obj, grace_period_seconds=action.grace_period_seconds)
                case Emit():
                    self.recorder(component).event(action.about, action.type, action.reason, action.message)


class Controller:
    """``name`` is the source of its events. Subclasses set up handlers in ``setup`` and handle one key in ``reconcile``.

    An exception of ``reconcile`` brings the key back after a growing delay; a conflict (409) at once, since the cache is being updated.
    """

    name: ClassVar[str]
    workers: ClassVar[int] = 4
    backoff: ClassVar[tuple[float, float]] = (BASE_DELAY, MAX_DELAY)  # seconds: after the first failure of a key, and at most

    def __init__(self, context: Context) -> None:
        self.context = context
        self.informers = context.informers
        self.queue: WorkQueue[Key] = WorkQueue(base_delay=self.backoff[0], max_delay=self.backoff[1])
        self.setup()

    def setup(self) -> None:
        raise NotImplementedError

    async def reconcile(self, key: Key) -> None:
        raise NotImplementedError

    def emit(self, about: Obj, type: str, reason: str, message: str) -> None:
        self.context.recorder(self.name).event(about, type, reason, message)

    async def apply(self, actions: Iterable[Action]) -> None:
        await self.context.apply(actions, self.name)

    def follow(self, kind: Kind) -> None:
        """Every change of an object of ``kind`` brings its own key."""
        self.informers(kind).add_handler(self._changed)

    def _changed(self, old: Obj | None, new: Obj | None) -> None:
        obj = new or old
        assert obj is not None
        self.queue.add(key_of(obj))

    def follow_dependents(
        self, dependents: Informer, owners: Informer, kind: Kind, selects: Callable[[Obj], Selector] | None = None
    ) -> None:
        """Every change of one of ``dependents`` brings its controlling owner (of ``kind``); a new orphan brings each of ``owners`` that would adopt it.

        ``selects`` gives an owner's selector where that is no LabelSelector.
        """
        selector_of = selects or (lambda owner: from_label_selector(owner["spec"]["selector"]))

        def changed(old: Obj | None, new: Obj | None) -> None:
            for obj in (old, new):
                if obj is None:
                    continue
                namespace = obj["metadata"]["namespace"]
                reference = controller_of(obj)
                if reference is not None:
                    if reference["kind"] == kind.kind:
                        self.queue.add((namespace, reference["name"]))
                elif obj is new and (labels := obj["metadata"].get("labels")):
                    for owner in owners.objects(namespace):
                        # A job's selector is filled in by the server; an owner that has none yet selects nothing.
                        if owner["spec"].get("selector") and selector_of(owner).matches(labels):
                            self.queue.add(key_of(owner))

        index_by_controller(dependents)
        dependents.add_handler(changed)

    def now(self) -> float:
        return time.time()

    async def run(self) -> None:
        """Work until cancelled; may be called again afterwards, as leadership comes and goes. The informers must be running."""
        await self.informers.synced()
        async with asyncio.TaskGroup() as group:
            for number in range(self.workers):
                group.create_task(self._work(), name=f"{self.name}-{number}")

    async def _work(self) -> None:
        while True:
            key = await self.queue.get()
            try:
                await self.reconcile(key)
                self.queue.forget(key)
            except ApiError as exc:
                if is_terminating(exc):
                    self.queue.forget(key)
                elif exc.code in (404, 409) and self.queue.failures(key) < 8:
                    self.queue.retry(key, BASE_DELAY)
                else:
                    delay = self.queue.retry(key)
                    log.info("%s: %s/%s: %s; again in %.3f s", self.name, *key, exc, delay)
            except (OSError, TimeoutError) as exc:
                log.debug("%s: %s/%s: %r", self.name, *key, exc)
                self.queue.retry(key)
            except Exception:
                log.exception("%s: %s/%s", self.name, *key)
                self.queue.retry(key)
            finally:
                self.queue.done(key)


def is_terminating(exc: ApiError) -> bool:
    """The server refused a creation because the namespace is going away; no use in trying again."""
    return any(cause.get("reason") == "NamespaceTerminating" for cause in exc.causes)


async def slow_start(count: int, make: Callable[[int], Awaitable[None]]) -> tuple[int, BaseException | None]:
    """Run ``make(i)`` for i in range(count) in batches of 1, 2, 4 ...; stop after the batch in which one failed.

    Returns how many succeeded and the first error. So a set whose pods the server refuses asks once, not ``count`` times.
    """
    done = 0
    batch = min(count, FIRST_BATCH)
    while batch > 0:
        results = await asyncio.gather(*(make(done + i) for i in range(batch)), return_exceptions=True)
        errors = [result for result in results if isinstance(result, BaseException)]
        done += len(results) - len(errors)
        if errors:
            return done, errors[0]
        batch = min(2 * batch, count - done, LARGEST_BATCH)
    return done, None
