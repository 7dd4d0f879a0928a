"""The shorter ways into somebody's cluster, where there are any: addresses that this machine dials itself, without the API server.

A LoadBalancer's address and a NodePort are there for anybody who reaches them. Addresses of Services and pods are meant only inside the cluster:
outside of it the same number may be another machine's, so they are used only by a notebook that runs in a pod of this very cluster.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

from halab.backends.access import Obj

Address = tuple[str, int]
PROBE_SECONDS = 0.5
OWN_NAMES = ("kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "kubernetes.default", "kubernetes")


def inside(server: str) -> bool:
    """Whether this process runs in a pod of the cluster whose API server is at ``server`` (a URL)."""
    own = os.environ.get("KUBERNETES_SERVICE_HOST", "")
    return bool(own) and (urlsplit(server).hostname or "") in (own, *OWN_NAMES)


def outside(service: Obj, port: Obj, nodes: Iterable[Obj]) -> list[Address]:
    """Where an entry of a Service's ``spec.ports`` may be found from outside, the best first. ``nodes`` may be empty."""
    found: list[Address] = []
    spec = service["spec"]
    if spec.get("type") == "LoadBalancer":
        for entry in (service.get("status", {}).get("loadBalancer") or {}).get("ingress") or ():
            if entry.get("ipMode") != "Proxy" and (host := entry.get("ip") or entry.get("hostname")):
                found.append((str(host), int(port["port"])))
    if spec.get("type") in ("NodePort", "LoadBalancer") and port.get("nodePort"):
        for node in nodes:
            found += [(host, int(port["nodePort"])) for host in hosts_of(node)]
    return found


def hosts_of(node: Obj) -> list[str]:
    addresses = node.get("status", {}).get("addresses") or ()
    return [item["address"] for kind in ("ExternalIP", "InternalIP") for item in addresses if item["type"] == kind]


def taken(host: str, port: int) -> bool:
    """Whether somebody takes connections there now."""
    try:
        with socket.create_connection((host, port), PROBE_SECONDS):
            return True
    except OSError:
        return False
