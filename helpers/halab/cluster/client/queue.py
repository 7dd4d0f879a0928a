"""The work queue of a controller: keys, each handled by one worker at a time, with delays and exponential back-off.

The semantics are client-go's: a key that is added while it waits is kept once; one that is added while it is being handled is handled
again afterwards. Nothing here polls: delays are timers of the loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

BASE_DELAY = 0.005  # seconds: client-go's default item back-off begins here, doubles with each failure
MAX_DELAY = 30.0  # client-go waits up to 1000 s; a learner's cluster should notice the cause of a failure gone sooner


class WorkQueue(Generic[K]):
    """``async for`` style use: ``key = await queue.get()``; handle it; ``queue.done(key)``."""

    def __init__(self, *, base_delay: float = BASE_DELAY, max_delay: float = MAX_DELAY) -> None:
        self._base_delay, self._max_delay = base_delay, max_delay
        self._ready: deque[K] = deque()
        self._waiting: set[K] = set()  # in _ready, or to be put there by done()
        self._handled: set[K] = set()
        self._failures: dict[K, int] = {}
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._getters: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        return len(self._ready)

    def add(self, key: K) -> None:
        if key in self._waiting:
            return
        self._waiting.add(key)
        if key not in self._handled:
            self._ready.append(key)
            self._wake()

    def add_after(self, key: K, seconds: float) -> None:
        """Add ``key`` in ``seconds``; of several such calls the earliest counts."""
        if seconds <= 0:
            self.add(key)
            return
        loop = asyncio.get_running_loop()
        when = loop.time() + seconds
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= when:
                return
            timer.cancel()
        self._timers[key] = loop.call_at(when, self._due, key)

    def _due(self, key: K) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def retry(self, key: K, base_delay: float | None = None) -> float:
        """Add ``key`` after its back-off, which doubles each time until ``forget``; returns the delay in seconds.

        ``base_delay`` in place of the queue's own is for what will soon be over by itself.
        """
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        base = self._base_delay if base_delay is None else base_delay
        delay: float = min(base * 2 ** min(failures, 30), self._max_delay)
        self.add_after(key, delay)
        return delay

    def forget(self, key: K) -> None:
        """The key was handled well: its next failure starts with the shortest back-off."""
        self._failures.pop(key, None)

    def failures(self, key: K) -> int:
        return self._failures.get(key, 0)

    def _wake(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return

    async def get(self) -> K:
        while not self._ready:
            getter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except asyncio.CancelledError:
                if getter.done() and self._ready:
                    self._wake()  # this wake-up was meant for a worker that goes on
                raise
        key = self._ready.popleft()
        self._waiting.discard(key)
        self._handled.add(key)
        return key

    def done(self, key: K) -> None:
        self._handled.discard(key)
        if key in self._waiting:
            self._ready.append(key)
            self._wake()

    def close(self) -> None:
        """Cancel all timers."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
