"""A node's clock is wrong."""

from __future__ import annotations

from halab.backends.controls import API, CLOCK, NODES, Unreachable
from halab.faults.base import Data, Option, Options, Place, Plan
from halab.faults.nodes import NodeFault


class ClockSkew(NodeFault):
    name = "clock-skew"
    title = "Clock skew"
    does = "The clock of the node's agent goes wrong: its Lease, its events and its pods' statuses carry that time. Programs keep theirs."
    expect = (
        "Nobody is hurt: the control plane measures a node's silence on its own clock, so the node stays Ready. But ages and events are "
        "nonsense (<invalid>), and what is put in order by time is in the wrong order."
    )
    within = "10 s: the next renewal of the Lease"
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
