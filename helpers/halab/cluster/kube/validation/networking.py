"""Rules of Ingresses, ingress classes, network policies and endpoint slices."""

from __future__ import annotations

import ipaddress
from typing import Any

from halab.cluster.kube.status import duplicate, forbidden_field, invalid_value, not_supported, required, too_long, too_many
from halab.cluster.kube.types import Obj
from halab.cluster.kube.validation import names
from halab.cluster.kube.validation.handlers import port
from halab.cluster.kube.validation.meta import IMMUTABLE, Errors, add, label_name, label_selector, metadata, metadata_update
from halab.cluster.kube.validation.services import special_ip

INGRESS_CLASS = "kubernetes.io/ingress.class"
PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_BAD_SEQUENCES = ("//", "/./", "/../", "%2f", "%2F")
_BAD_SUFFIXES = ("/..", "/.")


def ingress(errors: Errors, obj: Obj) -> None:
    metadata(errors, obj["metadata"], True, names.subdomain)
    _ingress_spec(errors, obj["spec"])
    annotation, name = (obj["metadata"].get("annotations") or {}).get(INGRESS_CLASS), obj["spec"].get("ingressClassName")
    if annotation is not None and name is not None and annotation != name:
        errors.append(
            invalid_value(f"annotations.{INGRESS_CLASS}", annotation, "must match `ingressClassName` when both are specified")
        )


def ingress_update(errors: Errors, new: Obj, old: Obj) -> None:
    metadata_update(errors, new["metadata"], old["metadata"])
    metadata(errors, new["metadata"], True, names.subdomain)
    _ingress_spec(errors, new["spec"])


def _ingress_spec(errors: Errors, spec: Obj) -> None:
    rules = spec.get("rules") or []
    if not rules and "defaultBackend" not in spec:
        errors.append(invalid_value("spec", None, "either `defaultBackend` or `rules` must be specified"))
    if "defaultBackend" in spec:
        _backend(errors, spec["defaultBackend"], "spec.defaultBackend")
    for index, rule in enumerate(rules):
        path, host = f"spec.rules[{index}]", rule.get("host") or ""
        if host:
            if names.parse_ip(host) is not None:
                errors.append(invalid_value(f"{path}.host", host, "must be a DNS name, not an IP address"))
            _host(errors, host, f"{path}.host")
        if "http" in rule:
            _http(errors, rule["http"], f"{path}.http")
    for index, tls in enumerate(spec.get("tls") or ()):
        for number, host in enumerate(tls.get("hosts") or ()):
            _host(errors, host, f"spec.tls[{index}].hosts[{number}]")
        if tls.get("secretName"):
            add(errors, f"spec.tls[{index}].secretName", tls["secretName"], names.subdomain(tls["secretName"]))
    if "ingressClassName" in spec:
        add(errors, "spec.ingressClassName", spec["ingressClassName"], names.subdomain(spec["ingressClassName"]))


def _host(errors: Errors, host: str, path: str) -> None:
    add(errors, path, host, names.wildcard_subdomain(host) if "*" in host else names.subdomain(host))


def _http(errors: Errors, http: Obj, path: str) -> None:
    paths = http.get("paths") or []
    if not paths:
        errors.append(required(f"{path}.paths"))
    for index, entry in enumerate(paths):
        at, kind, value = f"{path}.paths[{index}]", entry.get("pathType"), entry.get("path") or ""
        if kind is None:
            errors.append(required(f"{at}.pathType", "pathType must be specified"))
            continue
        if kind in ("Exact", "Prefix"):
            if not value.startswith("/"):
                errors.append(invalid_value(f"{at}.path", value, "must be an absolute path"))
            for sequence in _BAD_SEQUENCES:
                if sequence in value:
                    errors.append(invalid_value(f"{at}.path", value, f"must not contain '{sequence}'"))
            for suffix in _BAD_SUFFIXES:
                if value.endswith(suffix):
                    errors.append(invalid_value(f"{at}.path", value, f"cannot end with '{suffix}'"))
        elif kind == "ImplementationSpecific":
            if value and not value.startswith("/"):
                errors.append(invalid_value(f"{at}.path", value, "must be an absolute path"))
        else:
            errors.append(not_supported(f"{at}.pathType", kind, PATH_TYPES))
        _backend(errors, entry["backend"], f"{at}.backend")


def _backend(errors: Errors, backend: Obj, path: str) -> None:
    service, resource = backend.get("service"), backend.get("resource")
    if service is not None and resource is not None:
        errors.append(invalid_value(path, "", "cannot set both resource and service backends"))
    elif resource is not None:
        _resource_reference(errors, resource, f"{path}.resource")
    elif service is not None:
        _service_backend(errors, service, path)
    else:
        errors.append(invalid_value(path, "", "resource or service backend is required"))


