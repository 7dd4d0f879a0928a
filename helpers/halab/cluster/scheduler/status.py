"""Why a node or all nodes will not do, in Kubernetes' own words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

PREEMPTION_HELPLESS = "Preemption is not helpful for scheduling"
NO_VICTIMS = "No preemption victims found for incoming pod"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A filter's no. ``lasting`` says that removing pods from the node would not help (UnschedulableAndUnresolvable)."""

    plugin: str
    reasons: tuple[str, ...]
    lasting: bool = False


class Waits(Exception):
    """The pod is not to be tried before something that it names is there; nobody is told."""


class Unfit(Exception):
    """The pod fits no node: ``general`` is a reason that holds for all of them, ``refusals`` those of each node."""

    def __init__(
        self, nodes: int, refusals: Mapping[str, Refusal], general: Refusal | None = None, rest: Refusal | None = None
    ) -> None:
        self.nodes, self.refusals, self.general, self.rest = nodes, dict(refusals), general, rest
        super().__init__(self.message())

    @property
    def plugins(self) -> frozenset[str]:
        """Who said no: only events that may change their mind wake the pod."""
        found = {refusal.plugin for refusal in self.refusals.values()}
        return frozenset(found | {refusal.plugin for refusal in (self.general, self.rest) if refusal is not None})

    def message(self, after: str = "") -> str:
        """ "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable." and what preemption said."""
        if not self.nodes:
            return "no nodes available to schedule pods"
        text = f"0/{self.nodes} nodes are available:"
        if self.general is not None:
            text += f" {', '.join(self.general.reasons)}."
        elif reasons := histogram(self.refusals.values(), self.rest, self.nodes - len(self.refusals)):
            text += f" {reasons}."
        return f"{text} {after}" if after else text


def histogram(refusals: Iterable[Refusal], rest: Refusal | None = None, absent: int = 0) -> str:
    """ "1 Insufficient cpu, 2 Too many pods": each reason with its number of nodes, sorted as text."""
    counts: Counter[str] = Counter(reason for refusal in refusals for reason in refusal.reasons)
    if rest is not None and absent > 0:
        for reason in rest.reasons:
            counts[reason] += absent
    return ", ".join(sorted(f"{count} {reason}" for reason, count in counts.items()))
