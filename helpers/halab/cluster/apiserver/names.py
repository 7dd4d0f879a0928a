"""Names and times that the server makes up."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"  # Kubernetes' alphabet of generated names: no vowels, no look-alikes
MAX_GENERATED = 58  # a generateName is cut to this before five letters are added


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def generated_name(prefix: str) -> str:
    return prefix[:MAX_GENERATED] + "".join(secrets.choice(SUFFIX_LETTERS) for _ in range(5))
