"""What an HTTPRoute's rule does with a request: filters, backends by weight, time-outs, retries."""

from __future__ import annotations

import re
from typing import Any

from halab.cluster.dataplane.envoy import faults
from halab.cluster.dataplane.envoy.routes import reply
from halab.cluster.dataplane.envoy.types import seconds
from halab.cluster.dataplane.model import Backend, Fault
from halab.cluster.dataplane.targets import Targets
from halab.cluster.kube.types import Obj

Problem = tuple[str, str]  # reason and message of ResolvedRefs False

_CODES = {301: "MOVED_PERMANENTLY", 302: "FOUND", 303: "SEE_OTHER", 307: "TEMPORARY_REDIRECT", 308: "PERMANENT_REDIRECT"}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s)")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def duration(text: str) -> float:
    """Seconds of a Gateway API duration ("1h30m", "250ms")."""
    return sum(float(number) * _UNITS[unit] for number, unit in _DURATION.findall(text))


def action_of(namespace: str, rule: Obj, match: Obj, targets: Targets) -> tuple[Obj, Fault | None, Problem | None]:
    """The part of the Envoy route beside its match, the fault of a sole backend, and what is wrong with the rule's references."""
    filters = rule.get("filters") or []
    headers = _headers(filters)
    for each in filters:
        if each["type"] == "RequestRedirect":
            return {"redirect": _redirect(each["requestRedirect"], match, targets), **headers}, None, None
    chosen, problem = _chosen(namespace, rule.get("backendRefs") or (), targets)
    total = sum(weight for weight, _, _ in chosen)
    if not total:
        return reply(500, "500 Internal Server Error: the rule has no valid backend"), None, problem
    route: Obj = {"timeout": "0s"}
    fault = None
    if len(chosen) == 1:
        _, backend, reference = chosen[0]
        if backend is None:
            return reply(500, "500 Internal Server Error: the rule's backend does not exist"), None, problem
        route["cluster"] = targets.cluster(backend)
        fault = backend.fault
        headers = _merged(headers, _headers(reference.get("filters") or []))
    else:
        route["weighted_clusters"] = {
            "clusters": [_weighted(weight, backend, ref, targets) for weight, backend, ref in chosen if weight]
        }
    _timeouts(route, rule)
    for each in filters:
        if each["type"] == "URLRewrite":
            route.update(_rewrite(each["urlRewrite"], match))
        elif each["type"] == "RequestMirror":
            mirrored, wrong = _resolve(namespace, each["requestMirror"]["backendRef"], targets)
            problem = problem or wrong
            if mirrored is not None:
                policy: Obj = {"cluster": targets.cluster(mirrored)}
                route.setdefault("request_mirror_policies", []).append(policy)
    return {"route": route, **headers}, fault, problem


def _resolve(namespace: str, reference: Obj, targets: Targets) -> tuple[Backend | None, Problem | None]:
    name = reference.get("name") or ""
    if reference.get("group") or reference.get("kind", "Service") != "Service":
        return None, ("InvalidKind", f"{reference.get('kind')} {name}: only Services can be backends")
    other = reference.get("namespace") or namespace
    if other != namespace:
        return None, ("RefNotPermitted", f"Service {other}/{name}: no ReferenceGrant allows it")
    found = targets.backend(other, name, {"number": reference.get("port")})
    if found is None:
        return None, ("BackendNotFound", f"Service {other}/{name} does not exist or has no port {reference.get('port')}")
    return found, None


def _chosen(namespace: str, references: Any, targets: Targets) -> tuple[list[tuple[int, Backend | None, Obj]], Problem | None]:
    found: list[tuple[int, Backend | None, Obj]] = []
    problem = None
    for reference in references:
        backend, wrong = _resolve(namespace, reference, targets)
        problem = problem or wrong
        weight = reference.get("weight")
        found.append((1 if weight is None else int(weight), backend, reference))
    return found, problem


def _weighted(weight: int, backend: Backend | None, reference: Obj, targets: Targets) -> Obj:
    if backend is None:
        broken = faults.filter_config(Fault(abort=500))
        return {"name": faults.NOWHERE, "weight": weight, "typed_per_filter_config": {faults.FILTER: broken}}
    found: Obj = {"name": targets.cluster(backend), "weight": weight, **_headers(reference.get("filters") or [])}
    if backend.fault is not None:
        found["typed_per_filter_config"] = {faults.FILTER: faults.filter_config(backend.fault)}
    return found


