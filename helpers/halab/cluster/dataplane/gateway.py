"""Gateways and HTTPRoutes become rules and statuses (https://gateway-api.sigs.k8s.io/reference/spec/).

Listeners of all Gateways share the ingress address, and one port is one frontend together with Ingress. Precedence among rules of a host
is the specification's: exact path, longest prefix, method, most headers, most query parameters, oldest route, name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from halab.cluster.dataplane.backends import action_of
from halab.cluster.dataplane.ingress import CertificateOf
from halab.cluster.dataplane.model import Certificate, Frontend, Rule
from halab.cluster.dataplane.targets import Targets
from halab.cluster.kube.kinds import Kind
from halab.cluster.kube.selectors import from_label_selector
from halab.cluster.kube.types import Obj

GROUP = "gateway.networking.k8s.io"
CONTROLLER = "halab.dev/gateway-controller"
CLASS = "halab"
GATEWAY_CLASSES = Kind(GROUP, "v1", "GatewayClass", "gatewayclasses", "gatewayclass", False)
GATEWAYS = Kind(GROUP, "v1", "Gateway", "gateways", "gateway", True)
HTTP_ROUTES = Kind(GROUP, "v1", "HTTPRoute", "httproutes", "httproute", True)

NamespaceLabels = Callable[[str], Mapping[str, str]]


@dataclass(slots=True)
class Listener:
    """One listener of a Gateway, and what became of it."""

    gateway: Obj
    spec: Obj
    problem: tuple[str, str, str] | None = None  # condition type, reason, message
    pair: tuple[str, str] | None = None  # certificate and key
    routes: int = 0

    @property
    def name(self) -> str:
        return str(self.spec["name"])

    @property
    def port(self) -> int:
        return int(self.spec["port"])

    @property
    def tls(self) -> bool:
        return bool(self.spec["protocol"] == "HTTPS")

    @property
    def hostname(self) -> str:
        return str(self.spec.get("hostname") or "")


@dataclass(slots=True)
class Verdict:
    """What an HTTPRoute's parent says of it."""

    parent: Obj
    accepted: tuple[str, str] = ("Accepted", "")  # reason, message; the reason Accepted is a yes
    resolved: tuple[str, str] = ("ResolvedRefs", "")


@dataclass(slots=True)
class Outcome:
    frontends: dict[int, Frontend] = field(default_factory=dict)
    listeners: dict[tuple[str, str], list[Listener]] = field(default_factory=dict)  # by Gateway
    verdicts: dict[tuple[str, str], list[Verdict]] = field(default_factory=dict)  # by HTTPRoute


def plan(
    gateways: Iterable[Obj],
    routes: Iterable[Obj],
    targets: Targets,
    certificate: CertificateOf,
    namespace_labels: NamespaceLabels,
    classes: Mapping[str, Obj],
) -> Outcome:
    outcome = Outcome()
    for gateway in sorted(gateways, key=_age):
        found = classes.get(gateway["spec"].get("gatewayClassName") or "")
        if found is None or found["spec"].get("controllerName") != CONTROLLER:
            continue
        listeners = [Listener(gateway, spec) for spec in gateway["spec"].get("listeners") or ()]
        outcome.listeners[_key(gateway)] = listeners
        for listener in listeners:
            _open(listener, outcome, certificate)
    for route in sorted(routes, key=_age):
        verdicts = [
            verdict
            for parent in route["spec"].get("parentRefs") or ()
            if (verdict := _attach(route, parent, outcome, targets, namespace_labels)) is not None
        ]
        if verdicts:
            outcome.verdicts[_key(route)] = verdicts
    return outcome


def _key(obj: Obj) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def _age(obj: Obj) -> tuple[str, str, str]:
    return obj["metadata"].get("creationTimestamp") or "", *_key(obj)


def _open(listener: Listener, outcome: Outcome, certificate: CertificateOf) -> None:
    """Make the frontend of the listener's port, or note why it cannot be had."""
    protocol = listener.spec.get("protocol")
    if protocol not in ("HTTP", "HTTPS"):
        listener.problem = ("Accepted", "UnsupportedProtocol", f"protocol {protocol} is not served; use HTTP or HTTPS")
        return
    if listener.tls:
        tls = listener.spec.get("tls") or {}
        if tls.get("mode", "Terminate") != "Terminate":
            listener.problem = ("Accepted", "UnsupportedValue", "only TLS mode Terminate is served")
            return
        for reference in tls.get("certificateRefs") or ():
            namespace = reference.get("namespace") or listener.gateway["metadata"]["namespace"]
            if namespace != listener.gateway["metadata"]["namespace"]:
                listener.problem = (
                    "ResolvedRefs",
                    "RefNotPermitted",
                    f"Secret {namespace}/{reference['name']}: no ReferenceGrant",
                )
                return
            listener.pair = certificate(namespace, reference["name"])
            if listener.pair is not None:
                break
        if listener.pair is None:
            listener.problem = (
                "ResolvedRefs",
                "InvalidCertificateRef",
                "no certificateRef names a Secret with a valid certificate",
            )
            return
    frontend = outcome.frontends.get(listener.port)
    if frontend is None:
        frontend = outcome.frontends[listener.port] = Frontend(listener.port, listener.tls)
    elif frontend.tls != listener.tls:
        listener.problem = ("Conflicted", "ProtocolConflict", f"port {listener.port} is used with another protocol")
        return
    if listener.pair is not None:
        frontend.certificates.append(Certificate((listener.hostname,) if listener.hostname else (), *listener.pair))


