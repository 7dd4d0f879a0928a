"""Flow schemas and priority levels, device classes, claims and slices."""

from __future__ import annotations

from datetime import datetime

from halab.cluster.kube.tables.columns import (
    AGE,
    NAME,
    NONE,
    Cells,
    Layout,
    age,
    at,
    meta,
    name_of,
    number,
    spec_of,
    status_of,
    text,
)
from halab.cluster.kube.types import Obj


def _schema(obj: Obj, now: datetime) -> Cells:
    spec = spec_of(obj)
    conditions = status_of(obj).get("conditions") or ()
    dangling = next((each.get("status") for each in conditions if each.get("type") == "Dangling"), "?")
    return [
        name_of(obj),
        at(spec, "priorityLevelConfiguration", "name", default=""),
        spec.get("matchingPrecedence", 0),
        at(spec, "distinguisherMethod", "type", default=NONE),
        age(obj, now),
        dangling,
    ]


def _level(obj: Obj, now: datetime) -> Cells:
    spec = spec_of(obj)
    queuing = at(spec, "limited", "limitResponse", "queuing", default={})
    return [
        name_of(obj),
        spec.get("type", ""),
        at(spec, "limited", "nominalConcurrencyShares", default=NONE),
        *(queuing.get(name, NONE) for name in ("queues", "handSize", "queueLengthLimit")),
        age(obj, now),
    ]


def _aged(obj: Obj, now: datetime) -> Cells:
    return [name_of(obj), age(obj, now)]


def _claim(obj: Obj, now: datetime) -> Cells:
    """What state a claim is in, as words: pending, or allocated and perhaps reserved; deleted while somebody still holds it."""
    gone, status = "deletionTimestamp" in meta(obj), status_of(obj)
    states = ["deleted"] if gone else []
    if "allocation" in status:
        states += ["allocated"] + (["reserved"] if status.get("reservedFor") else [])
    elif not gone:
        states.append("pending")
    return [name_of(obj), ",".join(states), age(obj, now)]


def _slice(obj: Obj, now: datetime) -> Cells:
    spec = spec_of(obj)
    return [
        name_of(obj),
        spec.get("nodeName") or "",
        spec.get("driver", ""),
        at(spec, "pool", "name", default=""),
        age(obj, now),
    ]


_AGED = Layout((NAME, AGE), _aged)

LAYOUTS = {
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"): Layout(
        (
            NAME,
            text("PriorityLevel"),
            number("MatchingPrecedence"),
            text("DistinguisherMethod"),
            AGE,
            text("MissingPL"),
        ),
        _schema,
    ),
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"): Layout(
        (
            NAME,
            text("Type"),
            number("NominalConcurrencyShares"),
            number("Queues"),
            number("HandSize"),
            number("QueueLengthLimit"),
            AGE,
        ),
        _level,
    ),
    ("resource.k8s.io", "DeviceClass"): _AGED,
    ("resource.k8s.io", "ResourceClaim"): Layout((NAME, text("State"), AGE), _claim),
    ("resource.k8s.io", "ResourceClaimTemplate"): _AGED,
    ("resource.k8s.io", "ResourceSlice"): Layout((NAME, text("Node"), text("Driver"), text("Pool"), AGE), _slice),
}
