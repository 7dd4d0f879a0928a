"""Ingresses become rules (https://kubernetes.io/docs/concepts/services-networking/ingress/).

As ingress controllers do it: Exact before Prefix, the longest path first, the older Ingress where two claim one path; 404 where nothing
matches, 503 where the Service is missing or has no endpoints; hosts with TLS are redirected to it. Three annotations of ingress-nginx
are understood because so many manifests carry them: rewrite-target, ssl-redirect and session affinity by cookie.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from halab.cluster.dataplane.envoy.routes import reply
from halab.cluster.dataplane.model import Certificate, Fault, Frontend, Rule
from halab.cluster.dataplane.targets import Targets
from halab.cluster.kube.types import Obj

CONTROLLER = "halab.dev/envoy"
CLASSES = ("halab", "nginx")  # the IngressClasses that the data plane makes; the first is the default
LEGACY_CLASS = "kubernetes.io/ingress.class"
NGINX = "nginx.ingress.kubernetes.io/"

HTTP, HTTPS = 80, 443
EXACT, PREFIX, LAST = (
    0,
    2,
    9,
)  # the order in which the rules of a host are tried, the same as for HTTPRoutes (1: regular expressions)
_RETRIES = {
    "retry_on": "connect-failure,refused-stream,reset-before-request",
    "num_retries": 2,
    "retry_host_predicate": [
        {
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": {"@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"},
        }
    ],
    "host_selection_retry_max_attempts": 3,
}

CertificateOf = Callable[[str, str], tuple[str, str] | None]  # namespace, Secret -> PEM chain and key


def is_ours(ingress: Obj, classes: Mapping[str, Obj]) -> bool:
    """Whether this data plane serves it: it names one of our classes, or none at all."""
    name = ingress["spec"].get("ingressClassName") or _annotations(ingress).get(LEGACY_CLASS)
    if not name:
        return True
    found = classes.get(name)
    return found is not None and found["spec"].get("controller") == CONTROLLER


def _annotations(ingress: Obj) -> Mapping[str, str]:
    return ingress["metadata"].get("annotations") or {}


def frontends(
    ingresses: Iterable[Obj], targets: Targets, certificate: CertificateOf, default: tuple[str, str]
) -> tuple[Frontend, Frontend | None]:
    """The HTTP frontend and, where an Ingress has TLS, the HTTPS one. ``default`` is the certificate for hosts without one of their own."""
    plain, secure = Frontend(HTTP, False), Frontend(HTTPS, True)
    any_tls = False
    for ingress in sorted(ingresses, key=_age):
        tls_hosts = _tls_hosts(ingress)
        any_tls = any_tls or tls_hosts is not None
        for rule in _rules(ingress, targets):
            secure.rules.append(rule)
            covered = tls_hosts is not None and (rule.host in tls_hosts or not tls_hosts)
            redirected = covered and _annotations(ingress).get(f"{NGINX}ssl-redirect", "true") != "false"
            forced = _annotations(ingress).get(f"{NGINX}force-ssl-redirect") == "true"
            plain.rules.append(_to_https(rule, targets) if redirected or forced else rule)
        secure.certificates += _certificates(ingress, certificate)
    if not any_tls:
        return plain, None
    secure.certificates = [*distinct(secure.certificates), Certificate((), *default)]
    return plain, secure


def _age(ingress: Obj) -> tuple[str, str, str]:
    meta = ingress["metadata"]
    return meta.get("creationTimestamp") or "", meta.get("namespace", ""), meta["name"]


def _order(rank: int, path: str, ingress: Obj) -> tuple[int | str, ...]:
    """Comparable with the order of an HTTPRoute's rule that has neither method nor headers nor query parameters."""
    return rank, -len(path), 1, 0, 0, *_age(ingress), 0


def _tls_hosts(ingress: Obj) -> set[str] | None:
    """The hosts that have TLS (empty: all of the Ingress), or None without any TLS."""
    entries = ingress["spec"].get("tls")
    return None if not entries else {host for entry in entries for host in entry.get("hosts") or ()}


def _certificates(ingress: Obj, certificate: CertificateOf) -> list[Certificate]:
    found = []
    rule_hosts = [rule["host"] for rule in ingress["spec"].get("rules") or () if rule.get("host")]
    for entry in ingress["spec"].get("tls") or ():
        pair = certificate(ingress["metadata"]["namespace"], entry.get("secretName") or "")
        hosts = tuple(entry.get("hosts") or rule_hosts)
        if pair is not None and hosts:
            found.append(Certificate(hosts, *pair))
    return found


