"""Short ways to the objects that the tests look at."""

from __future__ import annotations

import json
from typing import Any

from halab.cluster.kube import decode, defaults, strategy, validation
from halab.cluster.kube.kinds import Kind
from halab.cluster.kube.schema import node_for
from halab.cluster.kube.types import Obj

UID = "11111111-2222-4333-8444-555555555555"
CONTAINER: Obj = {"name": "main", "image": "busybox:1.36"}
LABELS = {"app": "web"}
TEMPLATE: Obj = {"metadata": {"labels": LABELS}, "spec": {"containers": [CONTAINER]}}
SELECTOR: Obj = {"matchLabels": LABELS}


def body(kind: Kind, name: str = "x", **members: Any) -> Obj:
    """What a client sends."""
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": name}, **members}


def read(kind: Kind, given: Obj | str, validation_mode: str = "Strict") -> Obj:
    """The object as the server decodes it."""
    text = given if isinstance(given, str) else json.dumps(given)
    obj, _ = decode.decode(text.encode(), "application/json", kind, node_for(kind), validation_mode)
    return obj


def made(kind: Kind, name: str = "x", **members: Any) -> Obj:
    """The object as a create would store it, but for what admission and the store add."""
    obj = read(kind, body(kind, name, **members))
    defaults.apply_defaults(kind, obj)
    obj["metadata"]["uid"] = UID
    obj["metadata"]["creationTimestamp"] = "2026-01-02T03:04:05Z"
    if kind.namespaced:
        obj["metadata"]["namespace"] = "default"
    strategy.prepare_create(kind, obj)
    return obj


def faults(kind: Kind, name: str = "x", **members: Any) -> list[str]:
    """What validation says of a new object."""
    return [str(e) for e in validation.validate_create(kind, made(kind, name, **members))]


def pod_faults(**spec: Any) -> list[str]:
    from halab.cluster.kube.kinds import PODS

    return faults(PODS, spec={"containers": [CONTAINER], **spec})


def changed(kind: Kind, old: Obj, subresource: str | None = None, **members: Any) -> tuple[Obj, list[str]]:
    """An update of ``old`` that merges ``members`` in (None removes): (what would be stored, the faults)."""
    new = _merged(json.loads(json.dumps(old)), members)
    new, _ = decode.decode_object(new, kind, node_for(kind))
    defaults.apply_defaults(kind, new)
    strategy.prepare_update(kind, new, old, subresource)
    return new, [str(e) for e in validation.validate_update(kind, new, old, subresource)]


def _merged(target: Obj, patch: Obj) -> Obj:
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict) and isinstance(target.get(key), dict):
            _merged(target[key], value)
        else:
            target[key] = value
    return target
