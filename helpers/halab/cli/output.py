"""How commands speak: progress for people on standard error, one JSON object for programs on standard output."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.status import Status

PATIENCE = 0.25  # seconds before an animation is worth the import of rich


class Progress:
    """``step(text)`` says what is being done. On a terminal it is one live line, elsewhere one plain line each."""

    def __init__(self, *, quiet: bool) -> None:
        self._live = sys.stderr.isatty() and not quiet
        self._plain = not self._live and not quiet
        self._began = time.monotonic()
        self._status: Status | None = None
        self._text = ""
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        if self._live:
            self._timer = threading.Timer(PATIENCE, self._animate)
            self._timer.daemon = True
            self._timer.start()

    def step(self, text: str) -> None:
        with self._lock:
            same = text.split()[:2] == self._text.split()[:2]  # "waiting for a, b", then "waiting for b"
            if text == self._text:
                return
            self._text = text
            if self._status is not None:
                self._status.update(text)
        if self._plain and not same:
            click.echo(f"[{time.monotonic() - self._began:5.2f} s] {text}", err=True)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        with self._lock:
            self._live = False
            if self._status is not None:
                self._status.stop()

    def _animate(self) -> None:
        from rich.console import Console

        with self._lock:
            if self._live:
                self._status = Console(stderr=True).status(self._text)
                self._status.start()


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[Progress]:
    """Progress on standard error while the block runs."""
    shown = Progress(quiet=quiet)
    try:
        yield shown
    finally:
        shown.close()


def emit(document: dict[str, object]) -> None:
    """The one JSON object of a ``--json`` command."""
    click.echo(json.dumps(document, indent=2))


def say(text: str) -> None:
    """A line for people."""
    click.echo(text, err=True)
