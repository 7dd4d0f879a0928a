"""What all widgets share: how their files are read, and how changes are gathered before they are sent."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import anywidget

FOLDER = Path(__file__).parent
QUIET = 0.05  # seconds in which changes are gathered: well under what an eye notices, and twenty updates a second at the most


def script(*names: str) -> str:
    """The text of some scripts, in order. Modules are loaded from a Blob, where relative imports do not work, so they are joined."""
    return "\n".join((FOLDER / name).read_text() for name in names)


style = script


class Widget(anywidget.AnyWidget):
    """The base of halab's widgets. ``close`` ends what runs for it."""


class Gatherer:
    """Calls ``work`` in a thread of its own, soon after ``poke``, once for all pokes within ``QUIET`` seconds."""

    def __init__(self, work: Callable[[], None], name: str) -> None:
        self._work = work
        self._poked, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def poke(self) -> None:
        self._poked.set()

    def _run(self) -> None:
        while True:
            self._poked.wait()
            if self._ended.wait(QUIET):
                return
            self._poked.clear()
            self._work()

    def close(self) -> None:
        self._ended.set()
        self._poked.set()
        if threading.current_thread() is not self._thread:
            self._thread.join(5)
