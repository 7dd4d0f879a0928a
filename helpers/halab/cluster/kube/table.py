"""Tables: how the server prints objects for ``kubectl get``.

A kind's columns and cells are those of Kubernetes' own printers (pkg/printers/internalversion); kinds without any show name and
creation time, custom resources the columns of their definition.
https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-tables
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from halab.cluster.kube.gotext import quote
from halab.cluster.kube.kinds import Kind
from halab.cluster.kube.status import bad_request
from halab.cluster.kube.tables import core, flow, network, pods, storage, workloads
from halab.cluster.kube.tables.columns import NAME, Cells, Column, Layout, meta, name_of
from halab.cluster.kube.types import Obj

IncludeObject = Literal["None", "Metadata", "Object"]

_LAYOUTS = pods.LAYOUTS | workloads.LAYOUTS | core.LAYOUTS | network.LAYOUTS | flow.LAYOUTS | storage.LAYOUTS
_CREATED = Column("Created At", "date", description="The time when the object was created.")


def _plain(obj: Obj, now: datetime) -> Cells:
    return [name_of(obj), meta(obj).get("creationTimestamp") or "<unknown>"]


_DEFAULT = Layout((NAME, _CREATED), _plain)
_CUSTOM: dict[tuple[str, str, str], Layout] = {}


def register(kind: Kind, layout: Layout | None) -> None:
    """Set the columns of a custom resource's version, or forget them (None). ``crd`` makes the layout."""
    key = (kind.group, kind.version, kind.plural)
    if layout is None:
        _CUSTOM.pop(key, None)
    else:
        _CUSTOM[key] = layout


def layout_of(kind: Kind) -> Layout:
    if kind.custom:
        return _CUSTOM.get((kind.group, kind.version, kind.plural), _DEFAULT)
    return _LAYOUTS.get((kind.group, kind.kind), _DEFAULT)


def table(kind: Kind, objects: Sequence[Obj], include_object: str, now: datetime, *, columns: bool = True) -> Obj:
    """A ``meta.k8s.io/v1`` Table of whole objects; the caller sets its metadata.

    ``include_object`` says what a row carries of its object: "None", "Metadata" (the default of the API) or "Object". Watches
    send the columns in their first event only: ``columns=False`` leaves them out.
    """
    layout = layout_of(kind)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {},
        "columnDefinitions": [column.definition() for column in layout.columns] if columns else None,
        "rows": [_row(kind, layout, obj, include_object, now) for obj in objects],
    }


def _row(kind: Kind, layout: Layout, obj: Obj, include_object: str, now: datetime) -> Obj:
    row: Obj = {"cells": layout.cells(obj, now)}
    if kind.kind == "Pod" and not kind.group and (conditions := pods.pod_conditions(obj)):
        row["conditions"] = conditions
    if include_object == "None":
        row["object"] = None
    elif include_object == "Object":
        row["object"] = obj
    elif include_object not in ("", "Metadata"):
        raise bad_request(f"unrecognized includeObject value: {quote(include_object)}")
    else:
        row["object"] = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj.get("metadata") or {}}
    return row
