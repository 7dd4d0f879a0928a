"""Services and EndpointSlices: which addresses are listened at, and which endpoints stand behind them.

The rules are kube-proxy's (https://kubernetes.io/docs/reference/networking/virtual-ips/): ready endpoints serve; where there are none,
those that are terminating but still serve; where there are none of these either, nothing listens and a connection is refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from halab.cluster.dataplane.model import Address, Backend, Cluster, Fault, Listen, Mutual, Place, Traffic
from halab.cluster.kube.types import Obj
from halab.settings import ClusterConfig

FAULT, TRAFFIC, MUTUAL = "halab.dev/fault", "halab.dev/traffic", "halab.dev/mtls"
SERVICE_NAME = "kubernetes.io/service-name"
ZONE = "topology.kubernetes.io/zone"
MutualOf = Callable[[str, str], Mutual | None]  # namespace and name of a Secret


@dataclass(frozen=True, slots=True)
class Node:
    """What the data plane needs of a node: its address for NodePorts, the range of its pods, and its zone."""

    name: str
    address: str
    pods: str
    zone: str = ""

    @classmethod
    def of(cls, node: Obj) -> Node | None:
        """None for a node without an address, and for one that was lost: nothing listens there any more."""
        addresses = (node.get("status") or {}).get("addresses") or ()
        address = next((item["address"] for item in addresses if item.get("type") == "InternalIP"), "")
        spec, conditions = node.get("spec") or {}, (node.get("status") or {}).get("conditions") or ()
        lost = any(item.get("type") == "Ready" and item.get("status") == "Unknown" for item in conditions)
        zone = (node["metadata"].get("labels") or {}).get(ZONE, "")
        return None if lost or not address else cls(node["metadata"]["name"], address, spec.get("podCIDR") or "", zone)


def dialled(config: ClusterConfig, address: str, port: int) -> Address:
    """Where an endpoint really listens: low ports of the cluster's own addresses are shifted, others are not."""
    own = address.startswith(f"{config.addresses.prefix}.")
    return address, config.port(port) if own else port


def usable(endpoints: Sequence[Obj]) -> list[Obj]:
    """The endpoints that take new connections."""

    def condition(endpoint: Obj, name: str, default: bool) -> bool:
        value = (endpoint.get("conditions") or {}).get(name)
        return default if value is None else bool(value)

    ready = [endpoint for endpoint in endpoints if condition(endpoint, "ready", True)]
    return ready or [
        endpoint for endpoint in endpoints if condition(endpoint, "serving", False) and condition(endpoint, "terminating", False)
    ]


def endpoints_of(config: ClusterConfig, slices: Iterable[Obj], port: Obj) -> dict[Address, Place]:
    """The endpoints behind one port of a Service, in a stable order."""
    name, protocol = port.get("name") or "", port.get("protocol") or "TCP"
    candidates: list[tuple[Obj, int]] = []
    for piece in slices:
        if piece.get("addressType") != "IPv4":
            continue
        for offered in piece.get("ports") or ():
            if (offered.get("name") or "") == name and (offered.get("protocol") or "TCP") == protocol and offered.get("port"):
                candidates += [(endpoint, offered["port"]) for endpoint in piece.get("endpoints") or ()]
    chosen = {id(endpoint) for endpoint in usable([endpoint for endpoint, _ in candidates])}
    found: dict[Address, Place] = {}
    for endpoint, number in candidates:
        if id(endpoint) in chosen:
            for address in endpoint.get("addresses") or ():
                found[dialled(config, address, number)] = _place(endpoint)
    return dict(sorted(found.items()))


def _place(endpoint: Obj) -> Place:
    def names(hint: str) -> tuple[str, ...]:
        return tuple(item["name"] for item in (endpoint.get("hints") or {}).get(hint) or ())

    return Place(endpoint.get("nodeName") or "", names("forNodes"), names("forZones"))


