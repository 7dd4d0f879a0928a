"""Clusters: the endpoints of a Service's port, and how one of them is chosen."""

from __future__ import annotations

from collections.abc import Iterable

from halab.cluster.dataplane.envoy.types import CLUSTER, seconds, socket_address, typed
from halab.cluster.dataplane.model import Cluster, Traffic
from halab.cluster.kube.types import Obj

CONNECT_SECONDS = 5
MAGLEV_TABLE = 1021  # a prime; large enough to share fairly among a hundred endpoints, small enough to rebuild at every change
UNLIMITED = 1_000_000  # Envoy's own limits (1024 connections) are no part of Kubernetes
IDLE = "2s"  # a kept connection to a pod: shorter than servers keep theirs, so that none is used just as it closes


def _limits(traffic: Traffic) -> Obj:
    return {
        "thresholds": [
            {
                "max_connections": traffic.max_connections or UNLIMITED,
                "max_pending_requests": traffic.max_pending or UNLIMITED,
                "max_requests": traffic.max_requests or UNLIMITED,
                "max_retries": UNLIMITED,
            }
        ]
    }


def _outliers(traffic: Traffic) -> Obj:
    return {
        "consecutive_5xx": traffic.eject_after,
        "interval": "1s",
        "base_ejection_time": seconds(traffic.eject_seconds),
        "max_ejection_time": seconds(traffic.eject_seconds * 10),
        "max_ejection_percent": traffic.eject_percent,
        "enforcing_success_rate": 0,
    }


def cluster(wanted: Cluster, source: str) -> Obj:
    """``source`` is the address that pods see as their client."""
    backend = wanted.backend
    endpoints = [{"endpoint": {"address": socket_address(address, backend.protocol)}} for address in backend.endpoints]
    found = typed(
        CLUSTER,
        name=wanted.name,
        type="STATIC",
        connect_timeout=f"{CONNECT_SECONDS}s",
        lb_policy="MAGLEV" if wanted.by_hash else "ROUND_ROBIN",
        load_assignment={"cluster_name": wanted.name, "endpoints": [{"lb_endpoints": endpoints}]},
        circuit_breakers=_limits(backend.traffic),
    )
    if backend.traffic.eject_after:
        found["outlier_detection"] = _outliers(backend.traffic)
        found["common_lb_config"] = {"healthy_panic_threshold": {"value": 0}}
    if wanted.by_hash:
        found["maglev_lb_config"] = {"table_size": MAGLEV_TABLE}
    if backend.protocol == "TCP":
        if all(address.startswith("127.") for address, _ in backend.endpoints):
            found["upstream_bind_config"] = {"source_address": {"address": source, "port_value": 0}}
        protocol: Obj = {"http2_protocol_options": {}} if backend.http2 else {"http_protocol_options": {}}
        found["typed_extension_protocol_options"] = {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": typed(
                "extensions.upstreams.http.v3.HttpProtocolOptions",
                explicit_http_config=protocol,
                common_http_protocol_options={"idle_timeout": IDLE},
            )
        }
    return found


def clusters(wanted: Iterable[Cluster], source: str) -> list[Obj]:
    """By name, so that nothing is rewritten only because the order of objects changed."""
    return [cluster(each, source) for each in sorted(wanted, key=lambda each: each.name)]