def _attach(route: Obj, parent: Obj, outcome: Outcome, targets: Targets, namespace_labels: NamespaceLabels) -> Verdict | None:
    """Add the route's rules to the listeners of one parent; None where the parent is not ours."""
    if parent.get("group", GROUP) != GROUP or parent.get("kind", "Gateway") != "Gateway":
        return None
    meta = route["metadata"]
    listeners = outcome.listeners.get((parent.get("namespace") or meta["namespace"], parent["name"]))
    if listeners is None:
        return None
    verdict = Verdict(parent)
    wanted = [
        listener
        for listener in listeners
        if parent.get("sectionName") in (None, listener.name) and parent.get("port") in (None, listener.port)
    ]
    if not wanted:
        verdict.accepted = ("NoMatchingParent", "no listener of the Gateway has this name and port")
        return verdict
    allowed = [listener for listener in wanted if _allows(listener, meta["namespace"], namespace_labels)]
    if not allowed:
        verdict.accepted = ("NotAllowedByListeners", "the listeners do not allow routes of this namespace or kind")
        return verdict
    hostnames = route["spec"].get("hostnames") or []
    attached = False
    for listener in allowed:
        hosts = _shared(listener.hostname, hostnames)
        if not hosts:
            continue
        attached = True
        listener.routes += 1
        frontend = outcome.frontends.get(listener.port)
        if frontend is not None and listener.problem is None:
            for host in hosts:
                frontend.rules += _rules(route, host, targets, verdict)
    if not attached:
        verdict.accepted = ("NoMatchingListenerHostname", "no hostname of the route fits a listener's")
    return verdict


def _allows(listener: Listener, namespace: str, namespace_labels: NamespaceLabels) -> bool:
    allowed = listener.spec.get("allowedRoutes") or {}
    kinds = allowed.get("kinds")
    if kinds and not any(kind.get("kind") == "HTTPRoute" and kind.get("group", GROUP) == GROUP for kind in kinds):
        return False
    namespaces = allowed.get("namespaces") or {}
    match namespaces.get("from") or "Same":
        case "All":
            return True
        case "Selector":
            return from_label_selector(namespaces.get("selector")).matches(namespace_labels(namespace))
        case _:
            return bool(namespace == listener.gateway["metadata"]["namespace"])


def _shared(listener: str, hostnames: Sequence[str]) -> list[str]:
    """The hosts that both a listener and a route want; "*" stands for all."""
    if not hostnames:
        return [listener or "*"]
    if not listener:
        return list(hostnames)
    found = []
    for host in hostnames:
        if host == listener or _covers(listener, host):
            found.append(host)
        elif _covers(host, listener):
            found.append(listener)
    return list(dict.fromkeys(found))


def _covers(wildcard: str, host: str) -> bool:
    return wildcard.startswith("*.") and host.endswith(wildcard[1:]) and len(host) > len(wildcard) - 1


def _rules(route: Obj, host: str, targets: Targets, verdict: Verdict) -> list[Rule]:
    found: list[Rule] = []
    for index, rule in enumerate(route["spec"].get("rules") or ()):
        matches: list[Obj] = rule.get("matches") or [{}]
        for match in matches:
            action, fault, problem = action_of(route["metadata"]["namespace"], rule, match, targets)
            if problem is not None:
                verdict.resolved = problem
            envoy, order = _match(match)
            found.append(Rule(host, (*order, *_age(route), index), envoy, action, fault))
    return found


def _text_match(kind: str, value: str) -> Obj:
    return {"safe_regex": {"regex": value}} if kind == "RegularExpression" else {"exact": value}


def _match(match: Obj) -> tuple[Obj, tuple[Any, ...]]:
    """Envoy's RouteMatch and the rank of the match (smaller goes first)."""
    path = match.get("path") or {}
    kind, text = path.get("type") or "PathPrefix", path.get("value") or "/"
    envoy: Obj
    if kind == "Exact":
        envoy, rank = {"path": text}, 0
    elif kind == "RegularExpression":
        envoy, rank = {"safe_regex": {"regex": text}}, 1
    else:
        stripped = text.rstrip("/")
        envoy, rank = ({"path_separated_prefix": stripped} if stripped else {"prefix": "/"}), 2
    headers = [
        {"name": item["name"], "string_match": _text_match(item.get("type") or "Exact", item["value"])}
        for item in match.get("headers") or ()
    ]
    order = (rank, -len(text), 0 if "method" in match else 1, -len(headers), -len(match.get("queryParams") or ()))
    if "method" in match:
        headers.append({"name": ":method", "string_match": {"exact": match["method"]}})
    if headers:
        envoy["headers"] = headers
    if parameters := match.get("queryParams"):
        envoy["query_parameters"] = [
            {"name": item["name"], "string_match": _text_match(item.get("type") or "Exact", item["value"])} for item in parameters
        ]
    return envoy, order
