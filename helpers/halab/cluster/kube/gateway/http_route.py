"""HTTPRoute: which requests go where, and what is done to them on the way."""

from __future__ import annotations

from halab.cluster.kube.gateway.blocks import (
    CONTROLLER,
    DURATION,
    GROUP,
    HOSTNAME,
    NAME,
    NAMESPACE,
    PORT,
    SUBDOMAIN,
    array,
    conditions,
    group,
    kind,
    number,
    struct,
    text,
)
from halab.cluster.kube.types import Obj

_ROOT = {"type": "PathPrefix", "value": "/"}


def _parent() -> Obj:
    return struct(
        "A resource (usually a Gateway) that the route attaches to.",
        {
            "group": group(GROUP),
            "kind": kind("Gateway"),
            "namespace": NAMESPACE,
            "name": NAME,
            "sectionName": text("Name of the listener.", minLength=1, maxLength=253, pattern=SUBDOMAIN),
            "port": PORT,
        },
        ("name",),
    )


def http_route() -> Obj:
    rule = struct(
        "Conditions, filters and backends of requests.",
        {
            "name": text("Name of the rule.", minLength=1, maxLength=253, pattern=SUBDOMAIN),
            "matches": array("Conditions of which one must hold.", _match(), maxItems=64, default=[{"path": _ROOT}]),
            "filters": array("What is done to matching requests.", _filter(), maxItems=16),
            "backendRefs": array("Where matching requests go.", _backend(filters=True), maxItems=16),
            "timeouts": struct(
                "Time limits of a request.",
                {
                    "request": text("Of the whole request, such as 10s.", pattern=DURATION),
                    "backendRequest": text("Of one try at a backend.", pattern=DURATION),
                },
            ),
            "retry": struct(
                "When a failed try is repeated.",
                {
                    "codes": array("HTTP status codes that are tried again.", number("A status code.", minimum=400, maximum=599)),
                    "attempts": {"type": "integer", "description": "How often at most."},
                    "backoff": text("Time between tries.", pattern=DURATION),
                },
            ),
        },
    )
    spec = struct(
        "Desired state of the route.",
        {
            "parentRefs": array("Gateways that the route attaches to.", _parent(), maxItems=32),
            "hostnames": array(
                "Host names to match.", {"type": "string", "minLength": 1, "maxLength": 253, "pattern": HOSTNAME}, maxItems=16
            ),
            "rules": array("Rules, tried by how specific they are.", rule, maxItems=16, default=[{"matches": [{"path": _ROOT}]}]),
        },
    )
    parent_status = struct(
        "State of the route at one parent.",
        {"parentRef": _parent(), "controllerName": CONTROLLER, "conditions": conditions("State at this parent.")},
        ("controllerName", "parentRef"),
    )
    status = struct(
        "Current state of the route.", {"parents": array("State at each parent.", parent_status, maxItems=32)}, ("parents",)
    )
    about = "HTTPRoute provides a way to route HTTP requests by hostname, path, header, query parameter or method to backends such as Services."
    return struct(about, {"spec": spec, "status": status}, ("spec",))


def _match() -> Obj:
    methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"]
    return struct(
        "Conditions that must all hold.",
        {
            "path": struct(
                "Matches the path.",
                {
                    "type": text(
                        "Exact, PathPrefix or RegularExpression.",
                        enum=["Exact", "PathPrefix", "RegularExpression"],
                        default="PathPrefix",
                    ),
                    "value": text("The path.", maxLength=1024, default="/"),
                },
                default=_ROOT,
            ),
            "headers": array("Matches headers.", _pair_match("header"), keys=("name",), maxItems=16),
            "queryParams": array("Matches query parameters.", _pair_match("query parameter"), keys=("name",), maxItems=16),
            "method": text("Matches the method.", enum=methods),
        },
    )


def _pair_match(what: str) -> Obj:
    return struct(
        f"Matches one {what}.",
        {
            "type": text("Exact or RegularExpression.", enum=["Exact", "RegularExpression"], default="Exact"),
            "name": text(f"Name of the {what}.", minLength=1, maxLength=256),
            "value": text("The value.", minLength=1, maxLength=4096),
        },
        ("name", "value"),
    )


def _backend(*, filters: bool) -> Obj:
    properties: Obj = {
        "group": group(),
        "kind": kind("Service"),
        "name": NAME,
        "namespace": NAMESPACE,
        "port": PORT,
    }
    if filters:
        properties["weight"] = number(
            "Share of the requests, relative to the other backends.", minimum=0, maximum=1000000, default=1
        )
        properties["filters"] = array("What is done to requests to this backend.", _filter(), maxItems=16)
    return struct("A backend that requests are sent to.", properties, ("name",))


def _headers() -> Obj:
    pair = struct(
        "A header.",
        {"name": text("Its name.", minLength=1, maxLength=256), "value": text("Its value.", minLength=1, maxLength=4096)},
        ("name", "value"),
    )
    return struct(
        "Changes headers.",
        {
            "set": array("Headers to set.", pair, keys=("name",), maxItems=16),
            "add": array("Headers to add.", pair, keys=("name",), maxItems=16),
            "remove": {**array("Headers to remove.", {"type": "string"}, maxItems=16), "x-kubernetes-list-type": "set"},
        },
    )


def _path_change() -> Obj:
    return struct(
        "Changes the path.",
        {
            "type": text("ReplaceFullPath or ReplacePrefixMatch.", enum=["ReplaceFullPath", "ReplacePrefixMatch"]),
            "replaceFullPath": text("The new path.", maxLength=1024),
            "replacePrefixMatch": text("What the matched prefix becomes.", maxLength=1024),
        },
        ("type",),
    )


def _filter() -> Obj:
    kinds = ["RequestHeaderModifier", "ResponseHeaderModifier", "RequestMirror", "RequestRedirect", "URLRewrite", "ExtensionRef"]
    hostname = text("The new host name.", minLength=1, maxLength=253, pattern=SUBDOMAIN)
    fraction = struct(
        "Share of the requests, as a fraction.",
        {"numerator": number("Numerator.", minimum=0), "denominator": number("Denominator.", minimum=1, default=100)},
        ("numerator",),
    )
    return struct(
        "A step in the processing of a request.",
        {
            "type": text("The kind of filter.", enum=kinds),
            "requestHeaderModifier": _headers(),
            "responseHeaderModifier": _headers(),
            "requestMirror": struct(
                "Sends copies of requests elsewhere; their responses are ignored.",
                {
                    "backendRef": _backend(filters=False),
                    "percent": number("Share of the requests, in percent.", minimum=0, maximum=100),
                    "fraction": fraction,
                },
                ("backendRef",),
            ),
            "requestRedirect": struct(
                "Answers with a redirect.",
                {
                    "scheme": text("The new scheme.", enum=["http", "https"]),
                    "hostname": hostname,
                    "path": _path_change(),
                    "port": PORT,
                    "statusCode": {
                        "type": "integer",
                        "description": "HTTP status code of the answer.",
                        "enum": [301, 302],
                        "default": 302,
                    },
                },
            ),
            "urlRewrite": struct("Rewrites the request.", {"hostname": hostname, "path": _path_change()}),
            "extensionRef": struct(
                "A filter of the implementation.",
                {"group": group(None), "kind": kind(), "name": NAME},
                ("group", "kind", "name"),
            ),
        },
        ("type",),
    )
