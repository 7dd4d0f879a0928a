"""The Gateway API's GatewayClass, Gateway and HTTPRoute (v1, standard channel) as definitions that every cluster has from the
start.

Written from https://gateway-api.sigs.k8s.io/reference/spec/. What the data plane does with them is its own matter
(``cluster.dataplane``).
"""

from __future__ import annotations

from typing import Any

from halab.cluster.kube.types import Obj

GROUP = "gateway.networking.k8s.io"
_BUNDLE = "v1.3.0"
_DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
_SUBDOMAIN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
_HOSTNAME = r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
_KIND = r"^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$"
_DURATION = r"^([0-9]{1,5}(h|m|s|ms)){1,4}$"


def definitions() -> list[Obj]:
    """The CustomResourceDefinitions, ready to be stored."""
    return [
        _definition("GatewayClass", "gatewayclasses", "gc", "Cluster", _gateway_class(), _CLASS_COLUMNS),
        _definition("Gateway", "gateways", "gtw", "Namespaced", _gateway(), _GATEWAY_COLUMNS),
        _definition("HTTPRoute", "httproutes", "", "Namespaced", _http_route(), _ROUTE_COLUMNS),
    ]


def _definition(kind: str, plural: str, short: str, scope: str, schema: Obj, columns: list[Obj]) -> Obj:
    names: Obj = {
        "kind": kind,
        "listKind": f"{kind}List",
        "plural": plural,
        "singular": kind.lower(),
        "categories": ["gateway-api"],
    }
    if short:
        names["shortNames"] = [short]
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
        "additionalPrinterColumns": columns,
    }
    annotations = {
        "api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/gateway-api/pull/3328",
        f"{GROUP}/bundle-version": _BUNDLE,
        f"{GROUP}/channel": "standard",
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}", "annotations": annotations},
        "spec": {"group": GROUP, "names": names, "scope": scope, "versions": [version], "conversion": {"strategy": "None"}},
    }


# --- building blocks ------------------------------------------------------------------------------------------------------------


def _text(about: str, **more: Any) -> Obj:
    return {"type": "string", "description": about, **more}


def _number(about: str, **more: Any) -> Obj:
    return {"type": "integer", "format": "int32", "description": about, **more}


def _object(about: str, properties: Obj, required: tuple[str, ...] = (), **more: Any) -> Obj:
    result: Obj = {"type": "object", "description": about, "properties": properties, **more}
    return {**result, "required": list(required)} if required else result


def _list(about: str, items: Obj, *, keys: tuple[str, ...] = (), **more: Any) -> Obj:
    result: Obj = {"type": "array", "description": about, "items": items, **more}
    if keys:
        return {**result, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}
    return {**result, "x-kubernetes-list-type": "atomic"}


def _map(about: str) -> Obj:
    return {"type": "object", "description": about, "additionalProperties": {"type": "string"}}


def _column(name: str, path: str, kind: str = "string", priority: int = 0) -> Obj:
    column: Obj = {"name": name, "type": kind, "jsonPath": path}
    return {**column, "priority": priority} if priority else column


def _state(condition: str) -> str:
    return f'.status.conditions[?(@.type=="{condition}")].status'


_AGE = _column("Age", ".metadata.creationTimestamp", "date")
_CLASS_COLUMNS = [
    _column("Controller", ".spec.controllerName"),
    _column("Accepted", _state("Accepted")),
    _AGE,
    _column("Description", ".spec.description", priority=1),
]
_GATEWAY_COLUMNS = [
    _column("Class", ".spec.gatewayClassName"),
    _column("Address", ".status.addresses[*].value"),
    _column("Programmed", _state("Programmed")),
    _AGE,
]
_ROUTE_COLUMNS = [_column("Hostnames", ".spec.hostnames"), _AGE]

