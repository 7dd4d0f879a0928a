"""The event recorder: what components tell people, aggregated as client-go does so that a loop cannot flood the cluster.

Three rules, in order (client-go ``tools/record``): an object gets at most 25 events in a burst from one source, then one in five minutes;
the eleventh event that differs in its message only within ten minutes becomes "(combined from similar events): ..."; an event seen before
raises ``count`` of the stored one instead of making another. The scheduler writes the newer form, ``events.k8s.io``.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from halab.cluster.client.client import Client
from halab.cluster.client.clock import micro, rfc3339
from halab.cluster.kube.kinds import EVENTS, EVENTS_V1
from halab.cluster.kube.status import ApiError
from halab.cluster.kube.types import Obj

log = logging.getLogger(__name__)

BURST, REFILL_SECONDS = 25, 300.0
SIMILAR, SIMILAR_SECONDS = 10, 600.0
REMEMBERED = 1024  # entries of each cache; client-go keeps 4096
SERIES_SECONDS = 60.0  # a running series of events.k8s.io is written at most this often
COMBINED = "(combined from similar events): "


def reference(obj: Obj) -> Obj:
    """The ObjectReference to ``obj``; an ObjectReference itself (with ``fieldPath``, say) is passed through."""
    if "metadata" not in obj:
        return obj
    meta = obj["metadata"]
    pairs = {
        "kind": obj.get("kind"),
        "namespace": meta.get("namespace"),
        "name": meta.get("name"),
        "uid": meta.get("uid"),
        "apiVersion": obj.get("apiVersion"),
        "resourceVersion": meta.get("resourceVersion"),
    }
    return {key: value for key, value in pairs.items() if value}


@dataclass
class _Seen:
    name: str = ""
    namespace: str = ""
    count: int = 0
    sent: float = 0.0


@dataclass
class _Bucket:
    tokens: float = BURST
    at: float = 0.0


@dataclass
class _Similar:
    messages: set[str] = field(default_factory=set)
    at: float = 0.0


class _Recent(OrderedDict[Any, Any]):
    """The most recently used entries."""

    def entry(self, key: Any, make: type[Any]) -> Any:
        found = self.get(key)
        if found is None:
            found = self[key] = make()
            if len(self) > REMEMBERED:
                self.popitem(last=False)
        else:
            self.move_to_end(key)
        return found


class EventRecorder:
    """``event`` returns at once; a task of the loop writes to the API in order, and errors are only logged: events are best effort."""

    def __init__(self, client: Client, component: str, host: str = "", *, events_v1: bool = False) -> None:
        self.client, self.component, self.host, self.events_v1 = client, component, host, events_v1
        self._buckets, self._similar, self._seen = _Recent(), _Recent(), _Recent()
        self._queue: asyncio.Queue[tuple[Obj, Obj | None, str, str, str, str, float]] = asyncio.Queue(maxsize=1000)
        self._task: asyncio.Task[None] | None = None
        self._last_nanoseconds = 0

    def event(self, about: Obj, type: str, reason: str, message: str, *, related: Obj | None = None, action: str = "") -> None:
        """Record that ``reason`` befell ``about`` (an object or an ObjectReference). ``type`` is Normal or Warning."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write(), name=f"events-{self.component}")
        try:
            self._queue.put_nowait(
                (reference(about), related and reference(related), type, reason, message[:1024], action, time.time())
            )
        except asyncio.QueueFull:
            log.warning("event dropped, the queue is full: %s %s", reason, message)

    async def flush(self) -> None:
        """Until all recorded so far is written (or has failed)."""
        await self._queue.join()

    async def _write(self) -> None:
        while True:
            entry = await self._queue.get()
            try:
                await (self._write_series(*entry) if self.events_v1 else self._write_one(*entry))
            except (ApiError, OSError, TimeoutError) as exc:
                # An event about an object in a namespace that is going away is expected to fail.
                log.debug("event %s not written: %s", entry[3], exc)
            finally:
                self._queue.task_done()

    def _name(self, ref: Obj) -> str:
        self._last_nanoseconds = max(time.time_ns(), self._last_nanoseconds + 1)
        return f"{ref.get('name')}.{self._last_nanoseconds:x}"

    def _allowed(self, ref: Obj, now: float) -> bool:
        bucket = self._buckets.entry((ref.get("namespace"), ref.get("kind"), ref.get("name"), ref.get("uid")), _Bucket)
        if bucket.at:
            bucket.tokens = min(BURST, bucket.tokens + (now - bucket.at) / REFILL_SECONDS)
        bucket.at = now
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True

    async def _write_one(
        self, ref: Obj, related: Obj | None, type: str, reason: str, message: str, action: str, at: float
    ) -> None:
        if not self._allowed(ref, at):
            return
        identity: tuple[Any, ...] = (
            *(ref.get(key) for key in ("namespace", "kind", "name", "uid", "fieldPath")),
            type,
            reason,
        )
        similar: _Similar = self._similar.entry(identity, _Similar)
        if at - similar.at > SIMILAR_SECONDS:
            similar.messages = set()
        similar.at = at
        similar.messages.add(message)
        if len(similar.messages) > SIMILAR:
            similar.messages.pop()
            message, identity = COMBINED + message, (*identity, COMBINED)
        else:
            identity = (*identity, message)
        seen: _Seen = self._seen.entry(identity, _Seen)
        if seen.count:
            seen.count += 1
            patch = {"count": seen.count, "lastTimestamp": rfc3339(at), "message": message}
            try:
                await self.client.patch(EVENTS, seen.name, seen.namespace, patch, type="strategic")
                return
            except ApiError as exc:
                if exc.code != 404:  # it has expired: begin anew
                    raise
                seen.count = 0
        name, namespace = self._name(ref), ref.get("namespace") or "default"
        source = {"component": self.component} | ({"host": self.host} if self.host else {})
        body: Obj = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": ref,
            "reason": reason,
            "message": message,
            "source": source,
            "firstTimestamp": rfc3339(at),
            "lastTimestamp": rfc3339(at),
            "count": 1,
            "type": type,
            "eventTime": None,
            "reportingComponent": self.component,
            "reportingInstance": self.host,
        }
        if related:
            body["related"] = related
        await self.client.create(EVENTS, body)
        seen.name, seen.namespace, seen.count = name, namespace, 1

    async def _write_series(
        self, ref: Obj, related: Obj | None, type: str, reason: str, note: str, action: str, at: float
    ) -> None:
        identity = (ref.get("namespace"), ref.get("kind"), ref.get("name"), ref.get("uid"), type, reason, action, note)
        seen: _Seen = self._seen.entry(identity, _Seen)
        if seen.count:
            seen.count += 1
            if seen.count > 2 and at - seen.sent < SERIES_SECONDS:
                return
            seen.sent = at
            patch = {"series": {"count": seen.count, "lastObservedTime": micro(at)}}
            try:
                await self.client.patch(EVENTS_V1, seen.name, seen.namespace, patch, type="strategic")
                return
            except ApiError as exc:
                if exc.code != 404:
                    raise
                seen.count = 0
        name, namespace = self._name(ref), ref.get("namespace") or "default"
        body: Obj = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "eventTime": micro(at),
            "reportingController": self.component,
            "deprecatedSource": {"component": self.component},  # what readers of v1 Events look at
            "reportingInstance": f"{self.component}-{socket.gethostname()}",
            "action": action,
            "reason": reason,
            "regarding": ref,
            "note": note,
            "type": type,
        }
        if related:
            body["related"] = related
        await self.client.create(EVENTS_V1, body)
        seen.name, seen.namespace, seen.count, seen.sent = name, namespace, 1, at
