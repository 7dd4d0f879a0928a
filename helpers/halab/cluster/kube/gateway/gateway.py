"""Gateway: addresses, ports and certificates where requests come in."""

from __future__ import annotations

from halab.cluster.kube.gateway.blocks import (
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
    strings,
    struct,
    text,
    waiting,
)
from halab.cluster.kube.types import Obj


def gateway() -> Obj:
    address = {
        "type": text("Type of the address.", default="IPAddress", minLength=1, maxLength=253),
        "value": text("The address.", maxLength=253),
    }
    spec = struct(
        "Desired state of the Gateway.",
        {
            "gatewayClassName": text("The GatewayClass that the Gateway is of.", minLength=1, maxLength=253),
            "listeners": array(
                "Logical endpoints that are bound to the Gateway's addresses.",
                _listener(),
                keys=("name",),
                minItems=1,
                maxItems=64,
            ),
            "addresses": array("Addresses that are asked for.", struct("An address.", address), maxItems=16),
            "infrastructure": struct(
                "What is put on resources that are made for the Gateway.",
                {
                    "labels": strings("Labels for them."),
                    "annotations": strings("Annotations for them."),
                    "parametersRef": struct(
                        "A resource with the Gateway's own configuration.",
                        {"group": group(None), "kind": kind(), "name": NAME},
                        ("group", "kind", "name"),
                    ),
                },
            ),
        },
        ("gatewayClassName", "listeners"),
    )
    listener_status = struct(
        "State of one listener.",
        {
            "name": text("Name of the listener.", minLength=1, maxLength=253),
            "attachedRoutes": number("How many routes are attached."),
            "supportedKinds": array("Kinds of routes that may attach.", _route_kind(), maxItems=8),
            "conditions": conditions("State of the listener."),
        },
        ("attachedRoutes", "conditions", "name"),
    )
    states = [waiting("Accepted"), waiting("Programmed")]
    status = struct(
        "Current state of the Gateway.",
        {
            "addresses": array("Addresses that are bound.", struct("An address.", address, ("value",)), maxItems=16),
            "conditions": conditions("State of the Gateway.", states),
            "listeners": array("State of the listeners.", listener_status, keys=("name",), maxItems=64),
        },
        default={"conditions": states},
    )
    about = "Gateway represents an instance of a service-traffic handling infrastructure by binding Listeners to a set of IP addresses."
    return struct(about, {"spec": spec, "status": status}, ("spec",))


def _route_kind() -> Obj:
    return struct("A kind of route.", {"group": group(GROUP), "kind": kind()}, ("kind",))


def _listener() -> Obj:
    secret = struct(
        "A resource that holds a certificate and its key.",
        {"group": group(), "kind": kind("Secret"), "name": NAME, "namespace": NAMESPACE},
        ("name",),
    )
    selector = struct(
        "Selects namespaces by their labels, where from is Selector.",
        {
            "matchLabels": strings("Labels that must be equal."),
            "matchExpressions": array(
                "Requirements that must all hold.",
                struct(
                    "A requirement.",
                    {
                        "key": text("The label's key."),
                        "operator": text("In, NotIn, Exists or DoesNotExist."),
                        "values": array("Values for In and NotIn.", {"type": "string"}),
                    },
                    ("key", "operator"),
                ),
            ),
        },
    ) | {"x-kubernetes-map-type": "atomic"}
    namespaces = struct(
        "Namespaces from which routes may attach.",
        {"from": text("All, Selector or Same.", enum=["All", "Selector", "Same"], default="Same"), "selector": selector},
        default={"from": "Same"},
    )
    return struct(
        "A logical endpoint where the Gateway accepts connections.",
        {
            "name": text("Name of the listener, unique in the Gateway.", minLength=1, maxLength=253, pattern=SUBDOMAIN),
            "hostname": text("Host name to match; all if it is left out.", minLength=1, maxLength=253, pattern=HOSTNAME),
            "port": PORT,
            "protocol": text("HTTP, HTTPS, TLS, TCP or UDP.", minLength=1, maxLength=255),
            "tls": struct(
                "How TLS is spoken.",
                {
                    "mode": text("Terminate or Passthrough.", enum=["Terminate", "Passthrough"], default="Terminate"),
                    "certificateRefs": array("Certificates to present.", secret, maxItems=64),
                    "options": strings("Options of the implementation."),
                },
            ),
            "allowedRoutes": struct(
                "Which routes may attach.",
                {"namespaces": namespaces, "kinds": array("Kinds of routes.", _route_kind(), maxItems=8)},
                default={"namespaces": {"from": "Same"}},
            ),
        },
        ("name", "port", "protocol"),
    )
