"""Predict -> inject -> explain: the learner commits to a prediction before the failure; afterwards the two stand side by side.

Kept in the lab's progress, first answer first: a prediction that is made again after the fact does not replace the first one. What happened is
kept as well, the newest.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from halab.course.progress import Progress
from halab.errors import UsageError


@dataclass(frozen=True, slots=True)
class Prediction:
    """A question, its options, what the learner chose and what happened (indexes into ``options``, or None so far), and what was ``seen``."""

    name: str
    question: str
    options: tuple[str, ...]
    chosen: int | None = None
    happened: int | None = None
    seen: str = ""


def ask(progress: Progress, name: str, question: str, options: list[str]) -> Prediction:
    """The prediction as it stands; remembers the question."""
    if len(options) < 2:
        raise UsageError(f"prediction {name}", "needs at least two options")
    with progress.change() as record:
        row = record.setdefault("predictions", {}).setdefault(name, {})
        row["question"], row["options"] = question, options
        row = dict(row)

    def known(key: str) -> int | None:
        value = row.get(key)
        return value if isinstance(value, int) and value < len(options) else None

    return Prediction(name, question, tuple(options), known("chosen"), known("happened"), str(row.get("seen", "")))


def commit(progress: Progress, name: str, choice: int) -> Prediction:
    """Fix the learner's choice. The first one counts."""
    with progress.change() as record:
        row = record.get("predictions", {}).get(name)
        if row is None:
            raise UsageError(f"prediction {name}", "was not asked yet", "run the cell with the question first")
        if not 0 <= choice < len(row["options"]):
            raise UsageError(f"prediction {name}", f"has no option {choice}", f"options are 0 to {len(row['options']) - 1}")
        row.setdefault("chosen", choice)
        row.setdefault("at", time.time())
        return Prediction(name, row["question"], tuple(row["options"]), row["chosen"])


def compare(progress: Progress, name: str, happened: int, seen: str) -> str:
    """Three lines: what was predicted, what happened, and what was observed (``seen``). It is kept."""
    with progress.change() as record:
        row = record.get("predictions", {}).get(name)
        if row is None:
            raise UsageError(f"prediction {name}", "was not asked yet", "run the cell with the question first")
        if not 0 <= happened < len(row["options"]):
            raise UsageError(f"prediction {name}", f"has no option {happened}", f"options are 0 to {len(row['options']) - 1}")
        row["happened"], row["seen"] = happened, seen
    chosen = row.get("chosen")
    predicted = row["options"][chosen] if chosen is not None else "(you did not commit to a prediction)"
    verdict = "" if chosen is None else "  - as predicted" if chosen == happened else "  - not what you predicted"
    return f"you predicted: {predicted}\nwhat happened: {row['options'][happened]}{verdict}\nobserved:      {seen}"
