"""The registry is down."""

from __future__ import annotations

from halab.backends.controls import REGISTRY
from halab.faults.base import Data, Fault, Options, Place, Plan


class RegistryDown(Fault):
    name = "registry-down"
    title = "Registry down"
    does = "The registry beside the cluster (halab image registry) is stopped."
    expect = (
        "Running pods run on. A node that must pull (a new image, or imagePullPolicy Always) gets ErrImagePull, then ImagePullBackOff: "
        "a restart elsewhere can fail although nothing is wrong with the application."
    )
    within = "at the next pull"
    heals = "The registry is started at the same address, with its images."
    target = "registry"
    needs = frozenset({REGISTRY})
    cluster_wide = True

    def plan(self, place: Place, target: str, options: Options) -> Plan:
        name = target.rpartition("/")[2] or "default"
        address = place.controls.registry(name, "find")
        return Plan((f"registry {name} at {address}",), (f"registry/{name}",), {"name": name, "address": address})

    def inject(self, place: Place, data: Data) -> None:
        place.controls.registry(data["name"], "stop")

    def heal(self, place: Place, data: Data) -> None:
        place.controls.registry(data["name"], "start", data["address"])
