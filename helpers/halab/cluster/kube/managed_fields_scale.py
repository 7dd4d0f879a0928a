"""Managers of ``spec.replicas`` seen through the scale subresource.

A Scale has managedFields of its own, made from those of the object that is scaled; after a write they are carried back. A write through the subresource
takes the field from whoever owned it, and the new owner's entry has no time (as in Kubernetes).
"""

from __future__ import annotations

from typing import Any

from halab.cluster.kube.fieldset import difference, from_path, has
from halab.cluster.kube.managed_fields import Entry, Managers, decode, encode
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
    """The parent's ``managedFields`` after a write of its Scale, whose own are ``scale``."""
    owners = {_identity(entry): entry for entry in (decode(scale) or {}).values() if has(entry.fields, REPLICAS)}
    found: Managers = {}
    for key, entry in (decode(parent) or {}).items():
        if not has(entry.fields, path):
            found[key] = entry
        elif _identity(entry) in owners and owners[_identity(entry)].time == entry.time:
            del owners[_identity(entry)]
            found[key] = entry
        elif fields := difference(entry.fields, from_path(path)):
            found[key] = Entry(entry.manager, entry.operation, entry.api_version, entry.subresource, entry.time, fields)
    for entry in owners.values():
        own = Entry(entry.manager, entry.operation, api_version, entry.subresource, None, from_path(path))
        found[own.key] = own
    return encode(found)


def _identity(entry: Entry) -> tuple[str, str, str]:
    return entry.manager, entry.operation, entry.subresource
