"""The front door for notebooks, widgets and checks: ``catalogue``, ``preview``, ``inject``, ``heal``, ``heal_all``, ``active``, ``history``.

Everything is a plain dataclass; what was injected from here is also healed when this process ends.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from halab.backends.base import Backend
from halab.errors import UsageError
from halab.faults import engine
from halab.faults.base import Fault
from halab.faults.catalogue import FAULTS
from halab.faults.records import Record


@dataclass(frozen=True, slots=True)
class About:
    """One failure of the catalogue, in words. ``lacks`` says why this cluster cannot have it; empty where it can."""

    name: str
    title: str
    target: str
    does: str
    expect: str
    within: str
    heals: str
    duration: float
    options: dict[str, str]
    needs: tuple[str, ...]
    cluster_wide: bool
    lacks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Preview:
    """The dry run: what would be hit, by ``about``, for how long. Nothing was touched."""

    about: About
    namespace: str
    hits: tuple[str, ...]
    duration: float


@dataclass(frozen=True, slots=True)
class Injection:
    """A failure that was injected. Times are Unix seconds; ``error`` says why an attempt to heal it failed."""

    id: str
    fault: str
    namespace: str
    target: str
    hits: tuple[str, ...]
    at: float
    until: float
    error: str = ""

    @property
    def left(self) -> float:
        """Seconds until it heals by itself."""
        return max(0.0, self.until - time.time())


class Handle:
    """An injected failure, to be healed at the end of a ``with`` block or by ``heal``. Healing what has healed itself is no error here."""

    def __init__(self, backend: Backend, injection: Injection) -> None:
        self.backend, self.injection = backend, injection

    def heal(self) -> None:
        if any(one.id == self.injection.id for one in active(self.backend)):
            with suppress(UsageError):  # its guard was quicker
                heal(self.backend, self.injection.id)

    def __enter__(self) -> Handle:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.heal()

    def __repr__(self) -> str:
        one = self.injection
        return f"{one.id}: {', '.join(one.hits)}; heals by itself in {one.left:.0f} s"


def about(fault: Fault, backend: Backend | None = None) -> About:
    lacks: tuple[str, ...] = ()
    if backend is not None:
        controls = backend.controls()
        lacks = tuple(fault.missing(controls.powers, shared=controls.shared))
    return About(
        fault.name,
        fault.title,
        fault.target,
        fault.does,
        fault.expect,
        fault.within,
        fault.heals,
        fault.duration,
        {option.name: f"{option.help} (default {option.default or 'none'})" for option in fault.options},
        tuple(sorted(fault.needs)),
        fault.cluster_wide,
        lacks,
    )


def catalogue(backend: Backend | None = None) -> tuple[About, ...]:
    """All failures; with a backend also whether it can have them."""
    return tuple(about(fault, backend) for fault in FAULTS)


def preview(
    backend: Backend, name: str, target: str = "", *, namespace: str = "default", duration: float | None = None, **options: Any
) -> Preview:
    """What ``inject`` with the same arguments would hit. Raises what it would raise."""
    fault, _, planned, _ = engine.plan(backend, name, target, namespace, options)
    return Preview(about(fault, backend), namespace, planned.hits, fault.duration if duration is None else duration)


def inject(
    backend: Backend,
    name: str,
    target: str = "",
    *,
    namespace: str = "default",
    duration: float | None = None,
    confirmed: bool = False,
    **options: Any,
) -> Handle:
    """Inject a failure. It heals after ``duration`` seconds, when this process ends, or by ``Handle.heal``. Raises HalabError."""
    record = engine.inject(
        backend,
        name,
        target,
        namespace=namespace,
        duration=duration,
        options=options,
        owner=os.getpid(),
        confirmed=confirmed,
    )
    return Handle(backend, injection(record))


def heal(backend: Backend, id: str) -> Injection:
    """Raises UsageError if it is not active (any more)."""
    return injection(engine.heal(backend, id))


def heal_all(backend: Backend) -> tuple[Injection, ...]:
    return tuple(injection(record) for record in engine.heal_all(backend))


def active(backend: Backend) -> tuple[Injection, ...]:
    return tuple(injection(record) for record in engine.active(backend))


@dataclass(frozen=True, slots=True)
class Event:
    """Something of the past: ``event`` is ``injected`` or ``healed``, ``at`` a Unix time."""

    at: float
    event: str
    id: str
    fault: str
    namespace: str
    target: str
    hits: tuple[str, ...]


def history(backend: Backend, since: float = 0.0) -> tuple[Event, ...]:
    """What was injected and what healed since then, in order: for a timeline."""
    return tuple(Event(**{**event, "hits": tuple(event["hits"])}) for event in engine.past(backend, since))


def injection(record: Record) -> Injection:
    return Injection(
        record.id, record.fault, record.namespace, record.target, tuple(record.hits), record.at, record.until, record.error
    )
