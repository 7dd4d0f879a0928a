"""One event loop in one daemon thread, for callers that are synchronous or that own a loop already (Jupyter does).

The code below is written once, as coroutines; a notebook or the command line calls it through a portal. A portal survives
``fork`` by starting anew in the child.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")
CLEANUP_SECONDS = 5.0


class Portal:
    """``portal.run(coroutine)`` waits for its result, ``portal.start(coroutine)`` returns a ``concurrent.futures.Future``."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = 0

    def loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or self._pid != os.getpid():
                self._loop, self._pid = asyncio.new_event_loop(), os.getpid()
                threading.Thread(target=self._loop.run_forever, name="halab-portal", daemon=True).start()
            return self._loop

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self.loop())

    def run(self, work: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """The coroutine's result. Cancelled, with ``TimeoutError``, after ``timeout`` seconds; also cancelled by Ctrl-C.

        What is cancelled is given a moment to clean up (a second Ctrl-C cuts that short): the process may end when we return.
        """
        over = threading.Event()

        async def whole() -> T:
            try:
                return await work
            finally:
                over.set()

        future = self.start(whole())
        try:
            return future.result(timeout)
        except BaseException:
            if future.cancel():
                over.wait(CLEANUP_SECONDS)
            raise


portal = Portal()
