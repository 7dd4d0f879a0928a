"""Route tables: the rules of one frontend, grouped by host, in the order in which they are tried."""

from __future__ import annotations

from halab.cluster.dataplane.envoy import faults
from halab.cluster.dataplane.envoy.types import ROUTES, typed
from halab.cluster.dataplane.model import Frontend, Rule
from halab.cluster.kube.types import Obj

CLIENT = "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"
NOT_FOUND = "404 Not Found: no Ingress or HTTPRoute matches this host and path"


def reply(status: int, text: str) -> Obj:
    """The part of a route that answers by itself."""
    return {"direct_response": {"status": status, "body": {"inline_string": text}}}


def table(frontend: Frontend) -> Obj:
    """The RouteConfiguration; hosts without a rule, and paths without one, are answered 404."""
    hosts: dict[str, list[Rule]] = {"*": []}
    for rule in frontend.rules:
        hosts.setdefault(rule.host.lower(), []).append(rule)
    return typed(
        ROUTES,
        name=frontend.name,
        ignore_port_in_host_matching=True,
        request_headers_to_add=[
            {"header": {"key": "x-forwarded-for", "value": CLIENT}, "append_action": "APPEND_IF_EXISTS_OR_ADD"},
            {"header": {"key": "x-real-ip", "value": CLIENT}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"},
        ],
        request_headers_to_remove=["x-envoy-external-address"],
        virtual_hosts=[{"name": host, "domains": [host], "routes": _routes(rules)} for host, rules in sorted(hosts.items())],
    )


def _routes(rules: list[Rule]) -> list[Obj]:
    found: list[Obj] = []
    for rule in sorted(rules, key=lambda rule: rule.order):
        found += faults.on_route({"match": rule.match, **rule.action}, rule.fault)
    return [*found, {"match": {"prefix": "/"}, **reply(404, NOT_FOUND)}]