def fault_of(service: Obj) -> Fault | None:
    """The fault that the Service's annotation asks for; one that cannot be read is none."""
    text = (service["metadata"].get("annotations") or {}).get(FAULT)
    if not text:
        return None
    try:
        raw = json.loads(text)
        fault = Fault(
            float(raw.get("delay") or 0),
            float(raw.get("delayPercent", 100)),
            int(raw.get("abort") or 0),
            float(raw.get("abortPercent", 100)),
            float(raw.get("drop") or 0),
        )
    except (ValueError, TypeError, AttributeError, OverflowError):
        return None
    return fault if fault.delay > 0 or 200 <= fault.abort < 600 or fault.drop > 0 else None


def traffic_of(service: Obj) -> Traffic:
    """The limits that the Service's annotation asks for; what cannot be read changes nothing."""
    text = (service["metadata"].get("annotations") or {}).get(TRAFFIC)
    try:
        raw = json.loads(text or "{}")
        return Traffic(
            max(int(raw.get("ejectAfter", 0)), 0),
            max(float(raw.get("ejectSeconds", 30)), 0.1),
            min(max(int(raw.get("ejectPercent", 50)), 0), 100),
            max(int(raw.get("maxConnections", 0)), 0),
            max(int(raw.get("maxPending", 0)), 0),
            max(int(raw.get("maxRequests", 0)), 0),
        )
    except (ValueError, TypeError, AttributeError, OverflowError):
        return Traffic()


def backend(config: ClusterConfig, service: Obj, port: Obj, slices: Iterable[Obj]) -> Backend:
    meta, spec = service["metadata"], service["spec"]
    found = endpoints_of(config, slices, port)
    return Backend(
        meta["namespace"],
        meta["name"],
        port["port"],
        port.get("protocol") or "TCP",
        tuple(found),
        tuple(found.values()),
        spec.get("sessionAffinity") == "ClientIP",
        port.get("appProtocol") in ("kubernetes.io/h2c", "grpc"),
        fault_of(service),
        traffic_of(service),
    )


def port_of(service: Obj, wanted: Mapping[str, object]) -> Obj | None:
    """The port of a Service that an Ingress backend (``{"number": 80}`` or ``{"name": "http"}``) means."""
    for port in service["spec"].get("ports") or ():
        if wanted.get("number") == port["port"] or (wanted.get("name") and wanted["name"] == port.get("name")):
            found: Obj = port
            return found
    return None


def plan(
    config: ClusterConfig,
    services: Iterable[Obj],
    slices_of: Mapping[tuple[str, str], Sequence[Obj]],
    nodes: Sequence[Node],
    mutual_of: MutualOf = lambda namespace, name: None,
) -> tuple[list[Listen], list[Cluster]]:
    """All listeners of Services and the clusters they lead to. ``slices_of`` maps (namespace, Service) to its EndpointSlices.

    A Service annotated ``halab.dev/mtls: SECRET`` takes TLS connections of clients with a certificate of that Secret's ``ca.crt``, and no
    others; while the Secret is not usable, it takes none at all.
    """
    listens: list[Listen] = []
    clusters: list[Cluster] = []
    for service in services:
        spec, meta = service["spec"], service["metadata"]
        if spec.get("type") == "ExternalName" or spec.get("clusterIP") in (None, "", "None"):
            continue
        own = slices_of.get((meta["namespace"], meta["name"]), ())
        secret = (meta.get("annotations") or {}).get(MUTUAL)
        mutual = mutual_of(meta["namespace"], secret) if secret else None
        if secret and mutual is None:
            continue
        for port in spec.get("ports") or ():
            if (port.get("protocol") or "TCP") not in ("TCP", "UDP"):
                continue
            found = backend(config, service, port, own)
            if not found.endpoints:
                continue
            for listen, needed in (
                _cluster_ip(config, service, port, found, nodes),
                _node_port(service, port, found, nodes),
            ):
                listens += [replace(each, mutual=mutual) for each in listen] if mutual else listen
                clusters += needed
    unique = {cluster.name: cluster for cluster in clusters}
    return listens, list(unique.values())


