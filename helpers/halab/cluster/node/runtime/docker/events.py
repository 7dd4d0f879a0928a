"""The engine's events, told to the agent's loop: which container ended, which executed program, which ran out of memory.

One thread a node blocks on the engine's stream. When the engine goes away it is asked again until it answers; then the runtime looks at every
container itself, for what ended meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

from halab.engine.client import Engine

log = logging.getLogger(__name__)

KINDS = ["die", "oom", "exec_die", "died"]  # Podman tells of "die" to those who ask for "died"
Event = dict[str, Any]


class Events:
    """``told`` is called with each event, ``lost`` whenever the stream begins anew; both in the loop's thread."""

    def __init__(self, client: Engine, filters: dict[str, Any], told: Callable[[Event], None], lost: Callable[[], None]) -> None:
        self._client, self._filters, self._told, self._lost = client, filters, told, lost
        self._loop = asyncio.get_running_loop()
        self._closed = threading.Event()
        self._stream: Any = None
        self._began = self._loop.create_future()
        self._thread = threading.Thread(target=self._listen, name="engine-events", daemon=True)

    async def start(self) -> None:
        """Returns when the engine has begun to tell: from then on nothing is missed."""
        self._thread.start()
        await asyncio.shield(self._began)

    def close(self) -> None:
        self._closed.set()
        if self._stream is not None:
            self._stream.close()

    def _call(self, function: Callable[..., None], *arguments: Any) -> None:
        if not self._closed.is_set():
            try:
                self._loop.call_soon_threadsafe(function, *arguments)
            except RuntimeError:  # the loop is closed: the agent has ended
                self._closed.set()

    def _started(self) -> None:
        if not self._began.done():
            self._began.set_result(None)

    def _listen(self) -> None:
        delay, first = 0.1, True
        while not self._closed.is_set():
            try:
                self._stream = self._client.events(decode=True, filters={**self._filters, "type": "container", "event": KINDS})
                delay = 0.1
                self._call(self._started if first else self._lost)
                first = False
                for event in self._stream:
                    self._call(self._told, event)
            except Exception as error:  # of the engine, of the connection, of a stream that close() has ended
                if not self._closed.is_set():
                    log.warning("the engine's events: %s", error)
            if self._closed.wait(delay):
                return
            delay = min(delay * 2, 2.0)
