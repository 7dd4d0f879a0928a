"""Services, EndpointSlices and routes in one line each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from halab.cluster.dataplane.plan import World, build
from halab.cluster.kube.types import Obj
from halab.settings import ClusterConfig

CONFIG = ClusterConfig("test", 7, Path("/clusters/test"), Path("/images"), ("node-1", "node-2"), 20000)
READY = {"ready": True, "serving": True, "terminating": False}
LEAVING = {"ready": False, "serving": True, "terminating": True}
CLASS = {"metadata": {"name": "halab"}, "spec": {"controller": "halab.dev/envoy"}}
GATEWAY_CLASS = {"metadata": {"name": "halab"}, "spec": {"controllerName": "halab.dev/gateway-controller"}}


def service(name: str, *ports: Obj, ip: str = "127.7.128.20", namespace: str = "default", **spec: Any) -> Obj:
    annotations = spec.pop("annotations", {})
    wanted = [{"protocol": "TCP", **port} for port in ports or ({"port": 80},)]
    return {
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace, "annotations": annotations},
        "spec": {"clusterIP": ip, "clusterIPs": [ip], "type": "ClusterIP", "ports": wanted, **spec},
    }


def slice_of(
    name: str,
    *addresses: str,
    port: int = 80,
    port_name: str = "",
    namespace: str = "default",
    conditions: Obj = READY,
    **extra: Any,
) -> Obj:
    return {
        "metadata": {"name": f"{name}-x", "namespace": namespace, "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": conditions, **extra} for address in addresses],
        "ports": [{"name": port_name, "port": port, "protocol": "TCP"}],
    }


def node(index: int) -> Obj:
    return {
        "metadata": {"name": f"node-{index}"},
        "spec": {"podCIDR": f"127.7.{index}.0/24"},
        "status": {"addresses": [{"type": "InternalIP", "address": f"127.7.0.{9 + index}"}]},
    }


def ingress(name: str, *rules: Obj, created: str = "2026-01-01T00:00:00Z", annotations: Obj | None = None, **spec: Any) -> Obj:
    return {
        "metadata": {"name": name, "namespace": "default", "creationTimestamp": created, "annotations": annotations or {}},
        "spec": {"ingressClassName": "halab", "rules": list(rules), **spec},
    }


def rule(host: str, *paths: tuple[str, str, str]) -> Obj:
    """``paths`` are (path, type, Service)."""
    found = [
        {"path": path, "pathType": kind, "backend": {"service": {"name": to, "port": {"number": 80}}}} for path, kind, to in paths
    ]
    return {**({"host": host} if host else {}), "http": {"paths": found}}


def world(*services: Obj, slices: tuple[Obj, ...] = (), **parts: Any) -> World:
    by_owner: dict[tuple[str, str], list[Obj]] = {}
    for piece in slices:
        meta = piece["metadata"]
        by_owner.setdefault((meta["namespace"], meta["labels"]["kubernetes.io/service-name"]), []).append(piece)
    return World(
        services={(each["metadata"]["namespace"], each["metadata"]["name"]): each for each in services},
        slices=by_owner,
        ingress_classes={"halab": CLASS},
        gateway_classes={"halab": GATEWAY_CLASS},
        **parts,
    )


def planned(what: World) -> Any:
    return build(CONFIG, what, Path("/envoy"), ("chain", "key"), None)


def endpoints(plan: Any, cluster: str) -> list[tuple[str, int]]:
    found = next(each for each in plan.clusters if each["name"] == cluster)
    pieces = [endpoint for group in found["load_assignment"]["endpoints"] for endpoint in group["lb_endpoints"]]
    addresses = [piece["endpoint"]["address"]["socket_address"] for piece in pieces]
    return [(address["address"], address["port_value"]) for address in addresses]


def bound(plan: Any) -> dict[tuple[str, int], str]:
    """Address -> listener name."""
    found = {}
    for each in plan.listeners:
        for place in [each["address"], *(more["address"] for more in each.get("additional_addresses", ()))]:
            found[(place["socket_address"]["address"], place["socket_address"]["port_value"])] = each["name"]
    return found


def route_table(plan: Any, host: str, frontend: str = "http-80") -> list[Obj]:
    """The routes of one host but for the last, which answers 404."""
    hosts = {each["domains"][0]: each["routes"] for each in plan.tables[frontend]["virtual_hosts"]}
    return hosts[host][:-1]
