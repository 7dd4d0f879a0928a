"""A node's clock is wrong."""

from __future__ import annotations

from halab.backends.controls import API, CLOCK, NODES, Unreachable
from halab.faults.base import Data, Option, Options, Place, Plan
from halab.faults.nodes import NodeFault


class ClockSkew(NodeFault):
    name = "clock-skew"
    title = "Clock skew"
    does = (
        "The node's clock goes wrong: its agent's (its Lease, its events and its pods' statuses carry that time) and that of the programs in "
        "its pods. What they count in seconds from now, time-outs and pauses, stays right."
    )
    expect = (
        "The node stays Ready: the control plane measures its silence on its own clock. But ages and events are nonsense (<invalid>), logs of "
        "several nodes no longer fit together, and a program there takes tokens, caches and certificates for expired, or for not yet valid."
    )
    within = "at once for programs; 10 s, the next renewal of the Lease, for the node"
    heals = "The clock is right again; timestamps already written stay as they are."
    needs = frozenset({API, NODES, CLOCK})
    options = (Option("seconds", 3600.0, "how far ahead the clock is (negative: behind)", -1e7, 1e7),)

    def plan(self, place: Place, target: str, options: Options) -> Plan:
        found = super().plan(place, target, options)
        return Plan(found.hits[:1], tuple(f"clock/{key}" for key in found.keys), found.data)

    def inject(self, place: Place, data: Data) -> None:
        place.controls.node(data["node"], {"skew": data["seconds"]})

    def heal(self, place: Place, data: Data) -> None:
        try:
            place.controls.node(data["node"], {"skew": 0})
        except Unreachable as error:
            if not error.gone:
                raise
