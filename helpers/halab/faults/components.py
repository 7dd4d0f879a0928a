"""Failures of the cluster's own processes."""

from __future__ import annotations

from typing import ClassVar

from halab.faults.base import Data, Fault, Options, Place, Plan


class ComponentDown(Fault):
    """One component is killed and stays down."""

    cluster_wide = True
    component: ClassVar[str]

    def plan(self, place: Place, target: str, options: Options) -> Plan:
        return Plan((f"the process {self.component} of the cluster",), (f"component/{self.component}",), {})

    def inject(self, place: Place, data: Data) -> None:
        place.controls.component(self.component, "stop")

    def heal(self, place: Place, data: Data) -> None:
        place.controls.component(self.component, "start")