def distinct(certificates: list[Certificate]) -> list[Certificate]:
    """Each host once, the first certificate for it: Envoy refuses a listener with two filter chains for one name."""
    seen: set[str] = set()
    found = []
    for each in certificates:
        hosts = tuple(dict.fromkeys(host for host in each.hosts if host not in seen))
        seen.update(hosts)
        if hosts:
            found.append(Certificate(hosts, each.chain, each.key))
    return found


def _to_https(rule: Rule, targets: Targets) -> Rule:
    port = targets.config.public_port(HTTPS)
    redirect = {"https_redirect": True, "response_code": "PERMANENT_REDIRECT", "port_redirect": port}
    return Rule(rule.host, rule.order, rule.match, {"redirect": redirect})


def _rules(ingress: Obj, targets: Targets) -> list[Rule]:
    spec = ingress["spec"]
    found: list[Rule] = []
    hosts = []
    for entry in spec.get("rules") or ():
        host = entry.get("host") or "*"
        hosts.append(host)
        for path in (entry.get("http") or {}).get("paths") or ():
            found += _path_rules(ingress, host, path, targets)
    if default := spec.get("defaultBackend"):
        action, fault = _action(ingress, default, None, targets)
        found += [Rule(host, _order(LAST, "", ingress), {"prefix": "/"}, action, fault) for host in dict.fromkeys(hosts or ["*"])]
    return found


def _path_rules(ingress: Obj, host: str, path: Obj, targets: Targets) -> list[Rule]:
    text, kind = path.get("path") or "/", path.get("pathType") or "ImplementationSpecific"
    target = _annotations(ingress).get(f"{NGINX}rewrite-target")
    as_regex = _annotations(ingress).get(f"{NGINX}use-regex") == "true" or target is not None
    match = _match(text, kind, as_regex and kind == "ImplementationSpecific")
    if host.startswith("*."):
        # A wildcard stands for one label only, and Envoy's would match several.
        name = f"[^.]+{re.escape(host[1:])}(:[0-9]+)?"
        match["headers"] = [{"name": ":authority", "string_match": {"safe_regex": {"regex": name}}}]
    action, fault = _action(ingress, path["backend"], None if target is None else _rewrite(text, target), targets)
    return [Rule(host, _order(EXACT if kind == "Exact" else PREFIX, text, ingress), match, action, fault)]


def _match(text: str, kind: str, as_regex: bool) -> Obj:
    if as_regex:
        return {"safe_regex": {"regex": text if text.endswith("$") else f"{text}.*"}}
    if kind == "Exact":
        return {"path": text}
    stripped = text.rstrip("/")
    return {"path_separated_prefix": stripped} if stripped else {"prefix": "/"}


def _rewrite(text: str, target: str) -> Obj:
    """ingress-nginx's rewrite-target: ``$1`` are the groups of the path, the rest of a longer path is dropped."""
    pattern = text if text.endswith("$") else f"{text}.*"
    return {"regex_rewrite": {"pattern": {"regex": f"^{pattern}"}, "substitution": re.sub(r"\$(\d)", r"\\\1", target)}}


def _action(ingress: Obj, backend: Obj, rewrite: Obj | None, targets: Targets) -> tuple[Obj, Fault | None]:
    """The rest of the route to one backend, and the fault that its Service is under."""
    meta, service = ingress["metadata"], backend.get("service") or {}
    found = targets.backend(meta["namespace"], service.get("name") or "", service.get("port") or {})
    if found is None:
        name = f"{meta['namespace']}/{service.get('name') or '(none)'}"
        return reply(503, f"503 Service Temporarily Unavailable: Service {name} does not exist or has no such port"), None
    cookie = _annotations(ingress).get(f"{NGINX}affinity") == "cookie"
    route: Obj = {
        "cluster": targets.cluster(found, by_hash=cookie),
        "timeout": "0s",
        "retry_policy": _RETRIES,
        **(rewrite or {}),
    }
    if cookie:
        name = _annotations(ingress).get(f"{NGINX}session-cookie-name", "INGRESSCOOKIE")
        route["hash_policy"] = [{"cookie": {"name": name, "ttl": "0s", "path": "/"}}]
    elif found.sticky:
        route["hash_policy"] = [{"connection_properties": {"source_ip": True}}]
    return {"route": route}, found.fault
