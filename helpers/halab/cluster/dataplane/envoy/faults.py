"""Faults: delays, error answers and cut connections, as the filter ``envoy.filters.http.fault`` does them.

A Service under a delay or an abort is proxied as HTTP instead of as plain connections, at its ClusterIP and NodePorts as well as behind
Ingress. Dropping alone is done to connections, whatever they carry.
"""

from __future__ import annotations

from halab.cluster.dataplane.envoy.types import extension, percent, seconds, typed
from halab.cluster.dataplane.model import Fault
from halab.cluster.kube.types import Obj

FILTER = "envoy.filters.http.fault"
NOWHERE = "nowhere"  # a cluster without endpoints: connections are cut, requests answered 503
_TYPE = "extensions.filters.http.fault.v3.HTTPFault"


def filter_config(fault: Fault) -> Obj:
    fields: Obj = {}
    if fault.delay > 0 and fault.delay_percent > 0:
        fields["delay"] = {"fixed_delay": seconds(fault.delay), "percentage": percent(fault.delay_percent)}
    if fault.abort and fault.abort_percent > 0:
        fields["abort"] = {"http_status": fault.abort, "percentage": percent(fault.abort_percent)}
    return typed(_TYPE, **fields)


def idle_filter() -> Obj:
    """The filter in an HTTP filter chain that does nothing until a route says otherwise."""
    return extension(FILTER, _TYPE)


def on_route(route: Obj, fault: Fault | None) -> list[Obj]:
    """The route under the fault: with the filter's settings for it, and before it one that loses the wanted share of requests."""
    if fault is None:
        return [route]
    found = {**route, "typed_per_filter_config": {**route.get("typed_per_filter_config", {}), FILTER: filter_config(fault)}}
    if fault.drop <= 0:
        return [found]
    match = {**route["match"], "runtime_fraction": {"default_value": percent(fault.drop)}}
    return [{"match": match, "route": {"cluster": NOWHERE}}, found]


def shares(cluster: str, fault: Fault | None) -> Obj:
    """The part of a ``TcpProxy`` that says where connections go, some of them nowhere."""
    lost = round(fault.drop * 100) if fault else 0
    if lost <= 0:
        return {"cluster": cluster}
    kept = [{"name": cluster, "weight": 10000 - lost}] if lost < 10000 else []
    return {"weighted_clusters": {"clusters": [*kept, {"name": NOWHERE, "weight": min(lost, 10000)}]}}
