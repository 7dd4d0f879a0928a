"""Rules of probes and lifecycle hooks."""

from __future__ import annotations

from typing import Any

from halab.cluster.kube.status import forbidden_field, invalid_value, not_supported, required
from halab.cluster.kube.types import Obj
from halab.cluster.kube.validation import names
from halab.cluster.kube.validation.meta import Errors, add, not_negative

_TWO_HANDLERS = "may not specify more than 1 handler type"
_PROBE_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
_HOOK_HANDLERS = ("exec", "httpGet", "tcpSocket", "sleep")


def port(errors: Errors, value: Any, path: str) -> None:
    """A port by number or by name."""
    add(errors, path, value, names.port_name(value) if isinstance(value, str) else names.port_number(value))


def _handler(errors: Errors, holder: Obj, kinds: tuple[str, ...], grace: int | None, path: str) -> None:
    found = False
    for kind in kinds:
        if kind not in holder:
            continue
        at, handler = f"{path}.{kind}", holder[kind]
        if found:
            errors.append(forbidden_field(at, _TWO_HANDLERS))
            continue
        found = True
        if kind == "exec":
            if not handler.get("command"):
                errors.append(required(f"{at}.command"))
        elif kind == "httpGet":
            _http_get(errors, handler, at)
        elif kind in ("tcpSocket", "grpc"):
            port(errors, handler["port"], f"{at}.port")
        elif grace is not None and not 0 <= handler["seconds"] <= grace:
            detail = f"must be non-negative and less than terminationGracePeriodSeconds ({grace})"
            errors.append(invalid_value(at, handler["seconds"], detail))
    if not found:
        errors.append(required(path, "must specify a handler type"))


def _http_get(errors: Errors, get: Obj, path: str) -> None:
    if not get.get("path"):
        errors.append(required(f"{path}.path"))
    port(errors, get["port"], f"{path}.port")
    if get.get("scheme") not in ("HTTP", "HTTPS"):
        errors.append(not_supported(f"{path}.scheme", get.get("scheme") or "", ["HTTP", "HTTPS"]))
    for header in get.get("httpHeaders") or ():
        add(errors, f"{path}.httpHeaders", header.get("name") or "", names.http_header(header.get("name") or ""))


def _probe(errors: Errors, probe: Obj, grace: int | None, path: str) -> None:
    _handler(errors, probe, _PROBE_HANDLERS, grace, path)
    for name in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"):
        not_negative(errors, probe.get(name), f"{path}.{name}")
    own = probe.get("terminationGracePeriodSeconds")
    if own is not None and own <= 0:
        errors.append(invalid_value(f"{path}.terminationGracePeriodSeconds", own, "must be greater than 0"))


def probes(errors: Errors, container: Obj, grace: int | None, path: str) -> None:
    """The three probes of a container; only readiness may need several successes."""
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(name)
        if probe is None:
            continue
        at = f"{path}.{name}"
        _probe(errors, probe, grace, at)
        if name == "readinessProbe":
            if "terminationGracePeriodSeconds" in probe:
                value = probe["terminationGracePeriodSeconds"]
                errors.append(invalid_value(f"{at}.terminationGracePeriodSeconds", value, "must not be set for readinessProbes"))
        elif probe.get("successThreshold", 1) != 1:
            errors.append(invalid_value(f"{at}.successThreshold", probe["successThreshold"], "must be 1"))


def lifecycle(errors: Errors, hooks: Obj, grace: int | None, path: str) -> None:
    for name in ("postStart", "preStop"):
        if name in hooks:
            _handler(errors, hooks[name], _HOOK_HANDLERS, grace, f"{path}.{name}")
