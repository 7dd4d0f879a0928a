"""Which nodes a pod may stand on, as daemon sets and node agents judge it: name, selector, required affinity, taints. Pure.

The scheduler has its own, fuller judgement.
"""

from __future__ import annotations

from collections.abc import Iterable

from halab.cluster.kube.selectors import from_expressions
from halab.cluster.kube.types import Obj


def tolerates(toleration: Obj, taint: Obj) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint.get("key"):
        return False
    operator = toleration.get("operator") or "Equal"
    if operator == "Exists":
        return True
    return operator == "Equal" and bool(toleration.get("key")) and toleration.get("value", "") == taint.get("value", "")


def untolerated(taints: Iterable[Obj], tolerations: Iterable[Obj], effects: Iterable[str]) -> Obj | None:
    """The first taint with one of ``effects`` that nothing tolerates."""
    tolerations, effects = list(tolerations), set(effects)
    for taint in taints:
        if taint.get("effect") in effects and not any(tolerates(each, taint) for each in tolerations):
            return taint
    return None


def matches_term(term: Obj, node: Obj) -> bool:
    """A NodeSelectorTerm; one without any requirement matches nothing."""
    labels, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not labels and not fields:
        return False
    own = {"metadata.name": node["metadata"]["name"]}
    if any(not each.matches(node["metadata"].get("labels") or {}) for each in from_expressions(labels)):
        return False
    for field in fields:
        inside = own.get(field["key"]) in (field.get("values") or ())
        if inside != (field["operator"] == "In"):
            return False
    return True


def may_stand(spec: Obj, node: Obj) -> bool:
    """Whether ``nodeName``, ``nodeSelector`` and required node affinity of a pod's ``spec`` let it stand on ``node``."""
    if spec.get("nodeName") and spec["nodeName"] != node["metadata"]["name"]:
        return False
    labels = node["metadata"].get("labels") or {}
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    return required is None or any(matches_term(term, node) for term in required.get("nodeSelectorTerms") or ())
