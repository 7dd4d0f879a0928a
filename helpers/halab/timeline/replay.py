"""A record read back: the picture of a moment, what users had, and the failures with what was predicted. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from halab.timeline.picture import Picture, apply, views
from halab.timeline.record import STEP
from halab.timeline.words import text
from halab.traffic.availability import CALM

Row = dict[str, Any]


def picture_at(rows: Iterable[Row], at: float) -> Picture:
    """The cluster as it was at Unix time ``at``; ``rows`` by time."""
    picture: Picture = {}
    for row in rows:
        if row["at"] > at:
            break
        if "set" in row:
            picture = apply({} if row.get("whole") else picture, row)
    return picture


def active_faults(rows: Iterable[Row], at: float) -> list[Row]:
    """The rows of the faults that were active at ``at``."""
    found: dict[str, Row] = {}
    for row in rows:
        if row["at"] > at:
            break
        if (fault := row.get("fault")) is not None:
            if fault.get("healed"):
                found.pop(fault["id"], None)
            else:
                found[fault["id"]] = row
    return [row for row in found.values() if at < row["fault"].get("until", at + 1)]


def traffic_between(rows: Iterable[Row], start: float, end: float) -> tuple[int, int]:
    """(good, failed) requests of all meters in ``start <= at < end``."""
    chosen = [row["traffic"] for row in rows if "traffic" in row and start <= row["at"] < end]
    return sum(t["good"] for t in chosen), sum(t["failed"] for t in chosen)


def users(rows: Iterable[Row]) -> str:
    """Who was hurt, and for how long, over the whole record; empty where nobody asked. Losses with less than a second of calm between them are one."""
    good = failed = 0
    spans: list[list[float]] = []
    for row in rows:
        if (traffic := row.get("traffic")) is None:
            continue
        good, failed = good + traffic["good"], failed + traffic["failed"]
        if traffic["failed"] and spans and row["at"] - spans[-1][1] <= CALM + 1e-3:
            spans[-1][1] = row["at"]
        elif traffic["failed"]:
            spans.append([row["at"] - STEP, row["at"]])
    if not failed:
        return f"users got an answer to each of {good} requests" if good else ""
    return f"users lost {failed} of {good + failed} requests, within {sum(to - begin for begin, to in spans):.1f} s"


def predictions(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Each prediction beside what happened: ``{"name", "question", "predicted", "happened", "seen", "right"}``; empty words where unknown."""
    asked: dict[str, dict[str, Any]] = {}
    ended: dict[str, dict[str, Any]] = {}
    for row in rows:
        if "prediction" in row:
            asked[row["prediction"]["name"]] = row["prediction"]
        elif "outcome" in row:
            ended[row["outcome"]["name"]] = row["outcome"]
    found = []
    for name, one in asked.items():
        outcome, chosen = ended.get(name), one.get("chosen")
        options = one["options"]
        found.append(
            {
                "name": name,
                "question": one["question"],
                "predicted": options[chosen] if chosen is not None else "",
                "happened": options[outcome["happened"]] if outcome else "",
                "seen": outcome["seen"] if outcome else "",
                "right": None if outcome is None or chosen is None else chosen == outcome["happened"],
            }
        )
    return found


def describe(rows: list[Row], at: float) -> str:
    """The moment ``at`` in words: the picture, and what was going on."""
    picture = picture_at(rows, at)
    pods = views(picture, "pod")
    good, failed = traffic_between(rows, at - 1, at + 1e-9)
    lines = [f"{sum(p['state'] == 'ready' for p in pods)} of {len(pods)} pods ready"]
    lines += [f"fault: {row['fault']['title']} {row['fault']['target']}".rstrip() for row in active_faults(rows, at)]
    if good or failed:
        lines.append(f"requests of that second: {good} answered, {failed} lost")
    return "\n".join([*lines, text(picture)])
