"""Injecting and healing: look, refuse what cannot or must not be, write down, set a guard, and only then touch anything."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from halab.aio.processes import start_time
from halab.backends.access import Api, ApiError
from halab.backends.base import Backend
from halab.backends.controls import Controls
from halab.errors import ClusterError, HalabError, MachineError, UsageError
from halab.faults import guard
from halab.faults.base import LONGEST, Fault, Options, Place, Plan
from halab.faults.catalogue import find
from halab.faults.records import Record, history, load, load_all, locked, path_of, remember, save


@contextmanager
def in_words(subject: str) -> Iterator[None]:
    """The API's and the network's errors as ours."""
    try:
        yield
    except ApiError as error:
        remedy = "look again: it may have gone meanwhile" if error.code == 404 else ""
        raise ClusterError(subject, str(error), remedy) from error
    except (OSError, TimeoutError) as error:
        raise ClusterError(
            subject, f"the API server does not answer ({error})", "is it down on purpose? see: halab status, halab fault list"
        ) from error


def place_of(backend: Backend, namespace: str, controls: Controls) -> Place:
    path = backend.kubeconfig()
    return Place(_api(path, path.stat().st_mtime_ns, namespace), namespace, controls)


@lru_cache(maxsize=8)
def _api(path: Path, _written: int, namespace: str) -> Api:
    """One client for all calls, until the cluster is another one."""
    return Api(path, namespace)


def plan(
    backend: Backend, name: str, target: str, namespace: str, options: Options
) -> tuple[Fault, Place, Plan, dict[str, str | float | int]]:
    """What would be hit. Raises UsageError for what does not exist or does not fit, ClusterError where this cluster cannot."""
    fault = find(name)
    settings = fault.settings(options)
    controls = backend.controls()
    if missing := fault.missing(controls.powers, shared=controls.shared):
        kind = backend.summary().backend
        raise ClusterError(
            f"fault {name}", f"needs {', '.join(missing)}: this cluster ({kind}) does not offer that", "see: halab fault list"
        )
    if controls.shared and (own := backend.namespace(namespace)) != namespace:
        raise UsageError(f"fault {name}", f"namespace {namespace} is not yours on this cluster", f"yours is {own}")
    if target and not fault.target:
        raise UsageError(f"fault {name}", f"hits the whole cluster: it takes no target ({target})")
    place = place_of(backend, namespace, controls)
    with in_words(f"fault {name}"):
        return fault, place, fault.plan(place, target, settings), settings


def inject(
    backend: Backend,
    name: str,
    target: str = "",
    *,
    namespace: str = "default",
    duration: float | None = None,
    options: Options | None = None,
    owner: int = 0,
    confirmed: bool = False,
) -> Record:
    """Inject a failure; it is healed after ``duration`` seconds, or when process ``owner`` ends, or by ``heal``.

    On a shared cluster ``confirmed`` says that the dry run has been shown. Raises HalabError; the cluster is then as it was.
    """
    fault = find(name)
    lasting = fault.duration if duration is None else duration
    if not 0 < lasting <= LONGEST:
        raise UsageError(f"fault {name}", f"a duration of {lasting:g} s is not between 0 and {LONGEST:g}")
    controls = backend.controls()
    folder = controls.records()
    with locked(folder):
        overdue(backend, folder)
        fault, place, planned, settings = plan(backend, name, target, namespace, options or {})
        if controls.shared and not confirmed:
            raise UsageError(
                f"fault {name}", f"would hit {'; '.join(planned.hits)}", "others use this cluster: confirm with --yes"
            )
        refuse_conflicts(name, planned, load_all(folder))
        now = time.time()
        record = Record(
            id=f"{name}-{secrets.token_hex(2)}",
            fault=name,
            cluster=backend.summary().name,
            namespace=namespace,
            target=target,
            options=dict(settings),
            hits=list(planned.hits),
            keys=list(planned.keys),
            data=planned.data,
            at=now,
            until=now + lasting,
            owner=(owner, start_time(owner)) if owner else (0, ""),
        )
        save(folder, record)
        try:
            record.guard = guard.start(folder, record)
        except OSError as error:
            path_of(folder, record.id).unlink(missing_ok=True)
            raise MachineError(f"fault {name}", str(error)) from error
        save(folder, record)
        try:
            with in_words(f"fault {name}"):
                fault.inject(place, planned.data)
        except HalabError as error:
            _undo(fault, place, folder, record)
            raise type(error)(error.subject, f"{error.fact}: nothing is left of the failure", error.remedy) from error
        except BaseException:
            _undo(fault, place, folder, record)
            raise
        record.state = "active"
        save(folder, record)
        remember(folder, record, "injected", time.time())
    return record


def _undo(fault: Fault, place: Place, folder: Path, record: Record) -> None:
    """After an injection that failed half-way. What cannot be undone now is left to the guard."""
    try:
        with in_words(record.id):
            fault.heal(place, record.data)
    except HalabError as error:
        record.error, record.until = str(error), time.time()
        save(folder, record)
        return
    path_of(folder, record.id).unlink(missing_ok=True)
    guard.end(record.guard)


class Held(UsageError):
    """What would be hit is held by another failure."""


def refuse_conflicts(name: str, planned: Plan, active: list[Record]) -> None:
    for other in active:
        if shared := sorted(set(planned.keys) & set(other.keys)):
            raise Held(
                f"fault {name}",
                f"conflicts with {other.id}, which holds {', '.join(shared)}",
                f"heal that first: halab fault heal {other.id}",
            )


def heal(backend: Backend, id: str) -> Record:
    """Heal one failure. Raises UsageError if it is not active, ClusterError if it cannot be healed now (its guard tries on)."""
    folder = backend.controls().records()
    with locked(folder):
        record = load(path_of(folder, id)) if id.replace("-", "").isalnum() else None
        if record is None:
            active = ", ".join(one.id for one in load_all(folder)) or "none"
            raise UsageError(f"fault {id}", "is not active: it was healed already, or never injected", f"active: {active}")
        _heal(backend, folder, record)
    return record


def heal_all(backend: Backend) -> list[Record]:
    """Heal everything, what others' healing needs (the API server) first. Raises ClusterError naming what could not be healed."""
    folder = backend.controls().records()
    healed: list[Record] = []
    failed: list[str] = []
    with locked(folder):
        for record in healing_order(load_all(folder)):
            try:
                _heal(backend, folder, record)
                healed.append(record)
            except HalabError as error:
                failed.append(f"{record.id} ({error})")
    if failed:
        raise ClusterError("fault heal", f"not healed: {'; '.join(failed)}", "try again: halab fault heal --all")
    return healed


