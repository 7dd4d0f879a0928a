"""Restart and image pull back-off: 10 s, doubled at each failure up to 5 min, forgotten after 10 quiet minutes."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

FIRST, LAST = 10.0, 300.0
FORGET = 2 * LAST


@dataclass(slots=True)
class Backoff:
    """One entry a key. All times are Unix seconds; ``now`` is a parameter so that tests need not wait.

    Without ``now`` the wait is counted on the monotonic clock from when a failure is first asked about: a clock that is set back by a day
    must not keep a container from its restart for a day.
    """

    _entries: dict[str, tuple[float, float]] = field(default_factory=dict)  # key -> (delay, last update)
    _due: dict[str, tuple[float, float]] = field(default_factory=dict)  # key -> (the failure, monotonic time of the next try)

    def delay(self, key: str) -> float:
        return self._entries.get(key, (0.0, 0.0))[0]

    def remaining(self, key: str, since: float, now: float | None = None) -> float:
        """Seconds until the key may be tried again after the failure at ``since``; 0 when it may be tried."""
        entry = self._entries.get(key)
        if entry is None or since - entry[1] > FORGET:
            return 0.0
        if now is not None:
            return max(0.0, since + entry[0] - now)
        known = self._due.get(key)
        if known is None or known[0] != since:
            passed = min(max(0.0, time.time() - since), entry[0])
            known = self._due[key] = (since, time.monotonic() + entry[0] - passed)
        return max(0.0, known[1] - time.monotonic())

    def next(self, key: str, since: float, now: float | None = None) -> None:
        """A new attempt is made after the failure at ``since``: the next one will have to wait, longer each time."""
        now = time.time() if now is None else now
        entry = self._entries.get(key)
        delay = FIRST if entry is None or since - entry[1] > FORGET else min(entry[0] * 2, LAST)
        self._entries[key] = (delay, now)

    def updated(self, key: str) -> float:
        return self._entries.get(key, (0.0, 0.0))[1]

    def forget(self, prefix: str) -> None:
        for key in [key for key in self._entries if key.startswith(prefix)]:
            del self._entries[key]
            self._due.pop(key, None)


def go_duration(seconds: float) -> str:
    """As Go prints a duration of whole seconds: ``10s``, ``1m20s``, ``5m0s``."""
    whole = int(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + f"{rest}s"
