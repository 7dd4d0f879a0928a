"""From measured use to a number of replicas: the HorizontalPodAutoscaler's arithmetic. Pure.

https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#algorithm-details has the formula and the treatment of pods that
are not ready or have no metrics.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from halab.cluster.client import seconds_of
from halab.cluster.controllers.pods import condition, is_deleting, phase
from halab.cluster.kube import quantity
from halab.cluster.kube.types import Obj

TOLERANCE = 0.1
CPU_START = 300.0  # seconds after its start in which a pod's CPU use counts only if it was measured while ready
READY_DELAY = 30.0  # seconds after its start in which a change of readiness is part of starting


class MetricError(Exception):
    """A metric could not be had or makes no sense; the text is Kubernetes'."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One pod's use in thousandths, measured over ``window`` seconds until ``at`` (Unix time)."""

    value: int
    at: float
    window: float


def measures(items: Sequence[Obj], resource: str, container: str = "") -> dict[str, Measure]:
    """PodMetrics objects as measures by pod name; pods that lack the resource in one container are left out."""
    found: dict[str, Measure] = {}
    for item in items:
        values = [
            each["usage"].get(resource) for each in item.get("containers") or () if not container or each["name"] == container
        ]
        if not values or None in values:
            continue
        total = sum(quantity.to_milli(value) for value in values)
        found[item["metadata"]["name"]] = Measure(total, seconds_of(item.get("timestamp")), _duration(item.get("window", "0s")))
    return found


def _duration(text: str) -> float:
    """Go's duration text: ``1m0s``, ``15.5s``."""
    total, number = 0.0, ""
    units = {"h": 3600.0, "m": 60.0, "s": 1.0}
    for character in text:
        if character in units and number:
            total += float(number) * units[character]
            number = ""
        else:
            number += character
    return total


@dataclass
class Groups:
    """Names of pods: ``ready`` is a count of those that have metrics and count in full."""

    ready: int
    unready: set[str]
    missing: set[str]
    ignored: set[str]


def group(pods: Sequence[Obj], found: Mapping[str, Measure], resource: str, now: float) -> Groups:
    groups = Groups(0, set(), set(), set())
    for pod in pods:
        name = pod["metadata"]["name"]
        if is_deleting(pod) or phase(pod) == "Failed":
            groups.ignored.add(name)
        elif phase(pod) == "Pending":
            groups.unready.add(name)
        elif name not in found:
            groups.missing.add(name)
        elif resource == "cpu" and _is_starting(pod, found[name], now):
            groups.unready.add(name)
        else:
            groups.ready += 1
    return groups


def _is_starting(pod: Obj, measure: Measure, now: float) -> bool:
    ready = condition(pod, "Ready")
    started = seconds_of((pod.get("status") or {}).get("startTime"))
    if ready is None or not started:
        return True
    changed = seconds_of(ready.get("lastTransitionTime"))
    if started + CPU_START > now:
        return ready["status"] == "False" or measure.at < changed + measure.window
    return bool(ready["status"] == "False" and started + READY_DELAY > changed)


def requests_of(pods: Sequence[Obj], resource: str, container: str = "") -> dict[str, int]:
    """What each pod requests, in thousandths. Raises MetricError if one container does not say."""
    found: dict[str, int] = {}
    for pod in pods:
        total = 0
        sidecars = [each for each in pod["spec"].get("initContainers") or () if each.get("restartPolicy") == "Always"]
        for each in [*pod["spec"]["containers"], *sidecars]:
            if container and each["name"] != container:
                continue
            request = ((each.get("resources") or {}).get("requests") or {}).get(resource)
            if request is None:
                raise MetricError(f"missing request for {resource} in container {each['name']} of Pod {pod['metadata']['name']}")
            total += quantity.to_milli(request)
        found[pod["metadata"]["name"]] = total
    return found


@dataclass(frozen=True, slots=True)
class Proposal:
    """``replicas`` wanted; ``utilization`` in percent of the requests (None for raw values); ``average`` use a pod in thousandths."""

    replicas: int
    utilization: int | None
    average: int


def propose(
    current: int,
    pods: Sequence[Obj],
    found: Mapping[str, Measure],
    resource: str,
    now: float,
    *,
    utilization: int | None = None,
    average: int | None = None,
    container: str = "",
    tolerance: float = TOLERANCE,
) -> Proposal:
    """How many replicas bring the use to the target: ``utilization`` percent of requests, or ``average`` thousandths a pod.

    Pods without metrics are assumed to use all of their share when shrinking and nothing when growing, so that doubt never swings
    the number. Raises MetricError.
    """
    if not pods:
        raise MetricError("no pods returned by selector while calculating replica count")
    groups = group(pods, found, resource, now)
    used = {name: measure.value for name, measure in found.items() if name not in groups.ignored | groups.unready}
    requests = requests_of(pods, resource, container) if utilization is not None else {}
    if not used:
        raise MetricError("did not receive metrics for targeted pods (pods might be unready)")
    share, percent, mean = _usage(used, requests, utilization, average)
    result = Proposal(current, percent, mean)

    def at(replicas: int) -> Proposal:
        return Proposal(replicas, result.utilization, result.average)

    growing_unready = bool(groups.unready) and share > 1.0
    if not growing_unready and not groups.missing:
        return result if abs(1.0 - share) <= tolerance else at(math.ceil(share * groups.ready))
    for name in groups.missing:
        if share < 1.0:
            used[name] = requests[name] * max(100, utilization) // 100 if utilization is not None else int(average or 0)
        elif share > 1.0:
            used[name] = 0
    if growing_unready:
        used |= dict.fromkeys(groups.unready, 0)
    again, _, _ = _usage(used, requests, utilization, average)
    if abs(1.0 - again) <= tolerance or (share < 1.0 < again) or (share > 1.0 > again):
        return result
    replicas = math.ceil(again * len(used))
    if (again < 1.0 and replicas > current) or (again > 1.0 and replicas < current):
        return result
    return at(replicas)


def _usage(
    used: Mapping[str, int], requests: Mapping[str, int], utilization: int | None, average: int | None
) -> tuple[float, int | None, int]:
    """(use as a share of the target, percent of requests, mean)."""
    total = sum(used.values())
    mean = total // len(used)
    if utilization is None:
        return (total / len(used)) / float(average or 1), None, mean
    requested = sum(requests[name] for name in used if name in requests)
    if not requested:
        raise MetricError("no metrics returned matched known pods")
    percent = total * 100 // requested
    return percent / utilization, percent, mean
