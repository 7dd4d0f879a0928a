"""The pieces that the schemas of the Gateway API are put together from."""

from __future__ import annotations

from typing import Any

from halab.cluster.kube.types import Obj

GROUP = "gateway.networking.k8s.io"
DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
SUBDOMAIN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
HOSTNAME = r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
KIND = r"^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$"
DURATION = r"^([0-9]{1,5}(h|m|s|ms)){1,4}$"


def text(about: str, **more: Any) -> Obj:
    return {"type": "string", "description": about, **more}


def number(about: str, **more: Any) -> Obj:
    return {"type": "integer", "format": "int32", "description": about, **more}


def struct(about: str, properties: Obj, required: tuple[str, ...] = (), **more: Any) -> Obj:
    result: Obj = {"type": "object", "description": about, "properties": properties, **more}
    return {**result, "required": list(required)} if required else result


def array(about: str, items: Obj, *, keys: tuple[str, ...] = (), **more: Any) -> Obj:
    result: Obj = {"type": "array", "description": about, "items": items, **more}
    if keys:
        return {**result, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}
    return {**result, "x-kubernetes-list-type": "atomic"}


def strings(about: str) -> Obj:
    return {"type": "object", "description": about, "additionalProperties": {"type": "string"}}


NAME = text("Name of the referent.", minLength=1, maxLength=253)
NAMESPACE = text("Namespace of the referent; the local one if it is left out.", minLength=1, maxLength=63, pattern=DNS_LABEL)
PORT = number("A network port.", minimum=1, maximum=65535)
CONTROLLER = text(
    "The domain-prefixed path of the controller that manages it, such as example.com/controller.",
    minLength=1,
    maxLength=253,
    pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/[A-Za-z0-9\/\-._~%!$&'()*+,;=:]+$",
)


def group(default: str | None = "") -> Obj:
    schema = text("API group of the referent; empty for the core group.", maxLength=253, pattern=r"^$|" + SUBDOMAIN)
    return schema if default is None else {**schema, "default": default}


def kind(default: str | None = None) -> Obj:
    schema = text("Kind of the referent.", minLength=1, maxLength=63, pattern=KIND)
    return schema if default is None else {**schema, "default": default}


def conditions(about: str, default: list[Obj] | None = None) -> Obj:
    condition = struct(
        "One aspect of the current state.",
        {
            "type": text("Type of condition.", maxLength=316),
            "status": text("Status of the condition.", enum=["True", "False", "Unknown"]),
            "observedGeneration": {
                "type": "integer",
                "format": "int64",
                "minimum": 0,
                "description": "The generation it was set upon.",
            },
            "lastTransitionTime": text("When the condition last changed.", format="date-time"),
            "reason": text("The reason of the last change, in CamelCase.", minLength=1, maxLength=1024),
            "message": text("Details of the last change, for people.", maxLength=32768),
        },
        ("lastTransitionTime", "message", "reason", "status", "type"),
    )
    schema = array(about, condition, keys=("type",), maxItems=8)
    return {**schema, "default": default} if default else schema


def waiting(condition: str) -> Obj:
    return {
        "type": condition,
        "status": "Unknown",
        "reason": "Pending",
        "message": "Waiting for controller",
        "lastTransitionTime": "1970-01-01T00:00:00Z",
    }
