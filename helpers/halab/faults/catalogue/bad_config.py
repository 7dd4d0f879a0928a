"""A bad configuration is rolled out."""

from __future__ import annotations

from halab.backends.access import ApiError, Obj
from halab.errors import UsageError
from halab.faults.base import Data, Options, Place, Plan
from halab.faults.rollouts import RolloutFault

COMPLAINT = "echo 'configuration error: unknown directive on line 1' >&2; exit 1"
NOBODY = 1  # a port at which no program listens


class BadConfig(RolloutFault):
    name = "bad-config"
    title = "Bad configuration rolled out"
    does = (
        "deployment/NAME: its program is started with a configuration that it refuses, so it exits at once. "
        "service/NAME: the Service's targetPort becomes one at which nobody listens."
    )
    expect = (
        "A bad Deployment stands still in CrashLoopBackOff while the old pods serve on; a bad Service hurts every user at once, and no "
        "rollout stops it: all its pods are Ready."
    )
    within = "a few seconds"
    heals = "The former configuration is set again, unless you have done so yourself."

    def wrong(self, container: Obj) -> dict[str, object]:
        return {"command": ["sh", "-c", COMPLAINT], "args": None}

    def plan(self, place: Place, target: str, options: Options) -> Plan:
        kind, _, name = target.rpartition("/")
        if kind not in ("service", "svc", "services"):
            return super().plan(place, target, options)
        service = place.api.find("services", name)
        if service is None or not service["spec"].get("ports"):
            raise UsageError(f"fault {self.name}: {target}", f"does not exist in namespace {place.namespace}, or has no ports")
        before = [port.get("targetPort") for port in service["spec"]["ports"]]
        hit = f"service {place.namespace}/{name}: every request"
        return Plan((hit,), (f"service-spec/{place.namespace}/{name}",), {"service": name, "before": before})

    def inject(self, place: Place, data: Data) -> None:
        if "service" not in data:
            super().inject(place, data)
            return
        changes = [
            {"op": "replace", "path": f"/spec/ports/{index}/targetPort", "value": NOBODY} for index in range(len(data["before"]))
        ]
        place.api.patch("services", data["service"], changes, type="json")

    def heal(self, place: Place, data: Data) -> None:
        if "service" not in data:
            super().heal(place, data)
            return
        changes: list[dict[str, object]] = []
        for index, before in enumerate(data["before"]):
            path = f"/spec/ports/{index}/targetPort"
            changes += [{"op": "test", "path": path, "value": NOBODY}, {"op": "replace", "path": path, "value": before}]
        try:
            place.api.patch("services", data["service"], changes, type="json")
        except ApiError as error:
            if error.code not in (404, 409, 422):  # gone, or changed by somebody else
                raise
