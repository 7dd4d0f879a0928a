"""Rules of Services, and of what may change in one."""

from __future__ import annotations

import ipaddress

from halab.cluster.kube.status import duplicate, forbidden_field, invalid_value, not_supported, required
from halab.cluster.kube.types import Obj
from halab.cluster.kube.validation import names
from halab.cluster.kube.validation.containers import protocol
from halab.cluster.kube.validation.handlers import port
from halab.cluster.kube.validation.meta import Errors, add, core_finalizers, label_name, labels, metadata, metadata_update

TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
AFFINITIES = ("ClientIP", "None")
DAY = 86400
_SOURCE_RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"
_DISTRIBUTIONS = ("PreferClose", "PreferSameNode", "PreferSameZone")


def is_headless(spec: Obj) -> bool:
    return spec.get("clusterIPs") == ["None"]


def service(errors: Errors, obj: Obj) -> None:
    metadata(errors, obj["metadata"], True, names.label_1035)
    core_finalizers(errors, obj["metadata"])
    spec = obj["spec"]
    kind, ports, headless = spec.get("type") or "", spec.get("ports") or [], is_headless(spec)
    if not ports and not headless and kind != "ExternalName":
        errors.append(required("spec.ports"))
    if kind in ("LoadBalancer", "NodePort") and headless:
        errors.append(invalid_value("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services"))
    if kind == "ExternalName":
        _external_name(errors, spec)
    seen: set[str] = set()
    for index, entry in enumerate(ports):
        _port(errors, entry, len(ports) > 1, seen, f"spec.ports[{index}]")
    labels(errors, spec.get("selector"), "spec.selector")
    _affinity(errors, spec)
    if kind != "ExternalName":
        cluster_ips(errors, spec)
    for index, value in enumerate(spec.get("externalIPs") or ()):
        faults = names.ip(value)
        add(errors, f"spec.externalIPs[{index}]", value, faults or special_ip(value))
    if not kind:
        errors.append(required("spec.type"))
    elif kind not in TYPES:
        errors.append(not_supported("spec.type", kind, TYPES))
    _port_numbers(errors, ports, kind)
    _load_balancer(errors, obj, kind)
    _traffic(errors, spec, kind)


def _external_name(errors: Errors, spec: Obj) -> None:
    for field in ("clusterIPs", "ipFamilies", "ipFamilyPolicy"):
        if spec.get(field):
            errors.append(forbidden_field(f"spec.{field}", "may not be set for ExternalName services"))
    name = (spec.get("externalName") or "").removesuffix(".")
    if not name:
        errors.append(required("spec.externalName"))
    else:
        add(errors, "spec.externalName", name, names.subdomain(name))


def _port(errors: Errors, entry: Obj, need_name: bool, seen: set[str], path: str) -> None:
    name = entry.get("name") or ""
    if name:
        add(errors, f"{path}.name", name, names.label(name))
        if name in seen:
            errors.append(duplicate(f"{path}.name", name))
        seen.add(name)
    elif need_name:
        errors.append(required(f"{path}.name"))
    number = entry.get("port") or 0
    add(errors, f"{path}.port", number, names.port_number(number))
    protocol(errors, entry.get("protocol") or "", f"{path}.protocol")
    port(errors, entry.get("targetPort", 0), f"{path}.targetPort")
    if "appProtocol" in entry:
        label_name(errors, entry["appProtocol"], f"{path}.appProtocol")


def _affinity(errors: Errors, spec: Obj) -> None:
    affinity, config = spec.get("sessionAffinity") or "", spec.get("sessionAffinityConfig")
    path = "spec.sessionAffinityConfig"
    if not affinity:
        errors.append(required("spec.sessionAffinity"))
    elif affinity not in AFFINITIES:
        errors.append(not_supported("spec.sessionAffinity", affinity, AFFINITIES))
    if affinity == "ClientIP":
        seconds = ((config or {}).get("clientIP") or {}).get("timeoutSeconds")
        if config is None:
            errors.append(required(path, "when session affinity type is ClientIP"))
        elif "clientIP" not in config:
            errors.append(required(f"{path}.clientIP", "when session affinity type is ClientIP"))
        elif seconds is None:
            errors.append(required(f"{path}.clientIP.timeoutSeconds", "when session affinity type is ClientIP"))
        elif not 0 < seconds <= DAY:
            errors.append(
                invalid_value(f"{path}.clientIP.timeoutSeconds", seconds, f"must be greater than 0 and less than {DAY}")
            )
    elif affinity == "None" and config is not None:
        errors.append(forbidden_field(path, "must not be set when session affinity is None"))


