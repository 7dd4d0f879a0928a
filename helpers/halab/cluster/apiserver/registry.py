"""Which kinds are served now: the built-in ones, and those that CustomResourceDefinitions add.

Everything that asks "what is this resource" asks here: routes, discovery, OpenAPI, RBAC's evaluation of groups, the garbage
collector's REST mapping by discovery.
"""

from __future__ import annotations

from halab.cluster.kube import kinds
from halab.cluster.kube.kinds import Kind


class Registry:
    """``kinds`` by group, version and plural."""

    def __init__(self) -> None:
        self._by_path: dict[tuple[str, str, str], Kind] = {(k.group, k.version, k.plural): k for k in kinds.BUILTIN}
        self._group_versions: set[tuple[str, str]] = {(k.group, k.version) for k in kinds.BUILTIN}
        self._shared: dict[str, list[Kind]] = {}
        self._shared_of = -1
        self.generation = 0  # raised by every change: what was made from the kinds (discovery, OpenAPI) is stale then

    def find(self, group: str, version: str, plural: str) -> Kind | None:
        return self._by_path.get((group, version, plural))

    def serves(self, group: str, version: str) -> bool:
        return (group, version) in self._group_versions

    def all(self) -> list[Kind]:
        """Every kind, the built-in ones first, in discovery's order."""
        return list(self._by_path.values())

    def equivalents(self, kind: Kind) -> list[Kind]:
        """Kinds of other versions or groups that the same objects are served as."""
        if self._shared_of != self.generation:
            by_storage: dict[str, list[Kind]] = {}
            for each in self._by_path.values():
                by_storage.setdefault(each.storage, []).append(each)
            self._shared = {storage: found for storage, found in by_storage.items() if len(found) > 1}
            self._shared_of = self.generation
        return [each for each in self._shared.get(kind.storage, ()) if each != kind]

    def custom(self) -> list[Kind]:
        return [kind for kind in self._by_path.values() if kind.custom]

    def replace(self, old: list[Kind], new: list[Kind]) -> None:
        """Serve ``new`` instead of ``old`` (kinds of one definition)."""
        for kind in old:
            self._by_path.pop((kind.group, kind.version, kind.plural), None)
        for kind in new:
            self._by_path.setdefault((kind.group, kind.version, kind.plural), kind)
        self._group_versions = {(kind.group, kind.version) for kind in self._by_path.values()}
        self.generation += 1
