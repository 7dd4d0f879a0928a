"""The learner's one namespace on somebody's cluster: what was there before the course, what others look after, and what is the lab's.

A ConfigMap in the namespace remembers which lab is laid and how things were; the namespace itself is not ours to annotate.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from halab.backends.access import Api, ApiError

MARK = "halab-scene"
POD_SECURITY = "pod-security.kubernetes.io/"  # labels of a namespace that a learner may have set
KEEP, MANAGED_BY, OURS = "halab.io/keep", "app.kubernetes.io/managed-by", "halab"
KEPT = {("configmaps", "kube-root-ca.crt"), ("configmaps", MARK), ("serviceaccounts", "default")}

Spared = Callable[[str, Any], bool]  # kind, object


def laid(api: Api) -> str | None:
    """The lab that is laid (empty: none now); None where the course has not been here."""
    there = api.find("configmaps", MARK)
    return None if there is None else str(there["data"].get("lab", ""))


def remember(api: Api, before: list[str]) -> None:
    """The course begins here: ``before`` names what there is, as ``kind/name``."""
    note(api, lab="", before="\n".join(before), security=json.dumps(_security(api)))


def note(api: Api, **data: str) -> None:
    there = api.find("configmaps", MARK)
    known = there["data"] if there is not None else {}
    meta = {"name": MARK, "labels": {MANAGED_BY: OURS}}
    api.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {**known, **data}})


def spared(api: Api) -> Spared:
    """Whether clearing leaves an object alone: the cluster's own, and in a given namespace what was there before, or is another's."""
    there = api.find("configmaps", MARK)
    if there is None:
        return lambda kind, obj: (kind, obj["metadata"]["name"]) in KEPT
    before = set(there["data"].get("before", "").split())
    began = there["metadata"]["creationTimestamp"]

    def leave(kind: str, obj: Any) -> bool:
        name, made = obj["metadata"]["name"], obj["metadata"]["creationTimestamp"]
        return (kind, name) in KEPT or f"{kind}/{name}" in before or made < began or others(obj)

    return leave


def others(obj: Any) -> bool:
    """Whether a program that is not halab's looks after it (Helm, an operator, a mesh that injects), or somebody asked that it be kept."""
    labels = obj["metadata"].get("labels") or {}
    return KEEP in labels or labels.get(MANAGED_BY, OURS) != OURS


def _security(api: Api) -> dict[str, str]:
    """The namespace's pod security labels; none where they may not be seen."""
    with suppress(ApiError):
        labels = (api.find("namespaces", api.namespace) or {}).get("metadata", {}).get("labels") or {}
        return {name: value for name, value in labels.items() if name.startswith(POD_SECURITY)}
    return {}


def restore_security(api: Api) -> None:
    """The labels that a lab has had changed, as they were before the course."""
    there = api.find("configmaps", MARK)
    if there is None or "security" not in there["data"]:
        return
    wanted, now = json.loads(there["data"]["security"]), _security(api)
    if wanted != now:
        api.patch("namespaces", api.namespace, {"metadata": {"labels": dict.fromkeys(now) | wanted}})