def _resource_reference(errors: Errors, reference: Obj, path: str) -> None:
    if reference.get("apiGroup"):
        add(errors, f"{path}.apiGroup", reference["apiGroup"], names.subdomain(reference["apiGroup"]))
    for field in ("kind", "name"):
        if not reference.get(field):
            errors.append(required(f"{path}.{field}"))
        else:
            add(errors, f"{path}.{field}", reference[field], path_segment(reference[field]))


def _service_backend(errors: Errors, service: Obj, path: str) -> None:
    name, number = service.get("name") or "", service.get("port") or {}
    if not name:
        errors.append(required(f"{path}.service.name"))
    else:
        add(errors, f"{path}.service.name", name, names.label_1035(name))
    if number.get("name") and number.get("number"):
        errors.append(invalid_value(path, "", "cannot set both port name & port number"))
    elif number.get("name"):
        add(errors, f"{path}.service.port.name", number["name"], names.port_name(number["name"]))
    elif number.get("number"):
        add(errors, f"{path}.service.port.number", number["number"], names.port_number(number["number"]))
    else:
        errors.append(required(path, "port name or number is required"))


def path_segment(value: str) -> tuple[str, ...]:
    """What may stand between two slashes of a URL."""
    if value in (".", ".."):
        return (f"may not be '{value}'",)
    return tuple(f"may not contain '{c}'" for c in ("/", "%") if c in value)


def ingress_class(errors: Errors, obj: Obj) -> None:
    metadata(errors, obj["metadata"], False, names.subdomain)
    spec = obj["spec"]
    controller = spec.get("controller") or ""
    if len(controller) > 250:
        errors.append(too_long("spec.controller", 250))
    _domain_path(errors, controller, "spec.controller")
    parameters, path = spec.get("parameters"), "spec.parameters"
    if parameters is None:
        return
    _resource_reference(errors, parameters, path)
    scope = parameters.get("scope")
    if scope not in ("Cluster", "Namespace"):
        errors.append(not_supported(f"{path}.scope", scope or "", ["Cluster", "Namespace"]))
    elif scope == "Namespace" and parameters.get("namespace") is None:
        errors.append(required(f"{path}.namespace", "`parameters.scope` is set to 'Namespace'"))
    elif scope == "Namespace":
        add(errors, f"{path}.namespace", parameters["namespace"], names.label(parameters["namespace"]))
    elif scope == "Cluster" and parameters.get("namespace") is not None:
        errors.append(forbidden_field(f"{path}.namespace", "`parameters.scope` is set to 'Cluster'"))


def _domain_path(errors: Errors, value: str, path: str) -> None:
    host, slash, rest = value.partition("/")
    if not value:
        errors.append(required(path))
    elif not slash or not host or not rest:
        errors.append(invalid_value(path, value, 'must be a domain-prefixed path (such as "acme.io/foo")'))
    else:
        add(errors, path, host, names.subdomain(host))
        add(errors, path, rest, names.http_path(rest))


def ingress_class_update(errors: Errors, new: Obj, old: Obj) -> None:
    metadata_update(errors, new["metadata"], old["metadata"])
    if new["spec"].get("controller") != old["spec"].get("controller"):
        errors.append(invalid_value("spec.controller", new["spec"].get("controller") or "", IMMUTABLE))
    ingress_class(errors, new)


def network_policy(errors: Errors, obj: Obj) -> None:
    metadata(errors, obj["metadata"], True, names.subdomain)
    spec = obj["spec"]
    label_selector(errors, spec.get("podSelector"), "spec.podSelector")
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(direction) or ()):
            path = f"spec.{direction}[{index}]"
            for number, entry in enumerate(rule.get("ports") or ()):
                _policy_port(errors, entry, f"{path}.ports[{number}]")
            for number, peer in enumerate(rule.get(peers) or ()):
                _peer(errors, peer, f"{path}.{peers}[{number}]")
    types = spec.get("policyTypes") or []
    if len(types) > 2:
        errors.append(invalid_value("spec.policyTypes", types, "may not specify more than two policyTypes"))
        return
    for index, kind in enumerate(types):
        if kind not in ("Ingress", "Egress"):
            errors.append(not_supported(f"spec.policyTypes[{index}]", kind, ["Ingress", "Egress"]))


def _policy_port(errors: Errors, entry: Obj, path: str) -> None:
    protocol, number, end = entry.get("protocol"), entry.get("port"), entry.get("endPort")
    if protocol is not None and protocol not in ("TCP", "UDP", "SCTP"):
        errors.append(not_supported(f"{path}.protocol", protocol, ["TCP", "UDP", "SCTP"]))
    if number is None:
        if end is not None:
            errors.append(invalid_value(f"{path}.endPort", end, "may not be specified when `port` is not specified"))
    elif isinstance(number, str):
        if end is not None:
            errors.append(invalid_value(f"{path}.endPort", end, "may not be specified when `port` is non-numeric"))
        port(errors, number, f"{path}.port")
    else:
        port(errors, number, f"{path}.port")
        if end is not None:
            if end < number:
                errors.append(invalid_value(f"{path}.endPort", number, "must be greater than or equal to `port`"))
            add(errors, f"{path}.endPort", end, names.port_number(end))