def _headers(filters: list[Obj]) -> Obj:
    found: Obj = {}
    for each in filters:
        for kind, key, side in (
            ("RequestHeaderModifier", "requestHeaderModifier", "request"),
            ("ResponseHeaderModifier", "responseHeaderModifier", "response"),
        ):
            if each["type"] != kind:
                continue
            change = each[key]
            options = [_option(item, "OVERWRITE_IF_EXISTS_OR_ADD") for item in change.get("set") or ()]
            options += [_option(item, "APPEND_IF_EXISTS_OR_ADD") for item in change.get("add") or ()]
            if options:
                found[f"{side}_headers_to_add"] = options
            if change.get("remove"):
                found[f"{side}_headers_to_remove"] = list(change["remove"])
    return found


def _option(item: Obj, action: str) -> Obj:
    value = item["value"].replace("%", "%%")  # a per cent sign begins a variable of Envoy's
    return {"header": {"key": item["name"], "value": value}, "append_action": action}


def _merged(first: Obj, second: Obj) -> Obj:
    return {key: [*first.get(key, []), *second.get(key, [])] for key in {**first, **second}}


def _timeouts(route: Obj, rule: Obj) -> None:
    """``timeouts`` and ``retry`` (https://gateway-api.sigs.k8s.io/reference/spec/#httproutetimeouts)."""
    timeouts = rule.get("timeouts") or {}
    if (text := timeouts.get("request")) and duration(text) > 0:
        route["timeout"] = seconds(duration(text))
    retry = rule.get("retry")
    per_try = duration(timeouts.get("backendRequest") or "")
    if retry is None and not per_try:
        return
    retry = retry or {"attempts": 0}
    policy: Obj = {"num_retries": retry.get("attempts", 1), "retry_on": "connect-failure,refused-stream,reset"}
    if codes := retry.get("codes"):
        policy["retry_on"] += ",retriable-status-codes"
        policy["retriable_status_codes"] = list(codes)
    if pause := duration(retry.get("backoff") or ""):
        policy["retry_back_off"] = {"base_interval": seconds(pause), "max_interval": seconds(pause * 10)}
    if per_try:
        policy["per_try_timeout"] = seconds(per_try)
        if not policy["num_retries"] and "request" not in timeouts:
            route["timeout"] = seconds(per_try)
    route["retry_policy"] = policy


def _path_kind(match: Obj) -> tuple[str, str]:
    path = match.get("path") or {}
    return path.get("type") or "PathPrefix", path.get("value") or "/"


def _replaced_prefix(match: Obj, replacement: str) -> Obj:
    """Replace the matched prefix, keeping exactly one slash between the new prefix and the rest."""
    _, prefix = _path_kind(match)
    stripped, new = re.escape(prefix.rstrip("/")), replacement.rstrip("/")
    if not new:
        return {"pattern": {"regex": f"^{stripped}/*"}, "substitution": "/"}
    return {"pattern": {"regex": f"^{stripped}"}, "substitution": new.replace("\\", "\\\\")}


def _rewrite(change: Obj, match: Obj) -> Obj:
    found: Obj = {}
    if hostname := change.get("hostname"):
        found["host_rewrite_literal"] = hostname
    path = change.get("path") or {}
    if path.get("type") == "ReplaceFullPath":
        found["regex_rewrite"] = {"pattern": {"regex": "^[^?]*"}, "substitution": path.get("replaceFullPath", "/")}
    elif path.get("type") == "ReplacePrefixMatch":
        found["regex_rewrite"] = _replaced_prefix(match, path.get("replacePrefixMatch", "/"))
    return found


def _redirect(change: Obj, match: Obj, targets: Targets) -> Obj:
    found: Obj = {"response_code": _CODES.get(change.get("statusCode", 302), "FOUND")}
    if scheme := change.get("scheme"):
        found["scheme_redirect"] = scheme
    if hostname := change.get("hostname"):
        found["host_redirect"] = hostname
    port = change.get("port") or {"http": 80, "https": 443}.get(change.get("scheme", ""))
    if port:
        found["port_redirect"] = targets.config.public_port(port)
    path = change.get("path") or {}
    if path.get("type") == "ReplaceFullPath":
        found["path_redirect"] = path.get("replaceFullPath", "/")
    elif path.get("type") == "ReplacePrefixMatch":
        found["regex_rewrite"] = _replaced_prefix(match, path.get("replacePrefixMatch", "/"))
    return found
