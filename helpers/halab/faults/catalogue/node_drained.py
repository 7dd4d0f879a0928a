"""A node is drained, as for maintenance."""

from __future__ import annotations

import time

from halab.backends.access import ApiError, Obj
from halab.backends.controls import API, NODES
from halab.errors import UsageError
from halab.faults.base import Data, Option, Options, Place, Plan
from halab.faults.nodes import NodeFault, node_named, pods_on

ALL, OWN = "all", "own"
ASK_AGAIN = 0.5  # seconds until an eviction that a budget refused is asked for again


class NodeDrained(NodeFault):
    name = "node-drained"
    title = "Node drained"
    does = "The node is cordoned and its pods are evicted, as `kubectl drain --ignore-daemonsets` does it."
    expect = (
        "Evicted pods are replaced on other nodes. With a PodDisruptionBudget one after the other, and users notice nothing; without one all "
        "replicas of a Deployment can go at once. Nothing new is scheduled there (SchedulingDisabled)."
    )
    within = "at once"
    heals = "The node is uncordoned. Pods that moved stay where they are."
    needs = frozenset({API, NODES})
    options = (
        Option("patience", 10.0, "seconds for evictions that a disruption budget refuses at first", 0, 120),
        Option("pods", ALL, f"whose pods are evicted: {ALL}, as by a real drain, or {OWN}, those of this namespace alone"),
    )

    def plan(self, place: Place, target: str, options: Options) -> Plan:
        if options["pods"] not in (ALL, OWN):
            raise UsageError(f"fault {self.name}", f"pods={options['pods']} will not do", f"say {ALL} or {OWN}")
        node = node_named(place, self.name, target)
        found = super().plan(place, target, options)
        own = options["pods"] == OWN
        hits = tuple(hit for hit in found.hits if not own or not hit.startswith("pod ") or f"pod {place.namespace}/" in hit)
        return Plan(hits, found.keys, {**found.data, "cordoned": bool(node["spec"].get("unschedulable"))})

    def inject(self, place: Place, data: Data) -> None:
        place.api.patch("nodes", data["node"], {"spec": {"unschedulable": True}})
        left = [pod for pod in pods_on(place, data["node"]) if not _stays(pod) and _is_meant(place, data, pod)]
        deadline = time.monotonic() + float(data["patience"])
        while left := [pod for pod in left if not _evict(place, pod)]:
            if time.monotonic() > deadline:
                return
            time.sleep(ASK_AGAIN)

    def heal(self, place: Place, data: Data) -> None:
        if not data["cordoned"]:
            try:
                place.api.patch("nodes", data["node"], {"spec": {"unschedulable": None}})
            except ApiError as error:
                if error.code != 404:
                    raise


def _is_meant(place: Place, data: Data, pod: Obj) -> bool:
    return data.get("pods") != OWN or pod["metadata"]["namespace"] == place.namespace


def _stays(pod: Obj) -> bool:
    owners = pod["metadata"].get("ownerReferences") or ()
    mirror = "kubernetes.io/config.mirror" in (pod["metadata"].get("annotations") or {})
    return mirror or any(owner["kind"] == "DaemonSet" for owner in owners)


def _evict(place: Place, pod: Obj) -> bool:
    """False where a disruption budget forbids it now."""
    return not place.api.evict(pod["metadata"]["name"], namespace=pod["metadata"]["namespace"])
