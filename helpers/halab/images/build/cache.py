"""The layer cache: what a step made the last time it was run on the same parent with the same inputs.

A step's key is a hash chained from its parent's key, so a change invalidates everything after it: the rule to learn from Docker's builder.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from halab.images import oci
from halab.images.blobs import Blobs
from halab.images.store import Layer


@dataclass(frozen=True, slots=True)
class Made:
    """The outcome of a step: a layer or none, when, which packages were borrowed for it."""

    layer: Layer | None
    created: str
    borrowed: tuple[str, ...] = ()


class Cache:
    """Entries live under ``cache/`` of the store; an entry whose layer is gone does not count."""

    def __init__(self, blobs: Blobs) -> None:
        self.blobs = blobs
        self.directory = blobs.root / "cache"
        self.directory.mkdir(exist_ok=True)

    @staticmethod
    def key(parent: str, *inputs: str) -> str:
        return oci.digest_of(oci.dump([parent, *inputs]))

    def get(self, key: str) -> Made | None:
        try:
            raw = json.loads((self.directory / oci.hex_of(key)).read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        layer = Layer(raw["layer"][0], raw["layer"][1]) if raw["layer"] else None
        if layer is not None and not self.blobs.has(layer.descriptor["digest"]):
            return None
        return Made(layer, raw["created"], tuple(raw["borrowed"]))

    def put(self, key: str, made: Made) -> None:
        layer = [made.layer.descriptor, made.layer.diff_id] if made.layer else None
        data = oci.dump({"layer": layer, "created": made.created, "borrowed": list(made.borrowed)})
        self.blobs.replace_file(self.directory / oci.hex_of(key), data)

    def layers(self) -> set[str]:
        """Digests of the layers that entries stand for."""
        found = set()
        for path in self.directory.iterdir():
            made = self.get(path.name)
            if made is not None and made.layer is not None:
                found.add(str(made.layer.descriptor["digest"]))
        return found

    def clear(self) -> int:
        count = 0
        for path in self.directory.iterdir():
            path.unlink(missing_ok=True)
            count += 1
        return count
