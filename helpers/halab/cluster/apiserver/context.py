"""What all handlers share: the store, the kinds, the cluster's configuration, and how objects are shown."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from halab.cluster.apiserver import convert, render
from halab.cluster.apiserver.registry import Registry
from halab.cluster.apiserver.request import Request
from halab.cluster.kube import fields, status
from halab.cluster.kube.kinds import Kind
from halab.cluster.store.store import Store
from halab.settings import ClusterConfig

Obj = dict[str, Any]


class Context:
    """One API server's state."""

    def __init__(self, config: ClusterConfig, store: Store, registry: Registry) -> None:
        self.config = config
        self.store = store
        self.registry = registry
        self.started = time.time()

    def table(self, kind: Kind, objects: Sequence[Obj], rows: str) -> Obj:
        from halab.cluster.kube.table import table

        return table(kind, list(objects), rows, datetime.now(UTC))

    def renderer(self, kind: Kind, form: render.Format) -> render.Renderer:
        return render.Renderer(kind, form, self.table, convert.from_storage(kind))

    def kind_of(self, request: Request) -> Kind:
        """The kind that a request is about. Raises 404 (unknown resource of a known group version), or UnknownPath."""
        kind = self.registry.find(request.group, request.version, request.resource)
        if kind is None:
            if self.registry.serves(request.group, request.version):
                raise status.path_not_found()
            raise UnknownPath
        if bool(request.namespace) is not kind.namespaced and request.resource != "namespaces":
            if not (kind.namespaced and not request.name and request.verb in ("list", "watch")):
                raise status.path_not_found()
        request.kind = kind
        return kind


class UnknownPath(Exception):
    """Nothing is served there: a plain-text 404."""


def describe(
    kind_of_resource: Callable[[str], Kind | None],
) -> Callable[[str, Obj], tuple[dict[str, str] | None, dict[str, str] | None]]:
    """The function that tells the store which labels and selectable fields an object of a resource has."""
    paths: dict[str, tuple[Kind, tuple[str, ...]] | None] = {}

    def selectable(resource: str) -> tuple[Kind, tuple[str, ...]] | None:
        kind = kind_of_resource(resource)
        if kind is None:
            return None
        found = tuple(sorted(fields.supported(kind)))
        return (kind, found) if found else None

    def labels_and_fields(resource: str, obj: Obj) -> tuple[dict[str, str] | None, dict[str, str] | None]:
        if resource not in paths:
            paths[resource] = selectable(resource)
        offered = paths[resource]
        values = None if offered is None else {path: fields.field_value(offered[0], obj, path) for path in offered[1]}
        return obj["metadata"].get("labels") or None, values

    return labels_and_fields
