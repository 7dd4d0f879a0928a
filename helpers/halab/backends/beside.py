"""A second, embedded cluster beside the learner's own: for what takes two. And the proxy program that can stand in front of both."""

from __future__ import annotations

from pathlib import Path

from halab.backends.base import Backend, Report
from halab.backends.embedded import Embedded
from halab.cluster.dataplane import proxy
from halab.cluster.supervisor import manage


def _quiet(_text: str) -> None:
    """Nobody listens."""


def running(name: str) -> Backend | None:
    """The embedded cluster ``name``; None unless it is running."""
    return Embedded(name) if manage.status(name).state == "running" else None


def start(name: str, *, nodes: int | None = None, report: Report = _quiet) -> Backend:
    """Bring it up, as it was if it was there before. Raises HalabError."""
    manage.up(name, nodes=nodes, report=report)
    return Embedded(name)


def stop(name: str) -> None:
    """All its processes end; its objects are kept."""
    manage.down(name)


def forget(name: str) -> None:
    """Stop it and remove all that it kept."""
    manage.down(name, purge=True)


def envoy() -> Path:
    """The program. Raises MachineError where it is not installed."""
    return proxy.program()