def healing_order(records: list[Record]) -> list[Record]:
    return sorted(records, key=lambda record: (find(record.fault).order, -record.at))


def _heal(backend: Backend, folder: Path, record: Record) -> None:
    place = place_of(backend, record.namespace, backend.controls())
    try:
        _when_reachable(find(record.fault), place, record)
    except HalabError as error:
        record.error = str(error)
        save(folder, record)
        raise
    remember(folder, record, "healed", time.time())
    path_of(folder, record.id).unlink(missing_ok=True)
    guard.end(record.guard)


PATIENCE = 10.0  # seconds in which an API server that has just been started must answer
ASK_AGAIN = 0.1


def _when_reachable(fault: Fault, place: Place, record: Record) -> None:
    """Heal; an API server that comes up just now is given a moment."""
    deadline = time.monotonic() + (PATIENCE if "api" in fault.needs and "component/apiserver" not in _held(place) else 0.0)
    while True:
        try:
            with in_words(record.id):
                fault.heal(place, record.data)
            return
        except ClusterError as error:
            if not isinstance(error.__cause__, OSError) or time.monotonic() > deadline:
                raise
        time.sleep(ASK_AGAIN)


def _held(place: Place) -> set[str]:
    """The keys of all that is active."""
    return {key for record in load_all(place.controls.records()) for key in record.keys}


def _alone(record: Record) -> bool:
    """Whether its guard is gone (the machine was restarted, the guard killed)."""
    pid, since = record.guard
    return not pid or start_time(pid) != since


def _over(record: Record) -> bool:
    """Whether it should have been healed: its time is up, its injection broke off, or whoever injected it has ended."""
    pid, since = record.owner
    return record.until < time.time() or record.state == "injecting" or bool(pid and start_time(pid) != since)


def overdue(backend: Backend, folder: Path) -> list[Record]:
    """Heal what its guard should have healed; what lost its guard before its time gets another. Returns what was healed."""
    healed: list[Record] = []
    for record in healing_order([one for one in load_all(folder) if _alone(one)]):
        if _over(record):
            with suppress(HalabError):
                _heal(backend, folder, record)
                healed.append(record)
        else:
            with suppress(OSError):
                record.guard = guard.start(folder, record)
                save(folder, record)
    return healed


def active(backend: Backend) -> list[Record]:
    """What is active now, the oldest first. Failures that outlived their guard are healed on the way."""
    folder = backend.controls().records()
    found = load_all(folder)
    if any(map(_alone, found)):
        with locked(folder):
            overdue(backend, folder)
        found = load_all(folder)
    return found


def heal_leftovers(backend: Backend, *, fresh: bool = False) -> list[Record]:
    """What a cluster that is opened or brought up has left from before: heal what is overdue; with ``fresh`` (its processes were just
    started, so that what was done to them is undone, and what was written into the API is not) heal everything."""
    folder = backend.controls().records()
    if not load_all(folder):
        return []
    if fresh:
        return heal_all(backend)
    with locked(folder):
        return overdue(backend, folder)


def past(backend: Backend, since: float = 0.0) -> list[dict[str, Any]]:
    """What was injected and healed since then (Unix time): ``{"at", "event": injected or healed, "id", "fault", "namespace", "target", "hits"}``."""
    return history(backend.controls().records(), since)


def document(record: Record) -> dict[str, Any]:
    """For ``--json``."""
    return {
        "id": record.id,
        "fault": record.fault,
        "namespace": record.namespace,
        "target": record.target,
        "hits": record.hits,
        "at": record.at,
        "until": record.until,
        "state": record.state,
        "error": record.error,
    }
