"""The Gateway API's GatewayClass, Gateway and HTTPRoute (v1, standard channel) as definitions that every cluster has from the
start.

Written from https://gateway-api.sigs.k8s.io/reference/spec/. What the data plane does with them is its own matter
(``cluster.dataplane``).
"""

from __future__ import annotations

from halab.cluster.kube.gateway.blocks import GROUP
from halab.cluster.kube.gateway.gateway import gateway
from halab.cluster.kube.gateway.gateway_class import gateway_class
from halab.cluster.kube.gateway.http_route import http_route
from halab.cluster.kube.gateway.rules import attach
from halab.cluster.kube.types import Obj

__all__ = ["GROUP", "definitions"]

_BUNDLE = "v1.3.0"


def definitions() -> list[Obj]:
    """The CustomResourceDefinitions, ready to be stored."""
    return [
        _definition("GatewayClass", "gatewayclasses", "gc", "Cluster", gateway_class(), _CLASS_COLUMNS),
        _definition("Gateway", "gateways", "gtw", "Namespaced", gateway(), _GATEWAY_COLUMNS),
        _definition("HTTPRoute", "httproutes", "", "Namespaced", http_route(), _ROUTE_COLUMNS),
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
        "schema": {"openAPIV3Schema": attach(kind, schema)},
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
