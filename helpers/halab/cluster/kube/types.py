"""The vocabulary of the Kubernetes layer: objects are plain JSON values, never classes.

A class per kind would cost memory, a conversion at every border and a second place where the schema lives. ``Obj`` says
"this is a Kubernetes object or a part of one" and nothing more; ``halab.cluster.kube.schema`` knows what may be in it.
"""

from __future__ import annotations

from typing import Any

Obj = dict[str, Any]
"""A JSON object: a whole Kubernetes object (``apiVersion``, ``kind``, ``metadata`` ...) or any object inside one."""


def metadata(obj: Obj) -> Obj:
    """The object's metadata, made if it has none."""
    meta = obj.get("metadata")
    if not isinstance(meta, dict):
        meta = obj["metadata"] = {}
    return meta


def name_of(obj: Obj) -> str:
    """``metadata.name`` or the empty string."""
    return str((obj.get("metadata") or {}).get("name") or "")


def namespace_of(obj: Obj) -> str:
    """``metadata.namespace`` or the empty string."""
    return str((obj.get("metadata") or {}).get("namespace") or "")
