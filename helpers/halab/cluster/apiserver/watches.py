"""watch: a stream of events, from now or from a version of the past.

A watcher is registered before its past is read, so nothing is missed and nothing comes twice. While the past is being sent (slowly, if the
client is slow) live events wait in a bounded queue; then they are pushed straight into the connection, and the request's task ends: an
idle watch is a connection, this object and one timer. A client that does not read is dropped, never waited for: it comes back with the
last version it saw, and gets 410 if that is too old.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

import orjson

from halab.aio.http.exchange import Exchange
from halab.cluster.apiserver.context import Context
from halab.cluster.apiserver.reads import LIST_OPTIONS, current, parse_version
from halab.cluster.apiserver.render import Renderer, negotiate
from halab.cluster.apiserver.request import Request
from halab.cluster.apiserver.selection import Selection, selection_of
from halab.cluster.apiserver.websockets import Frames
from halab.cluster.kube import status
from halab.cluster.kube.kinds import Kind
from halab.cluster.store.cache import Entry, Event
from halab.cluster.store.store import Compacted

MAX_BUFFER = 4 * 1024 * 1024  # bytes that may wait in a connection
MAX_QUEUE = 1000  # events that may wait while the past is sent
DEFAULT_SECONDS = (1800, 3600)  # how long a watch without timeoutSeconds lasts, as Kubernetes'
BOOKMARK_SECONDS = 60.0
INITIAL_END = "k8s.io/initial-events-end"


def check_watch_options(request: Request) -> None:
    match, initial = request.param("resourceVersionMatch"), request.param("sendInitialEvents")
    path, errors = "resourceVersionMatch", []
    if initial and match != "NotOlderThan":
        errors.append(status.forbidden_field(path, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"))
    if match:
        if not initial:
            errors.append(
                status.forbidden_field(path, "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided")
            )
        if match != "NotOlderThan":
            errors.append(status.not_supported(path, match, ["NotOlderThan"]))
        if request.param("continue"):
            errors.append(status.forbidden_field(path, "resourceVersionMatch is forbidden when continue is provided"))
    if errors:
        raise status.invalid(LIST_OPTIONS, "", errors)


class Watch:
    """One client's watch."""

    __slots__ = (
        "answer",
        "behind",
        "chunks",
        "context",
        "deadline",
        "ended",
        "first",
        "kind",
        "mark_at",
        "queue",
        "renderer",
        "request",
        "selection",
        "sent",
        "timer",
    )

    def __init__(self, context: Context, request: Request, kind: Kind, selection: Selection, renderer: Renderer) -> None:
        self.context = context
        self.request = request
        self.kind = kind
        self.selection = selection
        self.renderer = renderer
        self.answer: Exchange | Frames = request.scope["extensions"]["halab.answer"]
        self.queue: deque[Event] | None = deque()  # None once live
        self.ended = False
        self.behind = False  # something waits for the client to read it
        self.chunks: list[bytes] | None = None  # events that are about to be written
        self.timer: asyncio.TimerHandle | None = None
        self.deadline = self.mark_at = 0.0  # on the loop's clock
        self.sent = 0  # the revision that the client has seen
        self.first = True  # a Table's first event carries the columns
        context.fanout.join(kind.storage, selection.namespace, self)

    # -- events

    def deliver(self, event: Event) -> None:
        """The store's callback."""
        if self.ended:
            return
        if self.queue is not None:
            self.queue.append(event)
            if len(self.queue) > MAX_QUEUE:
                self.drop()
        elif (chunk := self.render(event)) is not None:
            if self.chunks is None:
                self.chunks = []
                self.context.fanout.later(self)
            self.chunks.append(chunk)

    def flush(self) -> None:
        """Write the events that came since the last time."""
        chunks, self.chunks = self.chunks, None
        if not chunks or self.ended:
            return
        waiting = self.answer.push(chunks[0] if len(chunks) == 1 else b"".join(chunks))
        if waiting < 0 or waiting > MAX_BUFFER:
            self.drop()
        elif waiting or self.behind:
            self.behind = waiting > 0
            self.context.fanout.unread.note(self, waiting)

    def unread(self) -> int:
        return self.answer.unread()

    def drop(self) -> None:
        """The client does not read: nothing more is kept for it."""
        self.answer.abort()
        self.end()

    def render(self, event: Event) -> bytes | None:
        """The line of an event as this watch sees it, None if it does not."""
        selection, new, old = self.selection, event.new, event.old
        if selection.name is not None and new.name != selection.name:
            return None
        self.sent = event.revision
        if selection.all:
            kind = b"DELETED" if event.deleted else b"ADDED" if old is None else b"MODIFIED"
        else:
            before = old is not None and selection.matches(old)
            after = not event.deleted and selection.matches(new)
            if not before and not after:
                return None
            kind = b"MODIFIED" if before and after else b"ADDED" if after else b"DELETED"
            if kind == b"DELETED" and not event.deleted and old is not None:
                return self.line(kind, self._stamped(old, event.revision))
        if self.renderer.form.shape == "table" and self.first:
            return self.line(kind, self.renderer.value(new))
        key = (kind, self.renderer.key)
        if event.rendered is None:
            event.rendered = {}
        chunk = event.rendered.get(key)
        if chunk is None:
            chunk = event.rendered[key] = self.line(kind, self.renderer.value(new))
        return chunk

    def _stamped(self, entry: Entry, revision: int) -> bytes:
        """An object that left the selection is shown as it was, with the version of its leaving."""
        obj = orjson.loads(self.renderer.value(entry))
        obj["metadata"]["resourceVersion"] = str(revision)
        return orjson.dumps(obj)

    def line(self, kind: bytes, value: bytes) -> bytes:
        shown = self.renderer.one(value, columns=self.first, watching=True)
        self.first = False
        return b'{"type":"%b","object":%b}\n' % (kind, shown)

    def bookmark(self, revision: int, end_of_initial: bool = False) -> bytes:
        meta: dict[str, Any] = {"resourceVersion": str(revision), "creationTimestamp": None}
        if end_of_initial:
            meta["annotations"] = {INITIAL_END: "true"}
        kind, api_version = self.kind.kind, self.kind.api_version
        if self.renderer.form.shape == "metadata":
            kind, api_version = "PartialObjectMetadata", "meta.k8s.io/v1"
        obj: dict[str, Any] = {"kind": kind, "apiVersion": api_version, "metadata": meta}
        if self.renderer.form.shape == "table":
            obj = {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": str(revision)},
                   "columnDefinitions": None, "rows": [{"cells": [], "object": obj | {"kind": "PartialObjectMetadata",
                                                                                     "apiVersion": "meta.k8s.io/v1"}}]}  # fmt: skip
        self.sent = revision
        return b'{"type":"BOOKMARK","object":%b}\n' % orjson.dumps(obj)

    # -- the stream

    async def send(self, chunks: list[bytes]) -> None:
        await self.request.send({"type": "http.response.body", "body": b"".join(chunks), "more_body": True})

    async def start(self, past: Iterator[bytes], seconds: float, bookmarks: bool) -> None:
        """Send the past; then the watch goes on without a task until its time is over, the client leaves, or it falls behind."""
        while not self.ended and (chunks := list(islice(past, 50))):
            await self.send(chunks)
        while self.queue and not self.ended:
            waiting, self.queue = self.queue, deque()
            await self.send([chunk for chunk in map(self.render, waiting) if chunk is not None])
        self.queue = None
        if self.ended or self.answer.push(b"") < 0:  # the head must go out even if nothing happened: the client waits for it
            self.end()
            return
        loop = asyncio.get_running_loop()
        self.deadline = loop.time() + seconds
        self.mark_at = loop.time() + BOOKMARK_SECONDS * random.uniform(0.9, 1.1) if bookmarks else self.deadline
        self.request.detached = True
        self.request.slim()
        self.answer.detach(self.end)
        self._sleep()

    def _sleep(self) -> None:
        self.timer = asyncio.get_running_loop().call_at(min(self.deadline, self.mark_at), self._wake)

    def _wake(self) -> None:
        self.flush()
        now = asyncio.get_running_loop().time()
        if now >= self.deadline:
            self.end()
            return
        if now >= self.mark_at:
            self.mark_at = now + BOOKMARK_SECONDS
            revision = self.context.store.revision
            if revision > self.sent and self.answer.push(self.bookmark(revision)) < 0:
                self.end()
                return
        self._sleep()

    def end(self) -> None:
        """Nothing more is sent. Called by whichever end comes first."""
        if self.ended:
            return
        self.ended = True
        self.context.fanout.leave(self.kind.storage, self.selection.namespace, self)
        if self.behind:
            self.behind = False
            self.context.fanout.unread.note(self, 0)
        if self.timer is not None:
            self.timer.cancel()
        if self.request.detached:
            self.answer.end()
            self.request.finished()


