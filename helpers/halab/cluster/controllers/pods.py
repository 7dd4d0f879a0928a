"""Questions about pods that several controllers ask, and pods made from templates."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable
from typing import Any

import orjson

from halab.cluster.client import seconds_of
from halab.cluster.controllers.owners import controller_reference
from halab.cluster.kube.kinds import Kind
from halab.cluster.kube.types import Obj

SAFE_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # no vowels and no lookalikes, as in apimachinery's rand.SafeEncodeString


def condition(obj: Obj, type: str) -> Obj | None:
    """The condition of that type in ``status.conditions``."""
    for each in (obj.get("status") or {}).get("conditions") or ():
        if each.get("type") == type:
            found: Obj = each
            return found
    return None


def is_true(obj: Obj, type: str) -> bool:
    found = condition(obj, type)
    return found is not None and found.get("status") == "True"


def phase(pod: Obj) -> str:
    return str((pod.get("status") or {}).get("phase") or "")


def is_deleting(obj: Obj) -> bool:
    return bool(obj["metadata"].get("deletionTimestamp"))


def is_finished(pod: Obj) -> bool:
    return phase(pod) in ("Succeeded", "Failed")


def is_active(pod: Obj) -> bool:
    """Neither finished nor being deleted."""
    return not is_finished(pod) and not is_deleting(pod)


def is_ready(pod: Obj) -> bool:
    return is_true(pod, "Ready")


def available_in(pod: Obj, min_ready_seconds: int, now: float) -> float | None:
    """Seconds until the pod counts as available: 0.0 if it does, None if it is not even ready."""
    ready = condition(pod, "Ready")
    if ready is None or ready.get("status") != "True":
        return None
    if not min_ready_seconds:
        return 0.0
    since = seconds_of(ready.get("lastTransitionTime"))
    return max(0.0, since + min_ready_seconds - now) if since else None


def is_available(pod: Obj, min_ready_seconds: int, now: float) -> bool:
    return available_in(pod, min_ready_seconds, now) == 0.0


def wait_for_available(pods: Iterable[Obj], min_ready_seconds: int, now: float) -> float | None:
    """Seconds until the next of ``pods`` becomes available by waiting alone, None if none will."""
    waits = [wait for pod in pods if (wait := available_in(pod, min_ready_seconds, now))]
    return min(waits) if waits else None


def restarts(pod: Obj) -> int:
    return max(
        (int(status.get("restartCount", 0)) for status in (pod.get("status") or {}).get("containerStatuses") or ()), default=0
    )


def from_template(template: Obj, owner: Obj, kind: Kind, *, name: str = "") -> Obj:
    """The pod that ``owner`` makes of ``template``; without ``name`` the server generates one that begins with the owner's."""
    meta = template.get("metadata") or {}
    made: Obj = {"namespace": owner["metadata"].get("namespace", "")}
    if name:
        made["name"] = name
    else:
        made["generateName"] = f"{owner['metadata']['name']}-"
    for key in ("labels", "annotations"):
        if meta.get(key):
            made[key] = dict(meta[key])
    if meta.get("finalizers"):
        made["finalizers"] = list(meta["finalizers"])
    made["ownerReferences"] = [controller_reference(owner, kind)]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": made, "spec": copy.deepcopy(template.get("spec") or {})}


def safe_hash(value: Any, *salt: Any) -> str:
    """A stable hash of a JSON value: 10 characters at most of Kubernetes' safe alphabet, like a pod-template-hash."""
    data = orjson.dumps([value, *salt] if salt else value, option=orjson.OPT_SORT_KEYS)
    number = int.from_bytes(hashlib.blake2b(data, digest_size=4).digest(), "big")
    return "".join(SAFE_ALPHABET[ord(digit) % len(SAFE_ALPHABET)] for digit in str(number))


def same(a: Any, b: Any) -> bool:
    """Equality as Kubernetes' ``equality.Semantic``: an absent, null or empty list or map is one and the same."""
    if isinstance(a, dict) and isinstance(b, dict):
        return all(same(a.get(key), b.get(key)) for key in a.keys() | b.keys())
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if a in (None, {}, []) and b in (None, {}, []):
        return True
    return type(a) is type(b) and bool(a == b)


def without_zeros(fields: dict[str, Any]) -> Obj:
    """``fields`` less those that are 0, empty or None: how Go writes fields marked omitempty."""
    return {key: value for key, value in fields.items() if value not in (0, None, [], {}, "") or value is False}
