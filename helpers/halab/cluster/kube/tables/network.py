"""Services, endpoints, ingresses, network policies and addresses."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from halab.cluster.kube.tables.columns import (
    AGE,
    NAME,
    NONE,
    UNKNOWN,
    UNSET,
    Cells,
    Layout,
    age,
    at,
    joined,
    labels_text,
    name_of,
    selector_text,
    spec_of,
    text,
    wide,
)
from halab.cluster.kube.types import Obj


def _service(obj: Obj, now: datetime) -> Cells:
    spec = spec_of(obj)
    addresses = spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else [])
    return [
        name_of(obj),
        spec.get("type", ""),
        addresses[0] if addresses else NONE,
        _external(obj, spec),
        _ports(spec.get("ports") or ()) or NONE,
        age(obj, now),
        labels_text(spec.get("selector")),
    ]


def _external(obj: Obj, spec: Obj) -> str:
    external: list[str] = spec.get("externalIPs") or []
    match spec.get("type"):
        case "ClusterIP" | "NodePort":
            return ",".join(external) or NONE
        case "LoadBalancer":
            balancers = _balancers(obj)
            return ",".join([*balancers, *external]) or "<pending>"
        case "ExternalName":
            return str(spec.get("externalName", ""))
    return UNKNOWN


def _balancers(obj: Obj) -> list[str]:
    """Addresses (or else names) of ``status.loadBalancer``, sorted."""
    ingress = at(obj, "status", "loadBalancer", "ingress", default=())
    return sorted({i.get("ip") or i.get("hostname") for i in ingress if i.get("ip") or i.get("hostname")})


def _ports(ports: Sequence[Obj]) -> str:
    return ",".join(
        f"{p.get('port', 0)}:{p['nodePort']}/{p.get('protocol', '')}"
        if p.get("nodePort")
        else f"{p.get('port', 0)}/{p.get('protocol', '')}"
        for p in ports
    )


def _ingress(obj: Obj, now: datetime) -> Cells:
    spec = spec_of(obj)
    return [
        name_of(obj),
        spec.get("ingressClassName") or NONE,
        _hosts(spec.get("rules") or ()),
        ",".join(_balancers(obj)),
        "80, 443" if spec.get("tls") else "80",
        age(obj, now),
    ]


def _hosts(rules: Sequence[Obj]) -> str:
    shown: list[str] = []
    more = False
    for rule in rules:
        more = more or len(shown) == 3
        if not more and rule.get("host"):
            shown.append(rule["host"])
    if not shown:
        return "*"
    return ",".join(shown) + (f" + {len(rules) - 3} more..." if more else "")


def _ingress_class(obj: Obj, now: datetime) -> Cells:
    parameters = spec_of(obj).get("parameters")
    reference = NONE
    if parameters:
        kind = parameters.get("kind", "") + (f".{parameters['apiGroup']}" if parameters.get("apiGroup") else "")
        reference = f"{kind}/{parameters.get('name', '')}"
    return [name_of(obj), spec_of(obj).get("controller", ""), reference, age(obj, now)]


def _endpoints(obj: Obj, now: datetime) -> Cells:
    found = [
        f"[{a.get('ip')}]:{p.get('port')}" if ":" in a.get("ip", "") else f"{a.get('ip')}:{p.get('port')}"
        for subset in obj.get("subsets") or ()
        for p in subset.get("ports") or ()
        for a in subset.get("addresses") or ()
    ]
    return [name_of(obj), joined(found, 3) if obj.get("subsets") else NONE, age(obj, now)]


def _endpoint_slice(obj: Obj, now: datetime) -> Cells:
    ports = obj.get("ports")
    shown = joined((str(p["port"]) if p.get("port") is not None else "*" for p in ports or ()), 3) or UNSET
    addresses = [address for endpoint in obj.get("endpoints") or () for address in endpoint.get("addresses") or ()]
    return [name_of(obj), obj.get("addressType", ""), shown, joined(addresses, 3) or UNSET, age(obj, now)]


def _network_policy(obj: Obj, now: datetime) -> Cells:
    return [name_of(obj), selector_text(spec_of(obj).get("podSelector") or {}), age(obj, now)]


def _service_cidr(obj: Obj, now: datetime) -> Cells:
    return [name_of(obj), ",".join(spec_of(obj).get("cidrs") or ()), age(obj, now)]


def _ip_address(obj: Obj, now: datetime) -> Cells:
    parent = spec_of(obj).get("parentRef")
    reference = NONE
    if parent:
        parts = (parent.get("group") or "", parent.get("resource"), parent.get("namespace"), parent.get("name"))
        reference = "/".join(part for part in parts if part)
    return [name_of(obj), reference]


LAYOUTS = {
    ("", "Service"): Layout(
        (NAME, text("Type"), text("Cluster-IP"), text("External-IP"), text("Port(s)"), AGE, wide("Selector")), _service
    ),
    ("networking.k8s.io", "Ingress"): Layout(
        (
            NAME,
            text("Class", "The name of the IngressClass resource that should be used for additional configuration"),
            text("Hosts", "Hosts that incoming requests are matched against before the ingress rule"),
            text("Address", "Address is a list containing ingress points for the load-balancer"),
            text("Ports", "Ports of TLS configurations that open"),
            AGE,
        ),
        _ingress,
    ),
    ("networking.k8s.io", "IngressClass"): Layout(
        (NAME, text("Controller", "Controller that is responsible for handling this class"), text("Parameters"), AGE),
        _ingress_class,
    ),
    ("", "Endpoints"): Layout((NAME, text("Endpoints"), AGE), _endpoints),
    ("discovery.k8s.io", "EndpointSlice"): Layout(
        (NAME, text("AddressType"), text("Ports"), text("Endpoints"), AGE), _endpoint_slice
    ),
    ("networking.k8s.io", "NetworkPolicy"): Layout((NAME, text("Pod-Selector"), AGE), _network_policy),
    ("networking.k8s.io", "ServiceCIDR"): Layout((NAME, text("CIDRs"), AGE), _service_cidr),
    ("networking.k8s.io", "IPAddress"): Layout((NAME, text("ParentRef")), _ip_address),
}
