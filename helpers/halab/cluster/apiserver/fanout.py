"""Events to very many watches without holding up everything else.

A write tells the watches of its collection at once while they are few. Ten thousand of them take a large part of a second (each is a TLS
connection of its own), so beyond a handful the rest are told in turns between other requests. Each watch sees all events, in order.
When writes outrun that for long, they are made to wait: what is pending stays bounded.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterator
from typing import Protocol

from halab.cluster.store.cache import Event
from halab.cluster.store.store import Store

log = logging.getLogger("halab.apiserver")

AT_ONCE = 64  # watches that are told before other work gets a turn: some 2 ms
MAX_PENDING = 50  # events that may wait; each holds a list of its watches
MAX_UNREAD = 64 << 20  # bytes that all watches together may leave unread


class Stream(Protocol):
    """A watch, as a channel sees it. ``deliver`` of one that has ended does nothing."""

    def deliver(self, event: Event) -> None: ...

    def drop(self) -> None: ...

    def unread(self) -> int:
        """Bytes that wait for its client to read."""
        ...


class Flushed(Protocol):
    """What has something to write."""

    def flush(self) -> None: ...


class Unread:
    """What watches' clients have not read yet, and a bound on all of it: a hundred clients that each stay within their own limit could
    still take all memory. The one that is furthest behind goes first."""

    def __init__(self, limit: int = MAX_UNREAD) -> None:
        self.limit = limit
        self.total = 0
        self._sizes: dict[Stream, int] = {}

    def note(self, stream: Stream, size: int) -> None:
        """``size`` bytes wait for this stream's client now."""
        before = self._sizes.pop(stream, 0)
        if size:
            self._sizes[stream] = size
        self.total += size - before
        if self.total > self.limit:
            self._relieve()

    def _relieve(self) -> None:
        for stream in list(self._sizes):  # they may have read since they were last told of something
            self.total -= self._sizes[stream]
            self._sizes[stream] = size = stream.unread()
            self.total += size
        while self.total > self.limit:
            worst = max(self._sizes, key=self._sizes.__getitem__)
            self.total -= self._sizes.pop(worst)
            worst.drop()


class Channel:
    """The watches of one namespace of one collection (or of all namespaces)."""

    def __init__(self) -> None:
        self.streams: dict[Stream, None] = {}
        self._pending: deque[tuple[Event, Iterator[Stream]]] = deque()

    def publish(self, event: Event) -> None:
        if not self._pending and len(self.streams) <= AT_ONCE:
            for stream in list(self.streams):
                _tell(stream, event)
            return
        self._pending.append((event, iter(list(self.streams))))
        if len(self._pending) == 1:
            asyncio.get_running_loop().call_soon(self._go_on)
        while len(self._pending) > MAX_PENDING:
            oldest, rest = self._pending.popleft()
            for stream in rest:
                _tell(stream, oldest)

    def _go_on(self) -> None:
        for _ in range(AT_ONCE):
            event, streams = self._pending[0]
            stream = next(streams, None)
            if stream is not None:
                _tell(stream, event)
                continue
            self._pending.popleft()
            if not self._pending:
                return
        asyncio.get_running_loop().call_soon(self._go_on)


def _tell(stream: Stream, event: Event) -> None:
    try:
        stream.deliver(event)
    except Exception:  # one watch's trouble must not fail the write or another watch
        log.exception("a watch could not be told of %s %s", event.resource, event.new.name)
        stream.drop()


class Fanout:
    """The channels of a store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.unread = Unread()
        self._dirty: list[Flushed] = []
        self._channels: dict[tuple[str, str], tuple[Channel, object]] = {}

    def later(self, stream: Flushed) -> None:
        """Have ``stream`` write after what runs now: the writer of an event has its answer first, and events that come together go out in
        one piece (a TLS record, a system call, a client's awakening)."""
        self._dirty.append(stream)
        if len(self._dirty) == 1:
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        dirty, self._dirty = self._dirty, []
        for stream in dirty:
            stream.flush()

    def join(self, resource: str, namespace: str, stream: Stream) -> None:
        """``stream`` is told of every later event of a namespace (of all, if empty) of a resource."""
        key = (resource, namespace)
        if key not in self._channels:
            channel = Channel()
            self._channels[key] = (channel, self.store.collection(resource).watch(namespace, channel.publish))
        self._channels[key][0].streams[stream] = None

    def leave(self, resource: str, namespace: str, stream: Stream) -> None:
        """A channel stays when its last watch has left: the next watch is never far."""
        found = self._channels.get((resource, namespace))
        if found is not None:
            found[0].streams.pop(stream, None)
