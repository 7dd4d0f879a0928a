"""What a snapshot asks of the API server's state: a copy of it, what is in it, and the copy made fit for another place.

The supervisor calls these while the server runs or stands still; only this package knows that the state is a ``store``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from halab.cluster.store import backup

CONTAINERS = ("containers", "initContainers", "ephemeralContainers")


@dataclass(frozen=True, slots=True)
class Contents:
    """``objects``: how many of each resource; ``images``: every name that a container in a pod or a template has, sorted."""

    revision: int
    objects: dict[str, int]
    images: tuple[str, ...]


def save(database: Path, target: Path, *, alone: bool) -> Contents:
    """Copy the state at one moment to ``target``; ``alone`` if no server runs. Raises sqlite3.Error."""
    revision = backup.copy(database, target, alone=alone)
    counted: Counter[str] = Counter()
    images: set[str] = set()
    for resource, value in backup.values(target):
        counted[resource] += 1
        if b'"image"' in value:
            images |= set(_images(orjson.loads(value)))
    return Contents(revision, dict(sorted(counted.items())), tuple(sorted(images)))


def restore(copied: Path, change: Callable[[bytes], bytes], former: Path) -> int:
    """Make ``copied`` the state that follows ``former`` (which need not exist); see ``store.backup.fit``."""
    return backup.fit(copied, change, backup.last_revision(former))


def _images(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, part in value.items():
            if key in CONTAINERS and isinstance(part, list):
                yield from (one["image"] for one in part if isinstance(one, dict) and isinstance(one.get("image"), str))
            elif key != "metadata":
                yield from _images(part)
    elif isinstance(value, list):
        for part in value:
            yield from _images(part)