_NAME = _text("Name of the referent.", minLength=1, maxLength=253)
_NAMESPACE = _text("Namespace of the referent; the local one if it is left out.", minLength=1, maxLength=63, pattern=_DNS_LABEL)
_PORT = _number("A network port.", minimum=1, maximum=65535)
_CONTROLLER = _text(
    "The domain-prefixed path of the controller that manages it, such as example.com/controller.",
    minLength=1,
    maxLength=253,
    pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/[A-Za-z0-9\/\-._~%!$&'()*+,;=:]+$",
)


def _group(default: str | None = "") -> Obj:
    schema = _text("API group of the referent; empty for the core group.", maxLength=253, pattern=r"^$|" + _SUBDOMAIN)
    return schema if default is None else {**schema, "default": default}


def _kind(default: str | None = None) -> Obj:
    schema = _text("Kind of the referent.", minLength=1, maxLength=63, pattern=_KIND)
    return schema if default is None else {**schema, "default": default}


def _conditions(about: str, default: list[Obj] | None = None) -> Obj:
    condition = _object(
        "One aspect of the current state.",
        {
            "type": _text("Type of condition.", maxLength=316),
            "status": _text("Status of the condition.", enum=["True", "False", "Unknown"]),
            "observedGeneration": {
                "type": "integer",
                "format": "int64",
                "minimum": 0,
                "description": "The generation it was set upon.",
            },
            "lastTransitionTime": _text("When the condition last changed.", format="date-time"),
            "reason": _text("The reason of the last change, in CamelCase.", minLength=1, maxLength=1024),
            "message": _text("Details of the last change, for people.", maxLength=32768),
        },
        ("lastTransitionTime", "message", "reason", "status", "type"),
    )
    schema = _list(about, condition, keys=("type",), maxItems=8)
    return {**schema, "default": default} if default else schema


def _waiting(condition: str) -> Obj:
    return {
        "type": condition,
        "status": "Unknown",
        "reason": "Pending",
        "message": "Waiting for controller",
        "lastTransitionTime": "1970-01-01T00:00:00Z",
    }


# --- GatewayClass ---------------------------------------------------------------------------------------------------------------


def _gateway_class() -> Obj:
    parameters = _object(
        "A resource with the configuration of the class.",
        {"group": _group(None), "kind": _kind(), "name": _NAME, "namespace": _NAMESPACE},
        ("group", "kind", "name"),
    )
    spec = _object(
        "Desired state of the class.",
        {
            "controllerName": _CONTROLLER,
            "description": _text("What the class is for.", maxLength=64),
            "parametersRef": parameters,
        },
        ("controllerName",),
    )
    feature = _object("A feature that the class supports.", {"name": _text("Name of the feature.")}, ("name",))
    status = _object(
        "Current state of the class.",
        {
            "conditions": _conditions("Whether the class was accepted.", [_waiting("Accepted")]),
            "supportedFeatures": _list("Features that the class supports.", feature, keys=("name",), maxItems=64),
        },
        default={"conditions": [_waiting("Accepted")]},
    )
    return _object(
        "GatewayClass describes a class of Gateways that users can create.", {"spec": spec, "status": status}, ("spec",)
    )


# --- Gateway --------------------------------------------------------------------------------------------------------------------


def _gateway() -> Obj:
    address = {
        "type": _text("Type of the address.", default="IPAddress", minLength=1, maxLength=253),
        "value": _text("The address.", maxLength=253),
    }
    spec = _object(
        "Desired state of the Gateway.",
        {
            "gatewayClassName": _text("The GatewayClass that the Gateway is of.", minLength=1, maxLength=253),
            "listeners": _list(
                "Logical endpoints that are bound to the Gateway's addresses.",
                _listener(),
                keys=("name",),
                minItems=1,
                maxItems=64,
            ),
            "addresses": _list("Addresses that are asked for.", _object("An address.", address), maxItems=16),
            "infrastructure": _object(
                "What is put on resources that are made for the Gateway.",
                {
                    "labels": _map("Labels for them."),
                    "annotations": _map("Annotations for them."),
                    "parametersRef": _object(
                        "A resource with the Gateway's own configuration.",
                        {"group": _group(None), "kind": _kind(), "name": _NAME},
                        ("group", "kind", "name"),
                    ),
                },
            ),
        },
        ("gatewayClassName", "listeners"),
    )
    listener_status = _object(
        "State of one listener.",
        {
            "name": _text("Name of the listener.", minLength=1, maxLength=253),
            "attachedRoutes": _number("How many routes are attached."),
            "supportedKinds": _list("Kinds of routes that may attach.", _route_kind(), maxItems=8),
            "conditions": _conditions("State of the listener."),
        },
        ("attachedRoutes", "conditions", "name"),
    )
    waiting = [_waiting("Accepted"), _waiting("Programmed")]
    status = _object(
        "Current state of the Gateway.",
        {
            "addresses": _list("Addresses that are bound.", _object("An address.", address, ("value",)), maxItems=16),
            "conditions": _conditions("State of the Gateway.", waiting),
            "listeners": _list("State of the listeners.", listener_status, keys=("name",), maxItems=64),
        },
        default={"conditions": waiting},
    )
    about = "Gateway represents an instance of a service-traffic handling infrastructure by binding Listeners to a set of IP addresses."
    return _object(about, {"spec": spec, "status": status}, ("spec",))


def _route_kind() -> Obj:
    return _object("A kind of route.", {"group": _group(GROUP), "kind": _kind()}, ("kind",))


def _listener() -> Obj:
    secret = _object(
        "A resource that holds a certificate and its key.",
        {"group": _group(), "kind": _kind("Secret"), "name": _NAME, "namespace": _NAMESPACE},
        ("name",),
    )
    selector = _object(
        "Selects namespaces by their labels, where from is Selector.",
        {
            "matchLabels": _map("Labels that must be equal."),
            "matchExpressions": _list(
                "Requirements that must all hold.",
                _object(
                    "A requirement.",
                    {
                        "key": _text("The label's key."),
                        "operator": _text("In, NotIn, Exists or DoesNotExist."),
                        "values": _list("Values for In and NotIn.", {"type": "string"}),
                    },
                    ("key", "operator"),
                ),
            ),
        },
    ) | {"x-kubernetes-map-type": "atomic"}
    namespaces = _object(
        "Namespaces from which routes may attach.",
        {"from": _text("All, Selector or Same.", enum=["All", "Selector", "Same"], default="Same"), "selector": selector},
        default={"from": "Same"},
    )
    return _object(
        "A logical endpoint where the Gateway accepts connections.",
        {
            "name": _text("Name of the listener, unique in the Gateway.", minLength=1, maxLength=253, pattern=_SUBDOMAIN),
            "hostname": _text("Host name to match; all if it is left out.", minLength=1, maxLength=253, pattern=_HOSTNAME),
            "port": _PORT,
            "protocol": _text("HTTP, HTTPS, TLS, TCP or UDP.", minLength=1, maxLength=255),
            "tls": _object(
                "How TLS is spoken.",
                {
                    "mode": _text("Terminate or Passthrough.", enum=["Terminate", "Passthrough"], default="Terminate"),
                    "certificateRefs": _list("Certificates to present.", secret, maxItems=64),
                    "options": _map("Options of the implementation."),
                },
            ),
            "allowedRoutes": _object(
                "Which routes may attach.",
                {"namespaces": namespaces, "kinds": _list("Kinds of routes.", _route_kind(), maxItems=8)},
                default={"namespaces": {"from": "Same"}},
            ),
        },
        ("name", "port", "protocol"),
    )


# --- HTTPRoute ------------------------------------------------------------------------------------------------------------------

_ROOT = {"type": "PathPrefix", "value": "/"}


def _parent() -> Obj:
    return _object(
        "A resource (usually a Gateway) that the route attaches to.",
        {
            "group": _group(GROUP),
            "kind": _kind("Gateway"),
            "namespace": _NAMESPACE,
            "name": _NAME,
            "sectionName": _text("Name of the listener.", minLength=1, maxLength=253, pattern=_SUBDOMAIN),
            "port": _PORT,
        },
        ("name",),
    )


def _http_route() -> Obj:
    rule = _object(
        "Conditions, filters and backends of requests.",
        {
            "name": _text("Name of the rule.", minLength=1, maxLength=253, pattern=_SUBDOMAIN),
            "matches": _list("Conditions of which one must hold.", _match(), maxItems=64, default=[{"path": _ROOT}]),
            "filters": _list("What is done to matching requests.", _filter(), maxItems=16),
            "backendRefs": _list("Where matching requests go.", _backend(filters=True), maxItems=16),
            "timeouts": _object(
                "Time limits of a request.",
                {
                    "request": _text("Of the whole request, such as 10s.", pattern=_DURATION),
                    "backendRequest": _text("Of one try at a backend.", pattern=_DURATION),
                },
            ),
            "retry": _object(
                "When a failed try is repeated.",
                {
                    "codes": _list(
                        "HTTP status codes that are tried again.", _number("A status code.", minimum=400, maximum=599)
                    ),
                    "attempts": {"type": "integer", "description": "How often at most."},
                    "backoff": _text("Time between tries.", pattern=_DURATION),
                },
            ),
        },
    )
    spec = _object(
        "Desired state of the route.",
        {
            "parentRefs": _list("Gateways that the route attaches to.", _parent(), maxItems=32),
            "hostnames": _list(
                "Host names to match.", {"type": "string", "minLength": 1, "maxLength": 253, "pattern": _HOSTNAME}, maxItems=16
            ),
            "rules": _list("Rules, tried by how specific they are.", rule, maxItems=16, default=[{"matches": [{"path": _ROOT}]}]),
        },
    )
    parent_status = _object(
        "State of the route at one parent.",
        {"parentRef": _parent(), "controllerName": _CONTROLLER, "conditions": _conditions("State at this parent.")},
        ("controllerName", "parentRef"),
    )
    status = _object(
        "Current state of the route.", {"parents": _list("State at each parent.", parent_status, maxItems=32)}, ("parents",)
    )
    about = "HTTPRoute provides a way to route HTTP requests by hostname, path, header, query parameter or method to backends such as Services."
    return _object(about, {"spec": spec, "status": status}, ("spec",))


def _match() -> Obj:
    methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"]
    return _object(
        "Conditions that must all hold.",
        {
            "path": _object(
                "Matches the path.",
                {
                    "type": _text(
                        "Exact, PathPrefix or RegularExpression.",
                        enum=["Exact", "PathPrefix", "RegularExpression"],
                        default="PathPrefix",
                    ),
                    "value": _text("The path.", maxLength=1024, default="/"),
                },
                default=_ROOT,
            ),
            "headers": _list("Matches headers.", _pair_match("header"), keys=("name",), maxItems=16),
            "queryParams": _list("Matches query parameters.", _pair_match("query parameter"), keys=("name",), maxItems=16),
            "method": _text("Matches the method.", enum=methods),
        },
    )


def _pair_match(what: str) -> Obj:
    return _object(
        f"Matches one {what}.",
        {
            "type": _text("Exact or RegularExpression.", enum=["Exact", "RegularExpression"], default="Exact"),
            "name": _text(f"Name of the {what}.", minLength=1, maxLength=256),
            "value": _text("The value.", minLength=1, maxLength=4096),
        },
        ("name", "value"),
    )


def _backend(*, filters: bool) -> Obj:
    properties: Obj = {
        "group": _group(),
        "kind": _kind("Service"),
        "name": _NAME,
        "namespace": _NAMESPACE,
        "port": _PORT,
    }
    if filters:
        properties["weight"] = _number(
            "Share of the requests, relative to the other backends.", minimum=0, maximum=1000000, default=1
        )
        properties["filters"] = _list("What is done to requests to this backend.", _filter(), maxItems=16)
    return _object("A backend that requests are sent to.", properties, ("name",))


def _headers() -> Obj:
    pair = _object(
        "A header.",
        {"name": _text("Its name.", minLength=1, maxLength=256), "value": _text("Its value.", minLength=1, maxLength=4096)},
        ("name", "value"),
    )
    return _object(
        "Changes headers.",
        {
            "set": _list("Headers to set.", pair, keys=("name",), maxItems=16),
            "add": _list("Headers to add.", pair, keys=("name",), maxItems=16),
            "remove": {**_list("Headers to remove.", {"type": "string"}, maxItems=16), "x-kubernetes-list-type": "set"},
        },
    )


def _path_change() -> Obj:
    return _object(
        "Changes the path.",
        {
            "type": _text("ReplaceFullPath or ReplacePrefixMatch.", enum=["ReplaceFullPath", "ReplacePrefixMatch"]),
            "replaceFullPath": _text("The new path.", maxLength=1024),
            "replacePrefixMatch": _text("What the matched prefix becomes.", maxLength=1024),
        },
        ("type",),
    )


def _filter() -> Obj:
    kinds = ["RequestHeaderModifier", "ResponseHeaderModifier", "RequestMirror", "RequestRedirect", "URLRewrite", "ExtensionRef"]
    hostname = _text("The new host name.", minLength=1, maxLength=253, pattern=_SUBDOMAIN)
    fraction = _object(
        "Share of the requests, as a fraction.",
        {"numerator": _number("Numerator.", minimum=0), "denominator": _number("Denominator.", minimum=1, default=100)},
        ("numerator",),
    )
    return _object(
        "A step in the processing of a request.",
        {
            "type": _text("The kind of filter.", enum=kinds),
            "requestHeaderModifier": _headers(),
            "responseHeaderModifier": _headers(),
            "requestMirror": _object(
                "Sends copies of requests elsewhere; their responses are ignored.",
                {
                    "backendRef": _backend(filters=False),
                    "percent": _number("Share of the requests, in percent.", minimum=0, maximum=100),
                    "fraction": fraction,
                },
                ("backendRef",),
            ),
            "requestRedirect": _object(
                "Answers with a redirect.",
                {
                    "scheme": _text("The new scheme.", enum=["http", "https"]),
                    "hostname": hostname,
                    "path": _path_change(),
                    "port": _PORT,
                    "statusCode": {
                        "type": "integer",
                        "description": "HTTP status code of the answer.",
                        "enum": [301, 302],
                        "default": 302,
                    },
                },
            ),
            "urlRewrite": _object("Rewrites the request.", {"hostname": hostname, "path": _path_change()}),
            "extensionRef": _object(
                "A filter of the implementation.",
                {"group": _group(None), "kind": _kind(), "name": _NAME},
                ("group", "kind", "name"),
            ),
        },
        ("type",),
    )
