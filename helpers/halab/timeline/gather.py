"""Changes come in storms; what they cause is done once for all that came together."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)
QUIET = 0.03  # seconds between two rounds: well under what an eye notices, and thirty updates a second at the most


class Gatherer:
    """Calls ``work`` in a thread of its own, at once after a ``poke``, then at most every ``quiet`` seconds: no change waits long, and a
    storm of changes costs no more than (by default) thirty calls a second. Nothing is called before ``start``."""

    def __init__(self, work: Callable[[], None], name: str, quiet: float = QUIET) -> None:
        self._work, self._quiet = work, quiet
        self._poked, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """From now on; what was poked before counts."""
        self._thread.start()

    def poke(self) -> None:
        self._poked.set()

    def _run(self) -> None:
        while True:
            self._poked.wait()
            if self._ended.is_set():
                return
            self._poked.clear()
            try:
                self._work()
            except Exception:  # one bad object must not leave a picture that never changes again
                log.exception("%s: a refresh failed", self._thread.name)
            if self._ended.wait(self._quiet):
                return

    def close(self) -> None:
        self._ended.set()
        self._poked.set()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(5)
