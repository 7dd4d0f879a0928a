"""Times as the API writes them."""

from __future__ import annotations

import time
from datetime import UTC, datetime

SKEW = 0.0  # seconds that this process's clock is ahead: a fault of the catalogue sets it


def rfc3339(seconds: float | None = None) -> str:
    """metav1.Time: whole seconds, UTC. Default: now."""
    return datetime.fromtimestamp((time.time() if seconds is None else seconds) + SKEW, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro(seconds: float | None = None) -> str:
    """metav1.MicroTime: microseconds, UTC. Default: now."""
    return datetime.fromtimestamp((time.time() if seconds is None else seconds) + SKEW, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def seconds_of(text: str | None) -> float:
    """The Unix time of either form; 0.0 for an absent one."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() if text else 0.0
