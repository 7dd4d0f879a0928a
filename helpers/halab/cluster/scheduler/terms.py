"""The parts of a pod's spec that choose: node selectors, tolerations, pod affinity terms. Parsed once, then only matched.

Rules: https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/ and .../taint-and-toleration/.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from halab.cluster.kube.selectors import Requirement, Selector, SelectorError, from_expressions, from_label_selector
from halab.cluster.kube.types import Obj

Labels = Mapping[str, str]
NamespaceLabels = Callable[[str], Labels]

HARD_EFFECTS = ("NoSchedule", "NoExecute")


# Node selectors


@dataclass(frozen=True, slots=True)
class NodeTerm:
    """One ``nodeSelectorTerm``: expressions over labels and over ``metadata.name``, all of which must hold. An empty one matches nothing."""

    labels: tuple[Requirement, ...]
    fields: tuple[Requirement, ...]

    @classmethod
    def of(cls, term: Obj) -> NodeTerm:
        try:
            return cls(
                tuple(from_expressions(term.get("matchExpressions") or ())),
                tuple(from_expressions(term.get("matchFields") or ())),
            )
        except SelectorError:
            return cls((), ())

    def matches(self, name: str, labels: Labels) -> bool:
        if not self.labels and not self.fields:
            return False
        fields = {"metadata.name": name}
        return all(term.matches(labels) for term in self.labels) and all(term.matches(fields) for term in self.fields)


def node_terms(selector: Obj | None) -> list[NodeTerm]:
    return [NodeTerm.of(term) for term in (selector or {}).get("nodeSelectorTerms") or ()]


@dataclass(frozen=True, slots=True)
class NodeChoice:
    """``nodeSelector`` and the required node affinity together."""

    selector: tuple[tuple[str, str], ...]
    terms: tuple[NodeTerm, ...] | None

    @classmethod
    def of(cls, spec: Obj) -> NodeChoice:
        affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
        required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
        return cls(tuple((spec.get("nodeSelector") or {}).items()), None if required is None else tuple(node_terms(required)))

    def matches(self, name: str, labels: Labels) -> bool:
        if any(labels.get(key) != value for key, value in self.selector):
            return False
        return self.terms is None or any(term.matches(name, labels) for term in self.terms)

    def names(self) -> frozenset[str] | None:
        """The only nodes that the terms name (daemon pods name theirs); None where they are not so narrow."""
        if not self.terms:
            return None
        found: set[str] = set()
        for term in self.terms:
            named = [set(field.values) for field in term.fields if field.key == "metadata.name" and field.operator == "in"]
            if not named:
                return None
            found |= set.intersection(*named)
        return frozenset(found)


def volume_fits(volume: Obj, name: str, labels: Labels) -> bool:
    """Whether a PersistentVolume's ``nodeAffinity`` allows the node."""
    required = ((volume["spec"].get("nodeAffinity")) or {}).get("required")
    return required is None or any(term.matches(name, labels) for term in node_terms(required))


# Taints


@dataclass(frozen=True, slots=True)
class Toleration:
    key: str
    exists: bool
    value: str
    effect: str

    def tolerates(self, taint: Obj) -> bool:
        if self.effect and self.effect != taint.get("effect"):
            return False
        if self.key and self.key != taint.get("key"):
            return False
        return self.exists or self.value == (taint.get("value") or "")


def tolerations_of(spec: Obj) -> tuple[Toleration, ...]:
    return tuple(
        Toleration(item.get("key") or "", item.get("operator") == "Exists", item.get("value") or "", item.get("effect") or "")
        for item in spec.get("tolerations") or ()
    )


def untolerated(taints: Iterable[Obj], tolerations: Sequence[Toleration], effects: Sequence[str] = HARD_EFFECTS) -> Obj | None:
    """The first taint of one of ``effects`` that none of the tolerations covers."""
    for taint in taints:
        if taint.get("effect") in effects and not any(toleration.tolerates(taint) for toleration in tolerations):
            return taint
    return None


# Pod affinity


@dataclass(frozen=True, slots=True)
class AffinityTerm:
    """A ``PodAffinityTerm``: which pods, in which namespaces, and what counts as "together"."""

    selector: Selector
    topology_key: str
    namespaces: frozenset[str]
    namespace_selector: Selector | None

    def matches(self, namespace: str, labels: Labels, namespace_labels: NamespaceLabels) -> bool:
        if namespace not in self.namespaces and (
            self.namespace_selector is None
            or not (self.namespace_selector.empty or self.namespace_selector.matches(namespace_labels(namespace)))
        ):
            return False
        return self.selector.matches(labels)

    @classmethod
    def of(cls, term: Obj, namespace: str, labels: Labels) -> AffinityTerm:
        chosen = term.get("namespaceSelector")
        named = frozenset(term.get("namespaces") or ())
        return cls(
            with_label_keys(
                from_label_selector(term.get("labelSelector")), labels, term.get("matchLabelKeys"), term.get("mismatchLabelKeys")
            ),
            term.get("topologyKey") or "",
            named if named or chosen is not None else frozenset((namespace,)),
            None if chosen is None else from_label_selector(chosen),
        )


def with_label_keys(
    selector: Selector, labels: Labels, match: Sequence[str] | None, mismatch: Sequence[str] | None = None
) -> Selector:
    """The selector narrowed by the pod's own values of ``matchLabelKeys`` (equal) and ``mismatchLabelKeys`` (different)."""
    if not match and not mismatch:
        return selector
    more = [Requirement(key, "in", (labels[key],)) for key in match or () if key in labels]
    more += [Requirement(key, "notin", (labels[key],)) for key in mismatch or () if key in labels]
    return Selector((*selector.requirements, *more), selector.nothing)


Terms = tuple[tuple[AffinityTerm, ...], tuple[tuple[int, AffinityTerm], ...]]


def _terms(pod: Obj, which: str) -> Terms:
    affinity: dict[str, Any] = (pod["spec"].get("affinity") or {}).get(which) or {}
    if not affinity:
        return (), ()
    meta = pod["metadata"]
    namespace, labels = meta.get("namespace", ""), meta.get("labels") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
    preferred = affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
    return (
        tuple(AffinityTerm.of(term, namespace, labels) for term in required),
        tuple((item["weight"], AffinityTerm.of(item["podAffinityTerm"], namespace, labels)) for item in preferred),
    )


def affinity_terms(pod: Obj) -> Terms:
    """(required, preferred with weights) of ``podAffinity``."""
    return _terms(pod, "podAffinity")


def anti_affinity_terms(pod: Obj) -> Terms:
    """(required, preferred with weights) of ``podAntiAffinity``."""
    return _terms(pod, "podAntiAffinity")
