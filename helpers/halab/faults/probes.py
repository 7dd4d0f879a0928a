"""Probes that fail although the program is well."""

from __future__ import annotations

from typing import ClassVar

from halab.backends.access import Obj
from halab.backends.controls import AILMENTS, API
from halab.errors import UsageError
from halab.faults.base import Data, Options
from halab.faults.containers import ContainerFault


class ProbeFailing(ContainerFault):
    probe: ClassVar[str]
    needs = frozenset({API, AILMENTS})

    def request(self, pod: Obj, container: Obj, options: Options) -> Data:
        if f"{self.probe}Probe" not in container:
            raise UsageError(
                f"fault {self.name}: pod {pod['metadata']['name']}",
                f"container {container['name']} has no {self.probe} probe",
                f"add a {self.probe}Probe to it first",
            )
        return {"do": "set", "probes": [self.probe]}

    def remedy(self, request: Data) -> Data:
        return {"do": "set"}