async def watch(context: Context, request: Request, kind: Kind) -> None:
    form = negotiate(request)
    check_watch_options(request)
    selection = selection_of(request, kind)
    if not kind.namespaced:
        selection.namespace = ""
    version = parse_version(request.param("resourceVersion"))
    bookmarks = request.flag("allowWatchBookmarks")
    initial = request.flag("sendInitialEvents")
    seconds = request.integer("timeoutSeconds") or random.uniform(*DEFAULT_SECONDS)
    store = context.store
    store.sync()
    renderer = context.renderer(kind, form)
    stream = Watch(context, request, kind, selection, renderer)
    try:
        past: Iterator[bytes]
        if initial or version == 0:
            state: list[Entry] = []
            if initial or not request.param("sendInitialEvents"):
                state = selection.filter(current(context, kind, selection))
            mark = [stream.bookmark(store.revision, end_of_initial=True)] if initial and bookmarks else []
            past = chain((stream.line(b"ADDED", renderer.value(entry)) for entry in state), mark)
        else:
            try:
                events = list(store.events(kind.storage, version))
            except Compacted:
                error = status.expired(f"too old resource version: {version} ({store.compacted})")
                past = iter([b'{"type":"ERROR","object":%b}\n' % orjson.dumps(error.status())])
                seconds = 0.0
            else:
                here = (event for event in events if not selection.namespace or event.new.namespace == selection.namespace)
                past = (chunk for chunk in map(stream.render, here) if chunk is not None)
        stream.sent = max(stream.sent, version)
        await request.send(request.start(200, b"application/json"))
        await stream.start(past, seconds, bookmarks)
    finally:
        if not request.detached:
            stream.end()
