"""Managers of ``spec.replicas`` seen through the scale subresource.

A Scale has managedFields of its own, made from those of the object that is scaled; after a write they are carried back. A write
through the subresource takes the field from whoever owned it, and the new owner's entry has no time (as in Kubernetes).
"""

from __future__ import annotations

from typing import Any

from halab.cluster.kube.fieldset import difference, from_path, has
from halab.cluster.kube.managed_fields import Entry, Managers, decode, encode, encode_all
from halab.cluster.kube.types import Obj

SCALE_VERSION = "autoscaling/v1"
REPLICAS = ("f:spec", "f:replicas")


def to_scale(parent: Any, path: tuple[str, ...] = REPLICAS) -> list[Obj]:
    """``managedFields`` of the Scale: whoever owns the parent's replicas (at ``path``, in field set keys) owns the Scale's."""
    found: Managers = {}
    for entry in (decode(parent) or {}).values():
        if has(entry.fields, path):
            own = Entry(entry.manager, entry.operation, SCALE_VERSION, entry.subresource, entry.time, from_path(REPLICAS))
            found[own.key] = own
    return encode(found)


def to_parent(parent: Any, scale: Any, api_version: str, path: tuple[str, ...] = REPLICAS) -> list[Obj]:
    """The parent's ``managedFields`` after a write of its Scale, whose own are ``scale``.

    As in Kubernetes an updater of the parent loses the field to an entry of its own name without a time, even by a write that
    changes nothing: the Scale knows it under another version. (So such a write is not a no-op there, and is none here.) Appliers
    have no version in their identity and keep the field.
    """
    owners = {entry.key: entry for entry in (decode(scale) or {}).values() if has(entry.fields, REPLICAS)}
    kept: list[Entry] = []
    for key, entry in (decode(parent) or {}).items():
        if not has(entry.fields, path) or owners.pop(key, None) is not None:
            kept.append(entry)
        elif fields := difference(entry.fields, from_path(path)):
            kept.append(Entry(entry.manager, entry.operation, entry.api_version, entry.subresource, entry.time, fields))
    kept += [Entry(e.manager, e.operation, api_version, e.subresource, None, from_path(path)) for e in owners.values()]
    return encode_all(kept)