def cluster_ips(errors: Errors, spec: Obj) -> None:
    """``clusterIP``, ``clusterIPs``, ``ipFamilies`` and ``ipFamilyPolicy`` agree with each other."""
    one, many, path = spec.get("clusterIP") or "", spec.get("clusterIPs") or [], "spec.clusterIPs"
    if one and not many:
        errors.append(required(path))
    elif one and many[0] != one:
        errors.append(invalid_value(path, many, "first value must match `clusterIP`"))
    elif not one and many:
        errors.append(invalid_value(path, many, "must be empty when `clusterIP` is not specified"))
    seen: set[str] = set()
    for index, family in enumerate(spec.get("ipFamilies") or ()):
        if family not in ("IPv4", "IPv6"):
            errors.append(not_supported(f"spec.ipFamilies[{index}]", family, ["IPv4", "IPv6"]))
        if family in seen:
            errors.append(duplicate(f"spec.ipFamilies[{index}]", family))
        seen.add(family)
    policies = ("PreferDualStack", "RequireDualStack", "SingleStack")
    if "ipFamilyPolicy" in spec and spec["ipFamilyPolicy"] not in policies:
        errors.append(not_supported("spec.ipFamilyPolicy", spec["ipFamilyPolicy"], policies))
    bad = False
    for index, value in enumerate(many):
        if index == 0 and value == "None":
            if len(many) > 1:
                bad = True
                errors.append(invalid_value(path, many, "'None' must be the first and only value"))
            continue
        faults = names.ip(value)
        bad = bad or bool(faults)
        add(errors, f"{path}[{index}]", value, faults)
    if len(many) > 2:
        errors.append(invalid_value(path, many, "may only hold up to 2 values"))
    if bad:
        return
    versions = [getattr(names.parse_ip(v), "version", 0) for v in many]
    if len(many) > 1 and len(set(versions)) < 2:
        errors.append(invalid_value(path, many, "may specify no more than one IP for each IP family"))
    if not is_headless(spec):
        for index, (version, family) in enumerate(zip(versions, spec.get("ipFamilies") or (), strict=False)):
            if f"IPv{version}" != family:
                article = f"an {family} value as indicated by `ipFamilies[{index}]`"
                errors.append(invalid_value(f"{path}[{index}]", many[index], f"expected {article}"))


