"""The quality-of-service class of a pod: Guaranteed, Burstable or BestEffort.

https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/ : only CPU and memory count; every container, init containers
included, must limit both and ask for exactly that to be Guaranteed; resources of the pod as a whole go before its containers'.
"""

from __future__ import annotations

from collections.abc import Iterator

from halab.cluster.kube.quantity import parse
from halab.cluster.kube.types import Obj

COMPUTE = ("cpu", "memory")


def quality_of_service(pod: Obj) -> str:
    """The class of a defaulted pod."""
    spec = pod["spec"]
    if spec.get("resources") and (spec["resources"].get("requests") or spec["resources"].get("limits")):
        holders = [spec["resources"]]
    else:
        holders = list(_resources(spec))
    nothing, guaranteed = True, bool(holders)
    for resources in holders:
        requests, limits = _positive(resources.get("requests")), _positive(resources.get("limits"))
        if requests or limits:
            nothing = False
        if set(limits) != set(COMPUTE) or requests != limits:
            guaranteed = False
    if nothing:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def _resources(spec: Obj) -> Iterator[Obj]:
    for name in ("containers", "initContainers"):
        for container in spec.get(name) or ():
            yield container.get("resources") or {}


def _positive(amounts: Obj | None) -> dict[str, object]:
    return {n: parse(amounts[n]) for n in COMPUTE if n in amounts and parse(amounts[n]) > 0} if amounts else {}
