"""Cron schedules as Kubernetes reads them (the robfig/cron dialect): five fields, names, ranges, steps, ``@hourly`` and ``@every``. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

MONTHS = {
    "jan": 1,
    "feb": 2,
    "mar": 3,
    "apr": 4,
    "may": 5,
    "jun": 6,
    "jul": 7,
    "aug": 8,
    "sep": 9,
    "oct": 10,
    "nov": 11,
    "dec": 12,
}
DAYS = {"sun": 0, "mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6}
FIELDS: tuple[tuple[int, int, dict[str, int]], ...] = ((0, 59, {}), (0, 23, {}), (1, 31, {}), (1, 12, MONTHS), (0, 6, DAYS))
MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
SEARCHED_YEARS = 5
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(h|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0}


class ScheduleError(ValueError):
    """The text is no schedule."""


@dataclass(frozen=True)
class Schedule:
    """``every`` seconds, or the allowed values of each field; ``any_day``: day of month, day of week was ``*``."""

    fields: tuple[frozenset[int], ...] = ()
    any_day: tuple[bool, bool] = (True, True)
    every: float = 0.0

    def next(self, after: datetime) -> datetime | None:
        """The first time later than ``after`` (which has a time zone), None if there is none within five years."""
        if self.every:
            return (after + timedelta(seconds=self.every)).replace(microsecond=0)
        minutes, hours, _, months, _ = self.fields
        time = after.replace(second=0, microsecond=0) + timedelta(minutes=1)
        last = after.year + SEARCHED_YEARS
        while time.year <= last:
            if time.month not in months:
                time = (time.replace(day=1) + timedelta(days=32)).replace(day=1, hour=0, minute=0)
            elif not self._is_day(time):
                time = (time + timedelta(days=1)).replace(hour=0, minute=0)
            elif time.hour not in hours:
                time = time.replace(minute=0) + timedelta(hours=1)
            elif time.minute not in minutes:
                time += timedelta(minutes=1)
            else:
                return time
        return None

    def _is_day(self, time: datetime) -> bool:
        """Both fields must match, but if neither is ``*``, one is enough."""
        in_month, in_week = time.day in self.fields[2], (time.weekday() + 1) % 7 in self.fields[4]
        return in_month and in_week if any(self.any_day) else in_month or in_week


def parse(text: str) -> Schedule:
    """Raises ScheduleError."""
    text = text.strip()
    if text.startswith("@every "):
        parts = _DURATION.findall(text[7:])
        seconds = sum(float(amount) * _SECONDS[unit] for amount, unit in parts)
        if not seconds or "".join(amount + unit for amount, unit in parts) != text[7:].strip():
            raise ScheduleError(f"failed to parse duration {text}")
        return Schedule(every=max(1.0, seconds))
    words = MACROS.get(text, text).split()
    if len(words) != len(FIELDS):
        raise ScheduleError(f"expected exactly 5 fields, found {len(words)}: [{' '.join(words)}]")
    fields = tuple(_field(word, *bounds) for word, bounds in zip(words, FIELDS, strict=True))
    return Schedule(fields, (words[2][0] in "*?", words[4][0] in "*?"))


def _field(word: str, low: int, high: int, names: dict[str, int]) -> frozenset[int]:
    values: set[int] = set()
    for part in word.split(","):
        span, _, step = part.partition("/")
        if span in ("*", "?"):
            first, last = low, high
        else:
            start, _, end = span.partition("-")
            first = _number(start, names)
            last = _number(end, names) if end else (high if step else first)
        width = _number(step, {}) if step else 1
        if names is DAYS and last == 7:
            values.add(0)
            last = 6 if first != 7 else last
            if first == 7:
                continue
        if first < low or last > high or first > last or width < 1:
            raise ScheduleError(f"value out of range ({low} - {high}): {part}")
        values |= set(range(first, last + 1, width))
    return frozenset(values)


def _number(text: str, names: dict[str, int]) -> int:
    if text.lower() in names:
        return names[text.lower()]
    if not text.isdecimal():
        raise ScheduleError(f"failed to parse int from {text}")
    return int(text)


def in_zone(time: float, zone: tzinfo) -> datetime:
    return datetime.fromtimestamp(time, zone)
