"""What the data plane says back through the API: addresses of Ingresses, conditions of Gateways and HTTPRoutes. Pure: status in, status out."""

from __future__ import annotations

from collections.abc import Sequence

from halab.cluster.client import rfc3339
from halab.cluster.dataplane.gateway import CONTROLLER, GROUP, Listener, Verdict
from halab.cluster.kube.types import Obj


def condition(kind: str, good: bool, reason: str, message: str, generation: int, old: Sequence[Obj] = ()) -> Obj:
    """A condition; its time is kept while its status stays the same."""
    status = "True" if good else "False"
    before = next((item for item in old if item.get("type") == kind), None)
    same = before is not None and before.get("status") == status
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": generation,
        "lastTransitionTime": before["lastTransitionTime"] if same and before else rfc3339(),
    }


def ingress_status(address: str) -> Obj:
    return {"loadBalancer": {"ingress": [{"ip": address}]}}


def class_status(gateway_class: Obj) -> Obj:
    old = (gateway_class.get("status") or {}).get("conditions") or ()
    generation = gateway_class["metadata"].get("generation") or 1
    return {"conditions": [condition("Accepted", True, "Accepted", "served by the halab data plane", generation, old)]}


def gateway_status(gateway: Obj, listeners: Sequence[Listener], address: str) -> Obj:
    old: Obj = gateway.get("status") or {}
    generation = gateway["metadata"].get("generation") or 1
    before = {item["name"]: item for item in old.get("listeners") or ()}
    good = [listener for listener in listeners if listener.problem is None]
    conditions = old.get("conditions") or ()
    reason = "Accepted" if len(good) == len(listeners) else "ListenersNotValid"
    return {
        "addresses": [{"type": "IPAddress", "value": address}],
        "conditions": [
            condition("Accepted", bool(good) or reason == "Accepted", reason, "", generation, conditions),
            condition("Programmed", bool(good), "Programmed" if good else "Invalid", "", generation, conditions),
        ],
        "listeners": [_listener_status(each, generation, before.get(each.name) or {}) for each in listeners],
    }


def _listener_status(listener: Listener, generation: int, old: Obj) -> Obj:
    before = old.get("conditions") or ()
    kind, reason, message = listener.problem or ("", "", "")
    supported = [] if reason == "UnsupportedProtocol" else [{"group": GROUP, "kind": "HTTPRoute"}]
    good = listener.problem is None
    return {
        "name": listener.name,
        "supportedKinds": supported,
        "attachedRoutes": listener.routes,
        "conditions": [
            condition(
                "Accepted", kind not in ("Accepted",), reason if kind == "Accepted" else "Accepted", "", generation, before
            ),
            condition(
                "Conflicted", kind == "Conflicted", reason if kind == "Conflicted" else "NoConflicts", "", generation, before
            ),
            condition("Programmed", good, "Programmed" if good else "Invalid", message, generation, before),
            condition(
                "ResolvedRefs",
                kind != "ResolvedRefs",
                reason if kind == "ResolvedRefs" else "ResolvedRefs",
                message if kind == "ResolvedRefs" else "",
                generation,
                before,
            ),
        ],
    }


def route_status(route: Obj, verdicts: Sequence[Verdict]) -> Obj:
    """Our parents' verdicts; what other controllers wrote stays."""
    old = (route.get("status") or {}).get("parents") or []
    generation = route["metadata"].get("generation") or 1
    others = [item for item in old if item.get("controllerName") != CONTROLLER]
    parents = []
    for verdict in verdicts:
        mine: Obj = next((item for item in old if item.get("parentRef") == verdict.parent), {})
        before = mine.get("conditions") or ()
        accepted, resolved = verdict.accepted, verdict.resolved
        parents.append(
            {
                "parentRef": verdict.parent,
                "controllerName": CONTROLLER,
                "conditions": [
                    condition("Accepted", accepted[0] == "Accepted", *accepted, generation, before),
                    condition("ResolvedRefs", resolved[0] == "ResolvedRefs", *resolved, generation, before),
                ],
            }
        )
    return {"parents": [*others, *parents]}
