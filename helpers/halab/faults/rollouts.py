"""Failures that come with a change: something wrong is rolled out, and rolled back."""

from __future__ import annotations

from halab.backends.access import ApiError, Obj
from halab.backends.controls import API
from halab.errors import UsageError
from halab.faults.base import Data, Fault, Option, Options, Place, Plan
from halab.faults.containers import container_of

KINDS = {"": "deployments", "deployment": "deployments", "deploy": "deployments", "statefulset": "statefulsets"}


class RolloutFault(Fault):
    """A wrong value in a workload's pod template."""

    target = "deployment"
    needs = frozenset({API})
    options = (Option("container", "", "which container (default: the first)"),)
    duration = 120.0

    def wrong(self, container: Obj) -> dict[str, object]:
        """The fields of the container that are set, and what to."""
        raise NotImplementedError

    def plan(self, place: Place, target: str, options: Options) -> Plan:
        kind, _, name = target.rpartition("/")
        plural = KINDS.get(kind.lower().removesuffix("s"))
        found = place.api.find(plural, name) if plural and name else None
        if plural is None or found is None:
            fact = "is not understood" if plural is None or not name else f"does not exist in namespace {place.namespace}"
            raise UsageError(f"fault {self.name}: {target or '(no target)'}", fact, "say deployment/NAME")
        template = {"metadata": {"name": name}, "spec": found["spec"]["template"]["spec"]}
        container = container_of(self.name, template, str(options["container"]))
        wanted = self.wrong(container)
        data: Data = {
            "plural": plural,
            "name": name,
            "container": container["name"],
            "wanted": wanted,
            "before": {key: container.get(key) for key in wanted},
        }
        hit = f"{plural.removesuffix('s')} {place.namespace}/{name}: a rollout that cannot succeed"
        return Plan((hit,), (f"{plural}/{place.namespace}/{name}",), data)

    def inject(self, place: Place, data: Data) -> None:
        self._set(place, data, data["wanted"])

    def heal(self, place: Place, data: Data) -> None:
        """As it was, unless somebody has repaired or changed it since."""
        found = place.api.find(data["plural"], data["name"])
        if found is None:
            return
        for container in found["spec"]["template"]["spec"]["containers"]:
            if container["name"] == data["container"]:
                ours = {key for key, value in data["wanted"].items() if container.get(key) == value}
                back = {key: value for key, value in data["before"].items() if key in ours}
                if back:
                    self._set(place, data, back)

    @staticmethod
    def _set(place: Place, data: Data, fields: dict[str, object]) -> None:
        change = {"spec": {"template": {"spec": {"containers": [{"name": data["container"], **fields}]}}}}
        try:
            place.api.patch(data["plural"], data["name"], change, type="strategic")
        except ApiError as error:
            if error.code != 404 or fields == data["wanted"]:
                raise