Planned = tuple[list[Listen], list[Cluster]]


def dns(config: ClusterConfig) -> Planned:
    """Where the DNS server cannot listen at the Service's own address: the way from there to the server."""
    server = config.addresses.dns_server
    if server is None:
        return [], []
    listens, clusters = [], []
    for protocol in ("UDP", "TCP"):
        found = Backend("kube-system", "kube-dns", 53, protocol, (server,), (Place(),))
        listens.append(Listen(f"ip/{found.cluster}", ((config.addresses.dns, 53),), found.cluster, protocol))
        clusters.append(_whole(found))
    return listens, clusters


def _whole(found: Backend) -> Cluster:
    return Cluster(found.cluster, found, by_hash=found.sticky)


def _on(found: Backend, node: str) -> Cluster | None:
    local = found.on(node)
    return Cluster(f"{found.cluster}@{node}", local, by_hash=found.sticky) if local.endpoints else None


def _cluster_ip(config: ClusterConfig, service: Obj, port: Obj, found: Backend, nodes: Sequence[Node]) -> Planned:
    spec = service["spec"]
    prefix = f"{config.addresses.prefix}."
    balancers = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    more = [*(spec.get("externalIPs") or ()), *(item.get("ip") or "" for item in balancers)]
    hosts = dict.fromkeys(
        address
        for address in [*(spec.get("clusterIPs") or [spec["clusterIP"]]), *more]
        if address.startswith(prefix) and address not in (config.addresses.dns, config.addresses.ingress)
    )
    addresses = tuple((host, config.port(port["port"])) for host in hosts)
    if not addresses:
        return [], []
    listen = Listen(f"ip/{found.cluster}", addresses, found.cluster, found.protocol, found.sticky, found.fault)
    if found.protocol != "TCP":
        return [listen], [_whole(found)]
    if spec.get("internalTrafficPolicy") != "Local":
        return _preferred(listen, found, nodes)
    local = [(node, cluster) for node in nodes if node.pods and (cluster := _on(found, node.name))]
    if not local:
        return [], []
    return [replace(listen, local=_ranges(local))], [cluster for _, cluster in local]


def _ranges(local: Iterable[tuple[Node, Cluster]]) -> tuple[tuple[str, str], ...]:
    """(source, cluster) of what comes from each node."""
    return tuple((source, cluster.name) for node, cluster in local for source in (node.pods, f"{node.address}/32") if source)


def _preferred(listen: Listen, found: Backend, nodes: Sequence[Node]) -> Planned:
    """What comes from a node goes to the endpoints that are hinted to it (trafficDistribution), all else to any."""
    whole = _whole(found)
    local = [
        (node, Cluster(f"{found.cluster}~{node.name}", near, by_hash=found.sticky))
        for node in nodes
        if node.pods and (near := found.near(node.name, node.zone))
    ]
    return [replace(listen, local=_ranges(local), strict=False)], [whole, *(cluster for _, cluster in local)]


def _node_port(service: Obj, port: Obj, found: Backend, nodes: Sequence[Node]) -> Planned:
    number, spec = port.get("nodePort"), service["spec"]
    if not number or not nodes:
        return [], []
    name = f"node/{found.cluster}"
    if spec.get("externalTrafficPolicy") != "Local":
        addresses = tuple((node.address, number) for node in nodes)
        return [Listen(name, addresses, found.cluster, found.protocol, found.sticky, found.fault)], [_whole(found)]
    listens, clusters = [], []
    for node in nodes:
        if cluster := _on(found, node.name):
            clusters.append(cluster)
            address = ((node.address, number),)
            listens.append(Listen(f"{name}@{node.name}", address, cluster.name, found.protocol, found.sticky, found.fault))
    return listens, clusters
