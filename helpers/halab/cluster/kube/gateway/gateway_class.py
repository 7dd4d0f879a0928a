"""GatewayClass: whose controller looks after a Gateway."""

from __future__ import annotations

from halab.cluster.kube.gateway.blocks import CONTROLLER, NAME, NAMESPACE, array, conditions, group, kind, struct, text, waiting
from halab.cluster.kube.types import Obj


def gateway_class() -> Obj:
    parameters = struct(
        "A resource with the configuration of the class.",
        {"group": group(None), "kind": kind(), "name": NAME, "namespace": NAMESPACE},
        ("group", "kind", "name"),
    )
    spec = struct(
        "Desired state of the class.",
        {
            "controllerName": CONTROLLER,
            "description": text("What the class is for.", maxLength=64),
            "parametersRef": parameters,
        },
        ("controllerName",),
    )
    feature = struct("A feature that the class supports.", {"name": text("Name of the feature.")}, ("name",))
    status = struct(
        "Current state of the class.",
        {
            "conditions": conditions("Whether the class was accepted.", [waiting("Accepted")]),
            "supportedFeatures": array("Features that the class supports.", feature, keys=("name",), maxItems=64),
        },
        default={"conditions": [waiting("Accepted")]},
    )
    return struct(
        "GatewayClass describes a class of Gateways that users can create.", {"spec": spec, "status": status}, ("spec",)
    )
