"""Rules of the core group's smaller kinds: ConfigMaps, Secrets, namespaces, nodes, quotas, limit ranges, endpoints, events."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

from halab.cluster.kube.quantity import parse
from halab.cluster.kube.status import (
    duplicate,
    forbidden_field,
    invalid_value,
    not_supported,
    required,
    too_long,
)  # fmt: skip
from halab.cluster.kube.types import Obj
from halab.cluster.kube.validation import names, placement, pods, resources
from halab.cluster.kube.validation.containers import protocol
from halab.cluster.kube.validation.meta import (
    IMMUTABLE,
    Errors,
    add,
    core_finalizers,
    finalizer_is_standard,
    label_name,
    metadata,
    metadata_update,
)  # fmt: skip
from halab.cluster.kube.validation.services import special_ip

MEBIBYTE = 1024 * 1024
"""How large the data of a ConfigMap or a Secret may be."""


def _named(namespaced: bool = True, rule: Callable[[str], tuple[str, ...]] = names.subdomain) -> Callable[[Errors, Obj], None]:
    def check(errors: Errors, obj: Obj) -> None:
        metadata(errors, obj["metadata"], namespaced, rule)
        core_finalizers(errors, obj["metadata"])

    return check


plain = _named()
"""Kinds of which Kubernetes checks only the metadata: service accounts."""


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def config_map(errors: Errors, obj: Obj) -> None:
    plain(errors, obj)
    data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
    total = 0
    for key in sorted(data):
        path = f"data[{key}]"
        add(errors, path, key, names.config_key(key))
        if key in binary:
            errors.append(invalid_value(path, key, "duplicate of key present in binaryData"))
        total += _size(data[key])
    for key in sorted(binary):
        add(errors, f"binaryData[{key}]", key, names.config_key(key))
        total += len(binary[key]) * 3 // 4
    if total > MEBIBYTE:
        errors.append(too_long("[]", MEBIBYTE))


_FROZEN = "field is immutable when `immutable` is set"


def _frozen(errors: Errors, new: Obj, old: Obj, fields: tuple[str, ...]) -> None:
    if not old.get("immutable"):
        return
    if not new.get("immutable"):
        errors.append(forbidden_field("immutable", _FROZEN))
    for field in fields:
        if (new.get(field) or {}) != (old.get(field) or {}):
            errors.append(forbidden_field(field, _FROZEN))


def config_map_update(errors: Errors, new: Obj, old: Obj) -> None:
    metadata_update(errors, new["metadata"], old["metadata"])
    _frozen(errors, new, old, ("data", "binaryData"))
    config_map(errors, new)


_ACCOUNT = "kubernetes.io/service-account.name"


def secret(errors: Errors, obj: Obj) -> None:
    plain(errors, obj)
    data, kind = obj.get("data") or {}, obj.get("type") or ""
    for key in sorted(data):
        add(errors, f"data[{key}]", key, names.config_key(key))
    if sum(len(v or "") * 3 // 4 for v in data.values()) > MEBIBYTE:
        errors.append(too_long("data", MEBIBYTE))
    if kind == "kubernetes.io/service-account-token":
        if not (obj["metadata"].get("annotations") or {}).get(_ACCOUNT):
            errors.append(required(f"metadata.annotations[{_ACCOUNT}]"))
    elif kind in ("kubernetes.io/dockercfg", "kubernetes.io/dockerconfigjson"):
        _docker(errors, data, ".dockercfg" if kind.endswith("cfg") else ".dockerconfigjson")
    elif kind == "kubernetes.io/basic-auth":
        if "username" not in data and "password" not in data:
            errors += [required("data[username]"), required("data[password]")]
    elif kind == "kubernetes.io/ssh-auth":
        if not data.get("ssh-privatekey"):
            errors.append(required("data[ssh-privatekey]"))
    elif kind == "kubernetes.io/tls":
        errors += [required(f"data[{key}]") for key in ("tls.crt", "tls.key") if key not in data]


def _docker(errors: Errors, data: Obj, key: str) -> None:
    if key not in data:
        errors.append(required(f"data[{key}]"))
        return
    try:
        parsed = json.loads(base64.b64decode(data[key] or ""))
        fault = "" if isinstance(parsed, dict) else "json: cannot unmarshal value into Go value of type map[string]interface {}"
    except ValueError as error:
        position = getattr(error, "pos", -1)
        text = getattr(error, "doc", "")
        character = text[position] if 0 <= position < len(text) else ""
        fault = f"invalid character '{character}' looking for beginning of value" if character else "unexpected end of JSON input"
    if fault:
        errors.append(invalid_value(f"data[{key}]", "<secret contents redacted>", fault))


def secret_update(errors: Errors, new: Obj, old: Obj) -> None:
    metadata_update(errors, new["metadata"], old["metadata"])
    if new.get("type") != old.get("type"):
        errors.append(invalid_value("type", new.get("type") or "", IMMUTABLE))
    _frozen(errors, new, old, ("data",))
    secret(errors, new)


def namespace(errors: Errors, obj: Obj) -> None:
    metadata(errors, obj["metadata"], False, names.label)
    core_finalizers(errors, obj["metadata"])
    for name in obj["spec"].get("finalizers") or ():
        add(errors, "spec.finalizers", name, names.qualified(name))
        finalizer_is_standard(errors, name, "spec.finalizers")


def metadata_only_update(errors: Errors, new: Obj, old: Obj) -> None:
    metadata_update(errors, new["metadata"], old["metadata"])
    core_finalizers(errors, new["metadata"])


def namespace_status_update(errors: Errors, new: Obj, old: Obj) -> None:
    metadata_update(errors, new["metadata"], old["metadata"])
    phase, deleted = new["status"].get("phase") or "", "deletionTimestamp" in new["metadata"]
    if not deleted and phase != "Active":
        errors.append(invalid_value("status.Phase", phase, "may only be 'Active' if `deletionTimestamp` is empty"))
    if deleted and phase != "Terminating":
        errors.append(invalid_value("status.Phase", phase, "may only be 'Terminating' if `deletionTimestamp` is not empty"))


def namespace_finalize_update(errors: Errors, new: Obj, old: Obj) -> None:
    metadata_update(errors, new["metadata"], old["metadata"])
    for index, name in enumerate(new["spec"].get("finalizers") or ()):
        add(errors, f"spec.finalizers[{index}]", name, names.qualified(name))
        finalizer_is_standard(errors, name, f"spec.finalizers[{index}]")


def _node_resources(errors: Errors, obj: Obj) -> None:
    for field in ("capacity", "allocatable"):
        for name, text in sorted((obj["status"].get(field) or {}).items()):
            resources.amount(errors, name, text, f"status.{field}.{name}")


def node(errors: Errors, obj: Obj) -> None:
    metadata(errors, obj["metadata"], False, names.subdomain)
    core_finalizers(errors, obj["metadata"])
    placement.taints(errors, obj["spec"].get("taints") or [], "metadata.taints")
    _node_resources(errors, obj)
    for index, cidr in enumerate(obj["spec"].get("podCIDRs") or ()):
        add(errors, f"spec.podCIDRs[{index}]", cidr, names.cidr(cidr))


def node_update(errors: Errors, new: Obj, old: Obj) -> None:
    metadata_update(errors, new["metadata"], old["metadata"])
    core_finalizers(errors, new["metadata"])
    _node_resources(errors, new)
    seen: list[Obj] = []
    for index, address in enumerate(new["status"].get("addresses") or ()):
        if address in seen:
            shown = {"Type": address.get("type", ""), "Address": address.get("address", "")}
            errors.append(duplicate(f"status.addresses[{index}]", shown))
        seen.append(address)
    spec, before = new["spec"], old["spec"]
    if before.get("podCIDRs") and before["podCIDRs"] != spec.get("podCIDRs"):
        errors.append(forbidden_field("spec.podCIDRs", 'node updates may not change podCIDR except from "" to valid'))
    if before.get("providerID") and before["providerID"] != spec.get("providerID"):
        errors.append(forbidden_field("spec.providerID", 'node updates may not change providerID except from "" to valid'))
    placement.taints(errors, spec.get("taints") or [], "metadata.taints")


_POD_SCOPES = frozenset({
    "pods", "cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory", "ephemeral-storage",
    "requests.ephemeral-storage", "limits.ephemeral-storage",
})  # fmt: skip
_SCOPES = {
    "Terminating": _POD_SCOPES,
    "NotTerminating": _POD_SCOPES,
    "NotBestEffort": _POD_SCOPES,
    "PriorityClass": _POD_SCOPES,
    "CrossNamespacePodAffinity": _POD_SCOPES,
    "BestEffort": frozenset({"pods"}),
    "VolumeAttributesClass": frozenset({"persistentvolumeclaims", "requests.storage"}),
}
_CONFLICTS = (("BestEffort", "NotBestEffort"), ("NotTerminating", "Terminating"))
_EXISTS_RULE = (
    "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
    "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
)


def _amounts(errors: Errors, values: Obj | None, path: str) -> None:
    for name, text in sorted((values or {}).items()):
        resources.quota_resource(errors, name, f"{path}[{name}]")
        resources.amount(errors, name, text, f"{path}[{name}]")


def quota(errors: Errors, obj: Obj) -> None:
    plain(errors, obj)
    _quota_spec(errors, obj["spec"])


def _quota_spec(errors: Errors, spec: Obj) -> None:
    hard, scopes = spec.get("hard") or {}, spec.get("scopes") or []
    _amounts(errors, hard, "spec.hard")
    for scope in scopes:
        if scope not in _SCOPES:
            errors.append(invalid_value("spec.scopes", scopes, "unsupported scope"))
        _scope_fits(errors, scope, hard, "spec.scopes", scopes)
    _no_conflict(errors, scopes, "spec.scopes", scopes)
    selector = spec.get("scopeSelector")
    if selector is not None:
        _scope_selector(errors, selector, hard, scopes)


def _scope_fits(errors: Errors, scope: str, hard: Obj, path: str, shown: object) -> None:
    for name in sorted(hard):
        if resources.quota_name_is_standard(name) and name not in _SCOPES.get(
            scope, _SCOPES["Terminating"] if scope in _SCOPES else frozenset({name})
        ):
            errors.append(invalid_value(path, shown, "unsupported scope applied to resource"))


def _no_conflict(errors: Errors, scopes: list[str], path: str, shown: object) -> None:
    for pair in _CONFLICTS:
        if set(pair) <= set(scopes):
            errors.append(invalid_value(path, shown, "conflicting scopes"))


def _scope_selector(errors: Errors, selector: Obj, hard: Obj, scopes: list[str]) -> None:
    path = "spec.scopeSelector.matchExpressions"
    expressions = selector.get("matchExpressions") or []
    for expression in expressions:
        scope, operator, values = (
            expression.get("scopeName") or "",
            expression.get("operator") or "",
            expression.get("values") or [],
        )
        if scope not in _SCOPES:
            errors.append(invalid_value(f"{path}.scopeName", scope, "unsupported scope"))
        _scope_fits(errors, scope, hard, path, selector)
        if scope not in ("PriorityClass", "VolumeAttributesClass") and scope in _SCOPES and operator != "Exists":
            errors.append(invalid_value(f"{path}.operator", operator, _EXISTS_RULE))
        if operator in ("In", "NotIn"):
            if not values:
                detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
                errors.append(required(f"{path}.values", detail))
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
                errors.append(invalid_value(f"{path}.values", values, detail))
        else:
            errors.append(invalid_value(f"{path}.operator", operator, "not a valid selector operator"))
    _no_conflict(errors, [e.get("scopeName") or "" for e in expressions], path, scopes or None)


def quota_update(errors: Errors, new: Obj, old: Obj) -> None:
    metadata_update(errors, new["metadata"], old["metadata"])
    _quota_spec(errors, new["spec"])
    scopes = new["spec"].get("scopes") or []
    if set(scopes) != set(old["spec"].get("scopes") or ()):
        errors.append(invalid_value("spec.scopes", scopes or None, IMMUTABLE))


def quota_status_update(errors: Errors, new: Obj, old: Obj) -> None:
    metadata_update(errors, new["metadata"], old["metadata"])
    for field in ("hard", "used"):
        _amounts(errors, new["status"].get(field), f"status.{field}")


_LIMIT_TYPES = ("Pod", "Container", "PersistentVolumeClaim")


def limit_range(errors: Errors, obj: Obj) -> None:
    plain(errors, obj)
    seen: set[str] = set()
    for index, item in enumerate(obj["spec"].get("limits") or ()):
        path, kind = f"spec.limits[{index}]", item.get("type") or ""
        faults = names.qualified(kind)
        add(errors, f"{path}.type", kind, faults)
        if not faults and "/" not in kind and kind not in _LIMIT_TYPES:
            errors.append(invalid_value(f"{path}.type", kind, "must be a standard limit type or fully qualified"))
        if kind in seen:
            errors.append(duplicate(f"{path}.type", kind))
        seen.add(kind)
        _limit(errors, item, kind, path)


def _limit(errors: Errors, item: Obj, kind: str, path: str) -> None:
    rule = resources.container_resource if kind in ("Pod", "Container") else resources.resource_name

    def bag(field: str) -> Obj:
        values: Obj = item.get(field) or {}
        for name in sorted(values):
            rule(errors, name, f"{path}.{field}[{name}]")
        return values

    most, least = bag("max"), bag("min")
    default: Obj = {}
    request: Obj = {}
    if kind == "Pod":
        for field in ("default", "defaultRequest"):
            if item.get(field):
                errors.append(forbidden_field(f"{path}.{field}", "may not be specified when `type` is 'Pod'"))
    else:
        default, request = bag("default"), bag("defaultRequest")
    if kind == "PersistentVolumeClaim" and "storage" not in most and "storage" not in least:
        detail = "either minimum or maximum storage value is required, but neither was provided"
        errors.append(required(f"{path}.limits", detail))
    ratio = bag("maxLimitRequestRatio")
    for name in sorted({*most, *least, *default, *request, *ratio}):
        _limit_order(errors, name, {"min": least, "max": most, "default": default, "defaultRequest": request}, path)
        if name in ratio:
            _limit_ratio(errors, ratio[name], least.get(name), most.get(name), f"{path}.maxLimitRequestRatio[{name}]")
        if (
            not resources.may_overcommit(name)
            and name in default
            and name in request
            and parse(default[name]) != parse(request[name])
        ):
            detail = f"default value {default[name]} must equal to defaultRequest value {request[name]} in {name}"
            errors.append(invalid_value(f"{path}.defaultRequest[{name}]", request[name], detail))


_ORDER = (  # lower bag, its name in messages, higher bag, its name, bag that is blamed, bag whose value is shown
    ("min", "min value", "max", "max value", "min", "min"),
    ("min", "min value", "defaultRequest", "default request value", "defaultRequest", "defaultRequest"),
    ("defaultRequest", "default request value", "max", "max value", "defaultRequest", "defaultRequest"),
    ("defaultRequest", "default request value", "default", "default limit value", "defaultRequest", "defaultRequest"),
    ("min", "min value", "default", "default value", "default", "min"),
    ("default", "default value", "max", "max value", "default", "max"),
)


def _limit_order(errors: Errors, name: str, bags: dict[str, Obj], path: str) -> None:
    for lower, lower_text, higher, higher_text, blamed, shown in _ORDER:
        low, high = bags[lower].get(name), bags[higher].get(name)
        if low is not None and high is not None and parse(low) > parse(high):
            detail = f"{lower_text} {low} is greater than {higher_text} {high}"
            errors.append(invalid_value(f"{path}.{blamed}[{name}]", bags[shown][name], detail))


def _limit_ratio(errors: Errors, text: str, least: str | None, most: str | None, path: str) -> None:
    ratio = parse(text)
    if ratio < 1:
        errors.append(invalid_value(path, text, f"ratio {text} is less than 1"))
    if least is not None and most is not None and parse(least):
        limit = parse(most) / parse(least)
        if ratio > limit:
            errors.append(invalid_value(path, text, f"ratio {text} is greater than max/min = {float(limit):f}"))


def endpoints(errors: Errors, obj: Obj) -> None:
    plain(errors, obj)
    for index, subset in enumerate(obj.get("subsets") or ()):
        path = f"subsets[{index}]"
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            errors.append(required(path, "must specify `addresses` or `notReadyAddresses`"))
        for field in ("addresses", "notReadyAddresses"):
            for number, address in enumerate(subset.get(field) or ()):
                at, ip = f"{path}.{field}[{number}]", address.get("ip") or ""
                add(errors, f"{at}.ip", ip, names.ip(ip))
                if address.get("hostname"):
                    add(errors, f"{at}.hostname", address["hostname"], names.label(address["hostname"]))
                if "nodeName" in address:
                    add(errors, f"{at}.nodeName", address["nodeName"], names.subdomain(address["nodeName"]))
                if not _is_ours(ip):
                    add(errors, f"{at}.ip", ip, special_ip(ip))
        ports = subset.get("ports") or []
        for number, port in enumerate(ports):
            _endpoint_port(errors, port, len(ports) > 1, f"{path}.ports[{number}]")


def _is_ours(ip: str) -> bool:
    """Pods of this cluster live on loopback addresses, which Kubernetes would refuse as endpoints."""
    return ip.startswith("127.")


def _endpoint_port(errors: Errors, port: Obj, need_name: bool, path: str) -> None:
    name = port.get("name") or ""
    if name:
        add(errors, f"{path}.name", name, names.label(name))
    elif need_name:
        errors.append(required(f"{path}.name"))
    add(errors, f"{path}.port", port.get("port") or 0, names.port_number(port.get("port") or 0))
    protocol(errors, port.get("protocol") or "", f"{path}.protocol")
    if "appProtocol" in port:
        label_name(errors, port["appProtocol"], f"{path}.appProtocol")


def updated(create: Callable[[Errors, Obj], None]) -> Callable[[Errors, Obj, Obj], None]:
    """An update of which Kubernetes checks the metadata's changes and then everything as on create."""

    def check(errors: Errors, new: Obj, old: Obj) -> None:
        metadata_update(errors, new["metadata"], old["metadata"])
        create(errors, new)

    return check


def event(errors: Errors, obj: Obj) -> None:
    """A core/v1 event: written by many old clients, so little is asked of it."""
    meta = obj["metadata"]
    metadata(errors, meta, True, names.subdomain)
    involved = obj.get("involvedObject") or {}
    given = involved.get("namespace") or ""
    expected = meta.get("namespace") or ""
    if (given and given != expected) or (
        not given and involved.get("kind") not in ("Node", None) and expected not in ("", "default", "kube-system")
    ):
        errors.append(invalid_value("involvedObject.namespace", given, "does not match event.namespace"))


def pod_template_object(errors: Errors, obj: Obj) -> None:
    plain(errors, obj)
    pods.template(errors, obj["template"], "template")


def binding(errors: Errors, obj: Obj) -> None:
    target = obj.get("target") or {}
    if target.get("kind") and target["kind"] != "Node":
        errors.append(not_supported("target.kind", target["kind"], ["Node", "<empty>"]))
    if not target.get("name"):
        errors.append(required("target.name"))
