"""Rules of the core group's smaller kinds: ConfigMaps, Secrets, namespaces, nodes, endpoints, events."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

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
