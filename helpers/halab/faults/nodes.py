"""Failures of nodes: how one is named, and how soon its silence is noticed."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, ClassVar

from halab.backends.access import ApiError, Obj
from halab.errors import UsageError
from halab.faults.base import Data, Fault, Option, Options, Place, Plan
from halab.faults.containers import OWNERS, pods_of

MARK = "halab.dev/fault"
LEASES = "kube-node-lease"
DETECT = Option(
    "detect", 0.0, "seconds of silence until the control plane calls the node lost (default: its Lease's, 40 s)", 0, 3600
)


def node_named(place: Place, fault: str, target: str) -> Obj:
    """The node ``NAME``, or the one below a pod of ``deployment/NAME``. Raises UsageError with the nodes that there are."""
    kind, _, name = target.rpartition("/")
    if kind.lower() in OWNERS:
        kind, name = "", pods_of(place, fault, target, {"pods": "1", "pick": 0.0})[0]["spec"]["nodeName"]
    nodes = {node["metadata"]["name"]: node for node in place.api.list("nodes")}
    if kind not in ("", "node", "nodes", "no") or name not in nodes:
        raise UsageError(
            f"fault {fault}: node {target or '(none named)'}", "does not exist", f"nodes: {', '.join(sorted(nodes))}"
        )
    return nodes[name]


def pods_on(place: Place, node: str) -> list[Obj]:
    """The pods of all namespaces that run there."""
    items = place.api.list("pods", fields=f"spec.nodeName={node}", everywhere=True)
    return [pod for pod in items if pod.get("status", {}).get("phase") in ("Pending", "Running")]


def hurry(place: Place, name: str, detect: float) -> None:
    """Have the node's silence noticed after ``detect`` seconds. The Lease is set back by the node itself, when it is heard again."""
    if detect > 0:
        change: dict[str, Any] = {"spec": {"leaseDurationSeconds": max(1, round(detect))}}
        place.api.patch("leases", name, change, namespace=LEASES)
    mark(place, name, "silent")


def mark(place: Place, name: str, text: str | None) -> None:
    """Write on the node what is done to it; the change also has the control plane look at it anew."""
    place.api.patch("nodes", name, {"metadata": {"annotations": {MARK: text}}})


def unmark(place: Place, name: str) -> None:
    with suppress(ApiError):  # a node that was removed meanwhile carries no mark
        mark(place, name, None)


class NodeFault(Fault):
    """A failure of one node as a whole."""

    target = "node"
    cluster_wide = True
    options: ClassVar[tuple[Option, ...]] = (DETECT,)

    def plan(self, place: Place, target: str, options: Options) -> Plan:
        name = node_named(place, self.name, target)["metadata"]["name"]
        pods = [f"pod {pod['metadata']['namespace']}/{pod['metadata']['name']}" for pod in pods_on(place, name)]
        return Plan((f"node {name}", *sorted(pods)), (f"node/{name}",), {"node": name, **options})


class AgentFault(NodeFault):
    """What is done to the node's agent, and undone."""

    part: ClassVar[str]  # what of the node: "node" or "node-agent"
    inject_action: ClassVar[str]
    heal_action: ClassVar[str]

    def inject(self, place: Place, data: Data) -> None:
        place.controls.component(f"{self.part}/{data['node']}", self.inject_action)
        hurry(place, data["node"], float(data["detect"]))

    def heal(self, place: Place, data: Data) -> None:
        place.controls.component(f"{self.part}/{data['node']}", self.heal_action)
        unmark(place, data["node"])