def _peer(errors: Errors, peer: Obj, path: str) -> None:
    for field in ("podSelector", "namespaceSelector"):
        if field in peer:
            label_selector(errors, peer[field], f"{path}.{field}")
    if "ipBlock" in peer:
        _ip_block(errors, peer["ipBlock"], f"{path}.ipBlock")
    if not peer:
        errors.append(required(path, "must specify a peer"))
    elif "ipBlock" in peer and len(peer) > 1:
        errors.append(forbidden_field(path, "may not specify both ipBlock and another peer"))


def _ip_block(errors: Errors, block: Obj, path: str) -> None:
    cidr = block.get("cidr") or ""
    if not cidr:
        errors.append(required(f"{path}.cidr"))
        return
    faults = names.cidr(cidr)
    add(errors, f"{path}.cidr", cidr, faults)
    whole = None if faults else _network(cidr)
    for index, value in enumerate(block.get("except") or ()):
        at = f"{path}.except[{index}]"
        faults = names.cidr(value)
        add(errors, at, value, faults)
        if faults or whole is None:
            continue
        part = _network(value)
        if part.version != whole.version or not part.subnet_of(whole) or part.prefixlen <= whole.prefixlen:
            errors.append(invalid_value(at, value, "must be a strict subset of `cidr`"))


def _network(cidr: str) -> Any:
    address, _, length = cidr.partition("/")
    return ipaddress.ip_network(f"{names.parse_ip(address)}/{length}", strict=False)


ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")


def endpoint_slice(errors: Errors, obj: Obj) -> None:
    metadata(errors, obj["metadata"], True, names.subdomain)
    kind = obj.get("addressType") or ""
    if not kind:
        errors.append(required("addressType"))
    elif kind not in ADDRESS_TYPES:
        errors.append(not_supported("addressType", kind, ADDRESS_TYPES))
    endpoints = obj.get("endpoints") or []
    if len(endpoints) > 1000:
        errors.append(too_many("endpoints", len(endpoints), 1000))
        endpoints = []
    for index, endpoint in enumerate(endpoints):
        _endpoint(errors, endpoint, kind, f"endpoints[{index}]")
    _slice_ports(errors, obj.get("ports") or [])


def _endpoint(errors: Errors, endpoint: Obj, kind: str, path: str) -> None:
    addresses = endpoint.get("addresses") or []
    if not addresses:
        errors.append(required(f"{path}.addresses", "must contain at least 1 address"))
    elif len(addresses) > 100:
        errors.append(too_many(f"{path}.addresses", len(addresses), 100))
    for index, address in enumerate(addresses):
        at = f"{path}.addresses[{index}]"
        if kind == "FQDN":
            add(errors, at, address, names.subdomain(address.removesuffix(".")))
            continue
        parsed = names.parse_ip(address)
        if parsed is None:
            add(errors, at, address, names.ip(address))
        elif kind in ("IPv4", "IPv6") and f"IPv{parsed.version}" != kind:
            errors.append(invalid_value(at, address, f"must be an {kind} address"))
        elif not address.startswith("127."):  # pods of this cluster live on loopback
            add(errors, at, address, special_ip(address))
    if "nodeName" in endpoint:
        add(errors, f"{path}.nodeName", endpoint["nodeName"], names.subdomain(endpoint["nodeName"]))
    for key in endpoint.get("deprecatedTopology") or ():
        label_name(errors, key, f"{path}.deprecatedTopology")
    if "hostname" in endpoint:
        add(errors, f"{path}.hostname", endpoint["hostname"], names.label(endpoint["hostname"]))


def _slice_ports(errors: Errors, ports: list[Obj]) -> None:
    if len(ports) > 20000:
        errors.append(too_many("ports", len(ports), 20000))
        return
    seen: set[str] = set()
    for index, entry in enumerate(ports):
        path, name, protocol = f"ports[{index}]", entry.get("name") or "", entry.get("protocol")
        if name:
            add(errors, f"{path}.name", name, names.label(name))
        if name in seen:
            errors.append(duplicate(f"{path}.name", name))
        seen.add(name)
        if protocol is None:
            errors.append(required(f"{path}.protocol"))
        elif protocol not in ("SCTP", "TCP", "UDP"):
            errors.append(not_supported(f"{path}.protocol", protocol, ["SCTP", "TCP", "UDP"]))
        if "appProtocol" in entry:
            label_name(errors, entry["appProtocol"], f"{path}.appProtocol")


def endpoint_slice_update(errors: Errors, new: Obj, old: Obj) -> None:
    endpoint_slice(errors, new)
    metadata_update(errors, new["metadata"], old["metadata"])
    if new.get("addressType") != old.get("addressType"):
        errors.append(invalid_value("addressType", new.get("addressType") or "", IMMUTABLE))
