"""Addresses of Services as objects, and APIServices: IPAddress, ServiceCIDR, APIService."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from halab.cluster.kube.status import invalid_value, not_supported, required
from halab.cluster.kube.types import Obj
from halab.cluster.kube.validation import names
from halab.cluster.kube.validation.meta import Errors, add, immutable, metadata, metadata_update
from halab.cluster.kube.validation.networking import path_segment


def _address_name(name: str) -> Sequence[str]:
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return [f'ParseAddr("{name}"): unable to parse IP']
    return () if str(address) == name else ["must be a canonical format IP address"]


def ip_address(errors: Errors, obj: Obj) -> None:
    metadata(errors, obj["metadata"], False, _address_name)
    parent = obj["spec"].get("parentRef")
    path = "spec.parentRef"
    if parent is None:
        errors.append(required(path))
        return
    group = parent.get("group") or ""
    if group:
        add(errors, f"{path}.group", group, names.subdomain(group))
    for field in ("resource", "name", "namespace"):
        value = parent.get(field) or ""
        if value:
            add(errors, f"{path}.{field}", value, path_segment(value))
        elif field != "namespace":
            errors.append(required(f"{path}.{field}"))


def ip_address_update(errors: Errors, new: Obj, old: Obj) -> None:
    metadata_update(errors, new["metadata"], old["metadata"])
    immutable(errors, new["spec"].get("parentRef"), old["spec"].get("parentRef"), "spec.parentRef")


def service_cidr(errors: Errors, obj: Obj) -> None:
    metadata(errors, obj["metadata"], False, names.subdomain)
    cidrs = obj["spec"].get("cidrs") or []
    if not cidrs:
        errors.append(required("spec.cidrs", "at least one CIDR required"))
    elif len(cidrs) > 2:
        errors.append(invalid_value("spec.cidrs", obj["spec"], "may only hold up to 2 values"))
    elif len(cidrs) == 2 and len({":" in cidr for cidr in cidrs if not names.cidr(cidr)}) < 2:
        detail = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"
        errors.append(invalid_value("spec.cidrs", obj["spec"], detail))
    else:
        for index, cidr in enumerate(cidrs):
            add(errors, f"spec.cidrs[{index}]", cidr, names.cidr(cidr))


def service_cidr_update(errors: Errors, new: Obj, old: Obj) -> None:
    metadata_update(errors, new["metadata"], old["metadata"])
    immutable(errors, new["spec"].get("cidrs"), old["spec"].get("cidrs"), "spec.cidrs")


def api_service(errors: Errors, obj: Obj) -> None:
    spec = obj["spec"]
    group, version = spec.get("group") or "", spec.get("version") or ""

    def name_rule(name: str) -> Sequence[str]:
        wanted = f"{version}.{group}"
        return path_segment(name) or (() if name == wanted else [f'must be `spec.version+"."+spec.group`: "{wanted}"'])

    metadata(errors, obj["metadata"], False, name_rule)
    if not group and version != "v1":
        errors.append(required("spec.group", "only v1 may have an empty group and it better be legacy kube"))
    if group:
        add(errors, "spec.group", group, names.subdomain(group))
    add(errors, "spec.version", version, names.label_1035(version))
    for field, most in (("groupPriorityMinimum", 20000), ("versionPriority", 1000)):
        value = spec.get(field) or 0
        if not 0 < value <= most:
            errors.append(invalid_value(f"spec.{field}", value, f"must be positive and less than {most}"))
    _service(errors, spec)


def _service(errors: Errors, spec: Obj) -> None:
    service, bundle, insecure = spec.get("service"), spec.get("caBundle"), bool(spec.get("insecureSkipTLSVerify"))
    if service is None:
        if bundle:
            size = len(bundle) * 3 // 4 - bundle.count("=")
            errors.append(invalid_value("spec.caBundle", f"{size} bytes", "local APIServices may not have a caBundle"))
        if insecure:
            detail = "local APIServices may not have insecureSkipTLSVerify"
            errors.append(invalid_value("spec.insecureSkipTLSVerify", insecure, detail))
        return
    for field in ("namespace", "name"):
        if not service.get(field):
            errors.append(required(f"spec.service.{field}"))
    port = service.get("port") or 0
    if faults := names.port_number(port):
        errors.append(invalid_value("spec.service.port", port, "port is not valid: " + ", ".join(faults)))
    if insecure and bundle:
        errors.append(invalid_value("spec.insecureSkipTLSVerify", insecure, "may not be true if caBundle is present"))


def api_service_update(errors: Errors, new: Obj, old: Obj) -> None:
    metadata_update(errors, new["metadata"], old["metadata"])
    api_service(errors, new)


def api_service_status_update(errors: Errors, new: Obj, old: Obj) -> None:
    metadata_update(errors, new["metadata"], old["metadata"])
    for index, condition in enumerate((new.get("status") or {}).get("conditions") or ()):
        if condition.get("status") not in ("True", "False", "Unknown"):
            path = f"status.conditions[{index}].status"
            errors.append(not_supported(path, condition.get("status") or "", ["True", "False", "Unknown"]))
