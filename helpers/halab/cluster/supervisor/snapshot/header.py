"""The first member of a snapshot: what it is, of which version, and what is in it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from halab.settings import KUBERNETES_MINOR

KIND = "halab snapshot"
FORMAT = 1  # raise when a restore of this file by former code would go wrong
HEADER, STATE, KEY, IMAGES, DIGESTS = "snapshot.json", "state.db", "sa.key", "images.tar", "digests.json"
VOLUMES, FAULTS = "volumes", "faults"  # folders


class Unfit(Exception):
    """This file is not for us: (fact, remedy)."""


@dataclass(frozen=True, slots=True)
class Header:
    """``number``, ``runtime`` and ``directory`` say where the cluster lived: its objects name addresses and paths. ``created`` is RFC 3339."""

    name: str
    number: int
    runtime: str
    directory: str
    nodes: tuple[str, ...]
    absent: tuple[str, ...]
    revision: int
    created: str
    halab: str
    objects: dict[str, int]
    images: tuple[str, ...]

    def dump(self) -> bytes:
        return json.dumps({"kind": KIND, "format": FORMAT, "kubernetes": KUBERNETES_MINOR, **asdict(self)}, indent=1).encode()

    @classmethod
    def load(cls, data: bytes) -> Header:
        """Raises ``Unfit``."""
        try:
            raw: dict[str, Any] = json.loads(data)
            if raw.pop("kind") != KIND:
                raise ValueError
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Unfit("is not a halab snapshot", "give a file that `halab snapshot save` wrote") from None
        found, kubernetes = raw.pop("format", None), raw.pop("kubernetes", None)
        writer = raw.get("halab", "?")
        if found != FORMAT:
            raise Unfit(f"is a snapshot of format {found}, this halab reads format {FORMAT}", f"restore it with halab {writer}")
        if kubernetes != KUBERNETES_MINOR:
            fact = f"holds the objects of Kubernetes {kubernetes}, this halab's clusters are Kubernetes {KUBERNETES_MINOR}"
            raise Unfit(fact, f"restore it with halab {writer}")
        try:
            tuples = {key: tuple(raw[key]) for key in ("nodes", "absent", "images")}
            return cls(**{**raw, **tuples})
        except (KeyError, TypeError):
            raise Unfit("has a damaged first page", "take another copy of it") from None
