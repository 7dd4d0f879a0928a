"""Small pieces of Envoy's vocabulary that every part uses."""

from __future__ import annotations

from typing import Any

from halab.cluster.dataplane.model import Address
from halab.cluster.kube.types import Obj

_PREFIX = "type.googleapis.com/envoy."

CLUSTER = "config.cluster.v3.Cluster"
LISTENER = "config.listener.v3.Listener"
ROUTES = "config.route.v3.RouteConfiguration"


def typed(type_name: str, /, **fields: Any) -> Obj:
    """A ``google.protobuf.Any`` in JSON."""
    return {"@type": _PREFIX + type_name, **fields}


def extension(name: str, type_name: str, /, **fields: Any) -> Obj:
    """A named extension with its typed configuration."""
    return {"name": name, "typed_config": typed(type_name, **fields)}


def socket_address(address: Address, protocol: str = "TCP") -> Obj:
    fields: Obj = {"address": address[0], "port_value": address[1]}
    if protocol != "TCP":
        fields["protocol"] = protocol
    return {"socket_address": fields}


def percent(value: float) -> Obj:
    """A ``FractionalPercent`` of ``value`` per cent, exact to a ten-thousandth."""
    return {"numerator": round(min(max(value, 0.0), 100.0) * 10000), "denominator": "MILLION"}


def seconds(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".") + "s"
