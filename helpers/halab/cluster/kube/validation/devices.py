"""resource.k8s.io: device classes, claims of devices, and the slices in which drivers publish what they have."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import orjson

from halab.cluster.kube.cel.engine import CompileError, compile_expression
from halab.cluster.kube.status import duplicate, forbidden_field, invalid_value, not_supported, required, too_long, too_many
from halab.cluster.kube.types import Obj
from halab.cluster.kube.validation import names
from halab.cluster.kube.validation.meta import Errors, add, immutable, metadata, metadata_update
from halab.cluster.kube.validation.placement import node_selector

_MOST = 32  # requests of a claim, constraints, configurations, selectors
_MOST_ALTERNATIVES = 8
_MOST_DEVICES = 128
_PARAMETERS = 10 * 1024
_EXPRESSION = 10 * 1024
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SEMVER = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(-(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*)?(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?"
)
Rule = Callable[[Errors, Obj, str], None]


def _each(errors: Errors, values: Sequence[Obj] | None, most: int, rule: Rule, path: str, key: str = "") -> None:
    """``rule`` of every value; at most ``most``, and no two alike in ``key``."""
    values = values or ()
    if len(values) > most:
        errors.append(too_many(path, len(values), most))
    seen: set[str] = set()
    for index, value in enumerate(values):
        at = f"{path}[{index}]"
        if key and value.get(key) in seen:
            errors.append(duplicate(at, value.get(key) or ""))
        else:
            rule(errors, value, at)
        seen.add(value.get(key) or "")


def _driver(errors: Errors, name: str, path: str) -> None:
    if not name:
        errors.append(required(path))
        return
    if len(name) > 63:
        errors.append(too_long(path, 63))
    add(errors, path, name, names.subdomain(name.lower()))


def _selector(errors: Errors, selector: Obj, path: str) -> None:
    expression = (selector.get("cel") or {}).get("expression") or ""
    if selector.get("cel") is None:
        errors.append(required(f"{path}.cel"))
    elif len(expression) > _EXPRESSION:
        errors.append(too_long(f"{path}.cel.expression", _EXPRESSION))
    elif fault := _compilation_fault(expression):
        errors.append(invalid_value(f"{path}.cel.expression", expression, fault))


def _compilation_fault(expression: str) -> str:
    try:
        compile_expression(expression, (("device", "dyn"),))
    except CompileError as error:
        return str(error)
    return ""


def _configuration(errors: Errors, config: Obj, path: str) -> None:
    opaque = config.get("opaque")
    if opaque is None:
        errors.append(required(f"{path}.opaque"))
        return
    _driver(errors, opaque.get("driver") or "", f"{path}.opaque.driver")
    parameters = opaque.get("parameters")
    if parameters is None:
        errors.append(required(f"{path}.opaque.parameters"))
    elif not isinstance(parameters, dict):
        errors.append(invalid_value(f"{path}.opaque.parameters", "<value omitted>", "must be a valid JSON object"))
    elif len(orjson.dumps(parameters)) > _PARAMETERS:
        errors.append(too_long(f"{path}.opaque.parameters", _PARAMETERS))


def device_class(errors: Errors, obj: Obj) -> None:
    metadata(errors, obj["metadata"], False, names.subdomain)
    spec = obj["spec"]
    _each(errors, spec.get("selectors"), _MOST, _selector, "spec.selectors")
    _each(errors, spec.get("config"), _MOST, _configuration, "spec.config")


def claim(errors: Errors, obj: Obj) -> None:
    metadata(errors, obj["metadata"], True, names.subdomain)
    _devices(errors, obj["spec"].get("devices") or {}, "spec.devices")


def claim_update(errors: Errors, new: Obj, old: Obj) -> None:
    metadata_update(errors, new["metadata"], old["metadata"])
    immutable(errors, new["spec"], old["spec"], "spec")


def template(errors: Errors, obj: Obj) -> None:
    metadata(errors, obj["metadata"], True, names.subdomain)
    _devices(errors, obj["spec"]["spec"].get("devices") or {}, "spec.spec.devices")


def template_update(errors: Errors, new: Obj, old: Obj) -> None:
    metadata_update(errors, new["metadata"], old["metadata"])
    immutable(errors, new["spec"], old["spec"], "spec")


def _devices(errors: Errors, devices: Obj, path: str) -> None:
    known: set[str] = set()
    for request in devices.get("requests") or ():
        name = request.get("name") or ""
        known.add(name)
        known |= {f"{name}/{each.get('name') or ''}" for each in request.get("firstAvailable") or ()}

    def constraint(errors: Errors, given: Obj, at: str) -> None:
        _references(errors, given.get("requests"), known, f"{at}.requests")
        attribute = given.get("matchAttribute")
        if attribute is None:
            errors.append(required(f"{at}.matchAttribute"))
        else:
            _qualified(errors, attribute, f"{at}.matchAttribute", whole=True)

    def configuration(errors: Errors, given: Obj, at: str) -> None:
        _references(errors, given.get("requests"), known, f"{at}.requests")
        _configuration(errors, given, at)

    _each(errors, devices.get("requests"), _MOST, _request, f"{path}.requests", "name")
    _each(errors, devices.get("constraints"), _MOST, constraint, f"{path}.constraints")
    _each(errors, devices.get("config"), _MOST, configuration, f"{path}.config")


def _references(errors: Errors, given: Sequence[str] | None, known: set[str], path: str) -> None:
    given = given or ()
    for index, name in enumerate(given):
        at = f"{path}[{index}]"
        if name in given[:index]:
            errors.append(duplicate(at, name))
            continue
        parts = name.split("/")
        if len(parts) <= 2:
            for part in parts:
                add(errors, at, part, names.label(part))
        if name not in known:
            detail = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"
            errors.append(invalid_value(at, name, detail))


def _request(errors: Errors, request: Obj, path: str) -> None:
    add(errors, f"{path}.name", request.get("name") or "", names.label(request.get("name") or ""))
    exactly, alternatives = request.get("exactly"), request.get("firstAvailable")
    either = "exactly one of `exactly` or `firstAvailable` is required"
    if exactly is None and not alternatives:
        errors.append(required(path, either))
    elif exactly is not None and alternatives:
        errors.append(invalid_value(path, None, f"{either}, but multiple fields are set"))
    elif exactly is not None:
        _wanted(errors, exactly, f"{path}.exactly")
    else:
        _each(errors, alternatives, _MOST_ALTERNATIVES, _alternative, f"{path}.firstAvailable", "name")


def _alternative(errors: Errors, request: Obj, path: str) -> None:
    add(errors, f"{path}.name", request.get("name") or "", names.label(request.get("name") or ""))
    _wanted(errors, request, path)


def _wanted(errors: Errors, request: Obj, path: str) -> None:
    name = request.get("deviceClassName") or ""
    if not name:
        errors.append(required(f"{path}.deviceClassName"))
    else:
        add(errors, f"{path}.deviceClassName", name, names.subdomain(name))
    _each(errors, request.get("selectors"), _MOST, _selector, f"{path}.selectors")
    mode, count = request.get("allocationMode") or "", request.get("count") or 0
    if mode == "All":
        if count:
            errors.append(invalid_value(f"{path}.count", count, "must not be specified when allocationMode is 'All'"))
    elif mode == "ExactCount":
        if count <= 0:
            errors.append(invalid_value(f"{path}.count", count, "must be greater than zero"))
    else:
        errors.append(not_supported(f"{path}.allocationMode", mode, ["All", "ExactCount"]))


def claim_status_update(errors: Errors, new: Obj, old: Obj) -> None:
    metadata_update(errors, new["metadata"], old["metadata"])
    status, before = new.get("status") or {}, old.get("status") or {}
    _each(errors, status.get("reservedFor"), 256, _consumer, "status.reservedFor", "uid")
    if status.get("reservedFor") and "allocation" not in status:
        errors.append(forbidden_field("status.reservedFor", "may not be specified when `allocated` is not set"))
    if "allocation" in before and "allocation" in status:
        immutable(errors, status["allocation"], before["allocation"], "status.allocation")


def _consumer(errors: Errors, consumer: Obj, path: str) -> None:
    for name in ("resource", "name", "uid"):
        if not consumer.get(name):
            errors.append(required(f"{path}.{name}"))


def resource_slice(errors: Errors, obj: Obj) -> None:
    metadata(errors, obj["metadata"], False, names.subdomain)
    _slice(errors, obj["spec"])


def slice_update(errors: Errors, new: Obj, old: Obj) -> None:
    metadata_update(errors, new["metadata"], old["metadata"])
    _slice(errors, new["spec"])
    for name, was, now in (
        ("driver", old["spec"].get("driver"), new["spec"].get("driver")),
        ("pool.name", old["spec"]["pool"].get("name"), new["spec"]["pool"].get("name")),
        ("nodeName", old["spec"].get("nodeName"), new["spec"].get("nodeName")),
    ):
        immutable(errors, now, was, f"spec.{name}")


def _slice(errors: Errors, spec: Obj) -> None:
    chosen = [f"`{name}`" for name in ("nodeName", "nodeSelector", "allNodes") if spec.get(name)]
    if spec.get("nodeName") == "":
        errors.append(invalid_value("spec.nodeName", "", "must be either unset or set to a non-empty string"))
    elif spec.get("nodeName"):
        add(errors, "spec.nodeName", spec["nodeName"], names.subdomain(spec["nodeName"]))
    if spec.get("nodeSelector"):
        node_selector(errors, spec["nodeSelector"], "spec.nodeSelector")
        if len(spec["nodeSelector"].get("nodeSelectorTerms") or ()) > 1:
            errors.append(
                invalid_value("spec.nodeSelector.nodeSelectorTerms", spec["nodeSelector"]["nodeSelectorTerms"], "must have exactly one node selector term")
            )  # fmt: skip
    one = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
    if not chosen:
        errors.append(required("spec", one))
    elif len(chosen) > 1:
        errors.append(invalid_value("spec", f"{{{', '.join(chosen)}}}", one))
    _driver(errors, spec.get("driver") or "", "spec.driver")
    pool = spec["pool"]
    if not pool.get("name"):
        errors.append(required("spec.pool.name"))
    for part in (pool.get("name") or "").split("/") if pool.get("name") else ():
        add(errors, "spec.pool.name", part, names.subdomain(part))
    if (pool.get("resourceSliceCount") or 0) <= 0:
        errors.append(
            invalid_value("spec.pool.resourceSliceCount", pool.get("resourceSliceCount") or 0, "must be greater than zero")
        )
    if (pool.get("generation") or 0) < 0:
        errors.append(invalid_value("spec.pool.generation", pool["generation"], "must be greater than or equal to zero"))
    _each(errors, spec.get("devices"), _MOST_DEVICES, _device, "spec.devices", "name")


def _device(errors: Errors, device: Obj, path: str) -> None:
    add(errors, f"{path}.name", device.get("name") or "", names.label(device.get("name") or ""))
    attributes, capacity = device.get("attributes") or {}, device.get("capacity") or {}
    if len(attributes) + len(capacity) > _MOST:
        detail = f"the total number of attributes and capacities must not exceed {_MOST}"
        errors.append(invalid_value(path, len(attributes) + len(capacity), detail))
    for name in sorted(attributes):
        _qualified(errors, name, f"{path}.attributes[{name}]")
        _attribute(errors, attributes[name], f"{path}.attributes[{name}]")
    for name in sorted(capacity):
        _qualified(errors, name, f"{path}.capacity[{name}]")


def _attribute(errors: Errors, value: Obj, path: str) -> None:
    given = [name for name in ("bool", "int", "string", "version") if name in value]
    for name in ("string", "version"):
        text = value.get(name)
        if text is None:
            continue
        if name == "version" and not _SEMVER.fullmatch(text):
            errors.append(invalid_value(f"{path}.version", text, "must be a string compatible with semver.org spec 2.0.0"))
        if len(text) > 64:
            errors.append(too_long(f"{path}.{name}", 64))
    if not given:
        errors.append(required(path, "exactly one value must be specified"))
    elif len(given) > 1:
        errors.append(invalid_value(path, value, "exactly one value must be specified"))


def _qualified(errors: Errors, name: str, path: str, whole: bool = False) -> None:
    """A name in a driver's domain, ``domain/id``; within the driver's own slices the domain may be left out."""
    domain, slash, identifier = name.rpartition("/")
    if not name:
        errors.append(required(path, "name required"))
        return
    if whole and not slash:
        errors.append(invalid_value(path, name, "must include a domain"))
    if slash and not domain:
        errors.append(required(path, "the domain must not be empty"))
    elif domain:
        if len(domain) > 63:
            errors.append(too_long(path, 63))
        add(errors, path, domain, names.subdomain(domain))
    if not identifier:
        errors.append(required(path, "the name must not be empty"))
    elif len(identifier) > 32:
        errors.append(too_long(path, 32))
    elif not _IDENTIFIER.fullmatch(identifier):
        detail = "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_' " \
            "(e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is '[A-Za-z_][A-Za-z0-9_]*')"  # fmt: skip
        errors.append(invalid_value(path, identifier, detail))
