"""Game days: a series of failures drawn from a seed, so that it can be played again, and be each learner's own.

A scenario is a YAML file::

    name: game day one
    seed: 7
    length: 120            # seconds; no failure begins later
    between: [10, 20]      # seconds from one failure to the next
    failures:
      - fault: container-killed
        target: deployment/web
        weight: 3          # how often, against the others (default 1)
      - fault: latency
        target: service/web
        lasts: [5, 15]     # seconds (default: the failure's own)
        set: {seconds: 0.5}

``steps`` is pure: what happens when depends on the file, the seed and the learner's name alone. Which pod of a Deployment is hit is drawn
as a place among its pods by name, since their names are known only when it happens.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from halab.backends.base import Backend
from halab.errors import HalabError, UsageError
from halab.faults import engine
from halab.faults.base import LONGEST
from halab.faults.catalogue import find
from halab.faults.records import Record

FIELDS = {"name", "seed", "length", "between", "failures"}
FAILURE_FIELDS = {"fault", "target", "weight", "lasts", "set"}
PLACES = 8  # how many of a Deployment's pods are tried when other failures hold the one that was drawn
Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Failure:
    """One kind of failure of a scenario; ``lasts`` is drawn between its two numbers (seconds)."""

    fault: str
    target: str
    weight: float
    lasts: Span
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scenario:
    name: str
    seed: int
    length: float
    between: Span
    failures: tuple[Failure, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """What is injected ``at`` seconds after the beginning."""

    at: float
    fault: str
    target: str
    lasts: float
    options: dict[str, Any]

    def sentence(self) -> str:
        return f"{self.fault}{' on ' + self.target if self.target else ''} for {self.lasts:g} s"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a step: the id of the failure, or why there was none."""

    step: Step
    id: str
    text: str


def load(file: Path) -> Scenario:
    """Raises UsageError naming the field that is wrong."""
    where = f"scenario {file}"
    try:
        raw = yaml.safe_load(file.read_text())
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UsageError(where, f"cannot be read ({error})") from error
    if not isinstance(raw, dict) or not isinstance(raw.get("failures"), list) or not raw["failures"]:
        raise UsageError(where, "is not a mapping with a list of failures", "see: halab fault list")
    _no_others(where, raw, FIELDS)
    try:
        return Scenario(
            str(raw.get("name", file.stem)),
            int(raw.get("seed", 0)),
            _number(where, "length", raw.get("length", 60)),
            _span(where, "between", raw.get("between", [10, 20])),
            tuple(_failure(f"{where}: failure {number}", each) for number, each in enumerate(raw["failures"], 1)),
        )
    except (TypeError, ValueError) as error:
        raise UsageError(where, str(error)) from error


def _failure(where: str, raw: Any) -> Failure:
    if not isinstance(raw, dict) or "fault" not in raw:
        raise UsageError(where, "is not a mapping that names a fault")
    _no_others(where, raw, FAILURE_FIELDS)
    fault = find(str(raw["fault"]))
    target = str(raw.get("target", ""))
    if bool(target) != bool(fault.target) and fault.name != "registry-down":
        raise UsageError(where, f"{fault.name} needs {'a ' + fault.target + ' as target' if fault.target else 'no target'}")
    options = raw.get("set") or {}
    fault.settings(options)
    return Failure(
        fault.name,
        target,
        _number(where, "weight", raw.get("weight", 1)),
        _span(where, "lasts", raw.get("lasts", [fault.duration, fault.duration])),
        dict(options),
    )


def _no_others(where: str, raw: dict[str, Any], known: set[str]) -> None:
    if strange := sorted(str(key) for key in set(raw) - known):
        raise UsageError(where, f"has unknown fields: {', '.join(strange)}", f"known: {', '.join(sorted(known))}")


def _number(where: str, name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= LONGEST:
        raise UsageError(where, f"{name}: {value!r} is not a number above 0 and up to {LONGEST:g}")
    return float(value)


def _span(where: str, name: str, value: Any) -> Span:
    pair = value if isinstance(value, list) else [value, value]
    if len(pair) != 2:
        raise UsageError(where, f"{name}: {value!r} is not [LEAST, MOST]")
    least, most = _number(where, name, pair[0]), _number(where, name, pair[1])
    if least > most:
        raise UsageError(where, f"{name}: {least:g} is more than {most:g}")
    return least, most


def own_seed(seed: int, learner: str) -> int:
    """A learner's own seed: the same name has the same one everywhere."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{learner}".encode()).digest()[:8], "big") if learner else seed


def steps(scenario: Scenario, *, seed: int | None = None, learner: str = "") -> list[Step]:
    """The series: the same for the same scenario, seed and learner."""
    draw = random.Random(own_seed(scenario.seed if seed is None else seed, learner))
    found: list[Step] = []
    at = draw.uniform(*scenario.between)
    while at <= scenario.length:
        failure = draw.choices(scenario.failures, [each.weight for each in scenario.failures])[0]
        lasts, pick = draw.uniform(*failure.lasts), draw.random()
        picks = {"pick": round(pick, 3)} if any(option.name == "pick" for option in find(failure.fault).options) else {}
        found.append(Step(round(at, 1), failure.fault, failure.target, round(lasts, 1), {**picks, **failure.options}))
        at += draw.uniform(*scenario.between)
    return found


def play(
    backend: Backend,
    series: list[Step],
    *,
    namespace: str,
    owner: int = 0,
    confirmed: bool = False,
    report: Callable[[Outcome], None] = lambda _outcome: None,
    wait: Callable[[float], object] = time.sleep,
) -> list[Outcome]:
    """Inject each step at its time. Where the pod that was drawn is held by another failure, the next one is taken. A step that cannot be
    injected (its target is gone, another holds it) is told and passed over. Returns when the last one has had its time.

    ``wait(seconds)`` is how time passes; a notebook gives an event's ``wait`` to be able to stop early.
    """
    began = time.monotonic()
    outcomes: list[Outcome] = []
    healed = 0.0  # when the last of them will be, in seconds from the beginning
    for step in series:
        left = began + step.at - time.monotonic()
        if left > 0 and wait(left):
            return outcomes
        try:
            record = _inject(backend, step, namespace, owner, confirmed)
            outcome = Outcome(step, record.id, "; ".join(record.hits))
            healed = max(healed, time.monotonic() - began + step.lasts)
        except HalabError as error:
            outcome = Outcome(step, "", str(error))
        outcomes.append(outcome)
        report(outcome)
    if (left := began + healed - time.monotonic()) > 0:
        wait(left)
    return outcomes


def _inject(backend: Backend, step: Step, namespace: str, owner: int, confirmed: bool) -> Record:
    last: engine.Held | None = None
    for options in others_of(step.options):
        try:
            return engine.inject(
                backend,
                step.fault,
                step.target,
                namespace=namespace,
                duration=step.lasts,
                options=options,
                owner=owner,
                confirmed=confirmed,
            )
        except engine.Held as error:
            last = error
    assert last is not None
    raise last


def others_of(options: dict[str, Any]) -> list[dict[str, Any]]:
    """A step's options, and the same with the other pods that might have been drawn. Pure."""
    if "pick" not in options:
        return [options]
    return [{**options, "pick": round((float(options["pick"]) + share / PLACES) % 1, 3)} for share in range(PLACES)]
