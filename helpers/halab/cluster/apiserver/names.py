"""Names, identities and times that the server makes up.

Every write takes two or three of them, so they are made without ``strftime`` and ``uuid``, which cost more than the rest of a small create.
"""

from __future__ import annotations

import os
import secrets
import time

SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"  # Kubernetes' alphabet of generated names: no vowels, no look-alikes
MAX_GENERATED = 58  # a generateName is cut to this before five letters are added

_second: tuple[int, str] = (-1, "")


def _to_the_second(second: int) -> str:
    """``2026-01-31T12:00:00``, formatted once a second."""
    global _second
    known, text = _second
    if known != second:
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        _second = (second, text)
    return text


def now() -> str:
    """RFC 3339 in whole seconds."""
    return _to_the_second(int(time.time())) + "Z"


def now_micro() -> str:
    """RFC 3339 with six decimals."""
    second, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return f"{_to_the_second(second)}.{nanoseconds // 1000:06d}Z"


def new_uid() -> str:
    """A random UUID (version 4)."""
    text = os.urandom(16).hex()
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{'89ab'[int(text[16], 16) & 3]}{text[17:20]}-{text[20:]}"


def generated_name(prefix: str) -> str:
    return prefix[:MAX_GENERATED] + "".join(secrets.choice(SUFFIX_LETTERS) for _ in range(5))
