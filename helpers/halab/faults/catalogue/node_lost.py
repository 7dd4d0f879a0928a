"""A node is lost with all that ran on it."""

from __future__ import annotations

from halab.backends.controls import API, NODES, POWER
from halab.faults.nodes import AgentFault


class NodeLost(AgentFault):
    name = "node-lost"
    title = "Node lost"
    does = "The node's agent and every container on it are killed at once, as by a power cut."
    expect = (
        "Its pods answer nobody. Kubernetes notices when the Lease runs out: the node is NotReady, its pods leave their Services, and "
        "after tolerationSeconds (300 by default) they are replaced on other nodes. Users fail until the pods leave their Services."
    )
    within = "at once for users; 40 s (or detect=) until Kubernetes notices"
    heals = "The node starts again: it registers, and runs the pods that are still its own."
    duration = 120.0
    needs = frozenset({API, NODES, POWER})
    part = "node"
    inject_action = "kill"
    heal_action = "start"
