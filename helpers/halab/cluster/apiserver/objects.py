"""From the bytes of a body to an object that may be stored: decoding, names, defaults, strategy, validation.

The rules themselves are pure functions in ``halab.cluster.kube``; this is the order in which Kubernetes applies them.
"""

from __future__ import annotations

import secrets
import uuid
from datetime import UTC, datetime
from typing import Any

import orjson

from halab.cluster.apiserver.request import Request
from halab.cluster.kube import status
from halab.cluster.kube.kinds import Kind

Obj = dict[str, Any]
SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"  # Kubernetes' alphabet of generated names: no vowels, no look-alikes
MAX_GENERATED = 58  # a generateName is cut to this before five letters are added


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def generated_name(prefix: str) -> str:
    return prefix[:MAX_GENERATED] + "".join(secrets.choice(SUFFIX_LETTERS) for _ in range(5))


def decode(request: Request, kind: Kind) -> Obj:
    obj = orjson.loads(request.body)
    if not isinstance(obj, dict):
        raise status.bad_request("not an object")
    obj["kind"], obj["apiVersion"] = kind.kind, kind.api_version
    obj.setdefault("metadata", {})
    return obj


def begin_metadata(kind: Kind, obj: Obj) -> None:
    """What the server alone decides of a new object's metadata."""
    meta = obj["metadata"]
    if not meta.get("name") and meta.get("generateName"):
        meta["name"] = generated_name(meta["generateName"])
    meta["uid"] = str(uuid.uuid4())
    meta["creationTimestamp"] = now()
    meta.pop("selfLink", None)
    meta.pop("deletionTimestamp", None)
    meta.pop("deletionGracePeriodSeconds", None)
