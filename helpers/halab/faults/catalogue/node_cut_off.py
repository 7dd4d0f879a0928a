"""A node that the API server does not reach, and that does not reach it."""

from __future__ import annotations

from halab.backends.controls import API, CUT, NODES, Unreachable
from halab.faults.base import Data, Place
from halab.faults.nodes import NodeFault, hurry, unmark


class NodeCutOff(NodeFault):
    name = "node-cut-off"
    title = "Node cut off from the API server"
    does = "Every connection between the node's agent and the API server breaks, and no new one can be made."
    expect = (
        "The pods run on, and are restarted where they are if they end: the node looks after itself. The control plane takes it for lost; "
        "what is deleted there goes on running until the node is heard of again."
    )
    within = "40 s (or detect=) until Kubernetes notices"
    heals = "The node connects again, reports, and ends what was deleted meanwhile."
    needs = frozenset({API, NODES, CUT})
    duration = 120.0

    def inject(self, place: Place, data: Data) -> None:
        place.controls.node(data["node"], {"cut_off": True})
        hurry(place, data["node"], float(data["detect"]))

    def heal(self, place: Place, data: Data) -> None:
        try:
            place.controls.node(data["node"], {"cut_off": False})
        except Unreachable as error:
            if not error.gone:
                raise
        unmark(place, data["node"])
