"""A node's agent is stopped; its pods run on."""

from __future__ import annotations

from halab.backends.controls import AGENTS, API, NODES
from halab.faults.nodes import AgentFault


class NodeAgentStopped(AgentFault):
    name = "node-agent-stopped"
    title = "Node agent stopped"
    does = "The node's agent (its kubelet) is frozen. Its containers run on, but nobody watches over them."
    expect = (
        "Users notice nothing at first: the pods serve on. When the Lease runs out the node is NotReady and its pods leave their Services, "
        "healthy as they are. A container that ends is not restarted; logs and exec do not answer."
    )
    within = "40 s (or detect=) until Kubernetes notices"
    heals = "The agent goes on, and finds what changed meanwhile."
    duration = 120.0
    needs = frozenset({API, NODES, AGENTS})
    part = "node-agent"
    inject_action = "pause"
    heal_action = "resume"
