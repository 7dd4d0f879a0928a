"""Failures between services: the data plane heeds the annotation ``halab.dev/fault`` of a Service."""

from __future__ import annotations

import json

from halab.backends.access import ApiError
from halab.backends.controls import API, TRAFFIC
from halab.errors import UsageError
from halab.faults.base import Data, Fault, Options, Place, Plan

ANNOTATION = "halab.dev/fault"


def service_plan(place: Place, fault: str, target: str, namespace: str, wanted: dict[str, object]) -> Plan:
    """Raises UsageError when there is no such Service."""
    kind, _, name = target.rpartition("/")
    if kind not in ("", "service", "services", "svc") or not name:
        raise UsageError(f"fault {fault}: target {target or '(none named)'}", "is not a Service", "say NAME or service/NAME")
    service = place.api.find("services", name, namespace)
    if service is None:
        raise UsageError(
            f"fault {fault}: service {name}",
            f"does not exist in namespace {namespace}",
            f"see: kubectl -n {namespace} get services",
        )
    before = (service["metadata"].get("annotations") or {}).get(ANNOTATION)
    data = {"namespace": namespace, "name": name, "before": before, "wanted": json.dumps(wanted, sort_keys=True)}
    return Plan((f"every request for service {namespace}/{name}",), (f"service/{namespace}/{name}",), data)


def annotate(place: Place, data: Data) -> None:
    change = {"metadata": {"annotations": {ANNOTATION: data["wanted"]}}}
    place.api.patch("services", data["name"], change, namespace=data["namespace"])


def restore(place: Place, data: Data) -> None:
    """As it was, unless somebody has changed it since."""
    service = place.api.find("services", data["name"], data["namespace"])
    if service is None or (service["metadata"].get("annotations") or {}).get(ANNOTATION) != data["wanted"]:
        return
    try:
        change = {"metadata": {"annotations": {ANNOTATION: data["before"]}}}
        place.api.patch("services", data["name"], change, namespace=data["namespace"])
    except ApiError as error:
        if error.code != 404:
            raise


class ServiceFault(Fault):
    """A failure of requests for a Service of the learner's namespace."""

    target = "service"
    needs = frozenset({API, TRAFFIC})

    def wanted(self, options: Options) -> dict[str, object]:
        """The annotation's content."""
        raise NotImplementedError

    def plan(self, place: Place, target: str, options: Options) -> Plan:
        return service_plan(place, self.name, target, place.namespace, self.wanted(options))

    def inject(self, place: Place, data: Data) -> None:
        annotate(place, data)

    def heal(self, place: Place, data: Data) -> None:
        restore(place, data)