def special_ip(value: str) -> tuple[str, ...]:
    """Addresses that nobody may claim for a service or an endpoint."""
    address = names.parse_ip(value)
    if address is None:
        return ("must be a valid IP address",)
    faults = []
    if address.is_unspecified:
        faults.append(f"may not be unspecified ({value})")
    if address.is_loopback:
        faults.append("may not be in the loopback range (127.0.0.0/8, ::1/128)")
    if address.is_link_local:
        faults.append("may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    if _link_local_multicast(address):
        faults.append("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")
    return tuple(faults)


def _link_local_multicast(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return address in ipaddress.ip_network("224.0.0.0/24" if address.version == 4 else "ff02::/16")


def _port_numbers(errors: Errors, ports: list[Obj], kind: str) -> None:
    if kind == "ClusterIP":
        for index, entry in enumerate(ports):
            if entry.get("nodePort"):
                errors.append(forbidden_field(f"spec.ports[{index}].nodePort", "may not be used when `type` is 'ClusterIP'"))
    seen: set[tuple[str, int]] = set()
    for index, entry in enumerate(ports):
        number = entry.get("nodePort") or 0
        if number and (entry.get("protocol") or "", number) in seen:
            errors.append(duplicate(f"spec.ports[{index}].nodePort", number))
        seen.add((entry.get("protocol") or "", number))
    taken: set[tuple[str, int]] = set()
    for index, entry in enumerate(ports):
        key = (entry.get("protocol") or "", entry.get("port") or 0)
        if key in taken:
            shown = {"Name": "", "Protocol": key[0], "AppProtocol": None, "Port": key[1], "TargetPort": 0, "NodePort": 0}
            errors.append(duplicate(f"spec.ports[{index}]", shown))
        taken.add(key)


def _load_balancer(errors: Errors, obj: Obj, kind: str) -> None:
    spec, only = obj["spec"], "may only be used when `type` is 'LoadBalancer'"
    ranges = spec.get("loadBalancerSourceRanges")
    if ranges:
        if kind != "LoadBalancer":
            errors.append(forbidden_field("spec.LoadBalancerSourceRanges", only))
        for index, value in enumerate(ranges):
            add(errors, f"spec.LoadBalancerSourceRanges[{index}]", value.strip(), names.cidr(value.strip()))
    elif _SOURCE_RANGES in (obj["metadata"].get("annotations") or {}) and kind != "LoadBalancer":
        errors.append(forbidden_field(f"metadata.annotations[{_SOURCE_RANGES}]", only))
    if "allocateLoadBalancerNodePorts" in spec and kind != "LoadBalancer":
        errors.append(forbidden_field("spec.allocateLoadBalancerNodePorts", only))
    if "loadBalancerClass" in spec:
        if kind == "LoadBalancer":
            label_name(errors, spec["loadBalancerClass"], "spec.loadBalancerClass")
        else:
            errors.append(forbidden_field("spec.loadBalancerClass", only))


def _traffic(errors: Errors, spec: Obj, kind: str) -> None:
    external = spec.get("externalTrafficPolicy") or ""
    path = "spec.externalTrafficPolicy"
    if kind in ("NodePort", "LoadBalancer") or (kind == "ClusterIP" and spec.get("externalIPs")):
        if not external:
            if kind != "ClusterIP":
                errors.append(required(path))
        elif external not in ("Cluster", "Local"):
            errors.append(not_supported(path, external, ["Cluster", "Local"]))
    elif external:
        errors.append(invalid_value(path, external, "may only be set for externally-accessible services"))
    if spec.get("healthCheckNodePort") and not (kind == "LoadBalancer" and external == "Local"):
        detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        errors.append(invalid_value("spec.healthCheckNodePort", spec["healthCheckNodePort"], detail))
    internal = spec.get("internalTrafficPolicy")
    if internal is None:
        if kind in ("NodePort", "LoadBalancer", "ClusterIP"):
            errors.append(required("spec.internalTrafficPolicy"))
    elif internal not in ("Cluster", "Local"):
        errors.append(not_supported("spec.internalTrafficPolicy", internal, ["Cluster", "Local"]))
    distribution = spec.get("trafficDistribution")
    if distribution is not None and distribution not in _DISTRIBUTIONS:
        errors.append(not_supported("spec.trafficDistribution", distribution, _DISTRIBUTIONS))


def service_update(errors: Errors, new: Obj, old: Obj) -> None:
    metadata_update(errors, new["metadata"], old["metadata"])
    spec, before = new["spec"], old["spec"]
    if "ExternalName" not in (spec.get("type"), before.get("type")):
        _cluster_ip_changes(errors, spec, before)
        _family_changes(errors, spec, before)
    if spec.get("type") == before.get("type") == "LoadBalancer" and spec.get("loadBalancerClass") != before.get(
        "loadBalancerClass"
    ):
        errors.append(invalid_value("spec.loadBalancerClass", spec.get("loadBalancerClass"), "may not change once set"))
    service(errors, new)


_ONCE = "may not change once set"


def _cluster_ip_changes(errors: Errors, spec: Obj, before: Obj) -> None:
    if is_headless(spec) and is_headless(before):
        return
    now, was = spec.get("clusterIPs") or [], before.get("clusterIPs") or []
    if len(now) == len(was):
        for index, value in enumerate(was):
            if value != now[index]:
                errors.append(invalid_value(f"spec.clusterIPs[{index}]", now, _ONCE))
        return
    if not now:
        errors.append(invalid_value("spec.clusterIPs[0]", spec.get("clusterIPs"), "primary clusterIP can not be unset"))
    elif was and now[0] != was[0]:
        errors.append(invalid_value("spec.clusterIPs[0]", now, _ONCE))
    if len(was) > len(now) == 1 and spec.get("ipFamilyPolicy") != "SingleStack":
        detail = "must be set to 'SingleStack' when releasing the secondary clusterIP"
        errors.append(invalid_value("spec.ipFamilyPolicy", spec.get("ipFamilyPolicy"), detail))


def _family_changes(errors: Errors, spec: Obj, before: Obj) -> None:
    if is_headless(spec) or is_headless(before):
        return
    now, was = spec.get("ipFamilies") or [], before.get("ipFamilies") or []
    if now and was and now[0] != was[0]:
        errors.append(invalid_value("spec.ipFamilies[0]", now, _ONCE))
    if len(was) > len(now) == 1 and spec.get("ipFamilyPolicy") != "SingleStack":
        detail = "must be set to 'SingleStack' when releasing the secondary ipFamily"
        errors.append(invalid_value("spec.ipFamilyPolicy", spec.get("ipFamilyPolicy"), detail))
