"""A container that takes long to start."""

from __future__ import annotations

from halab.backends.access import Obj
from halab.backends.controls import AILMENTS, API
from halab.faults.base import Data, Option, Options
from halab.faults.containers import WHICH, ContainerFault


class SlowStart(ContainerFault):
    name = "slow-start"
    title = "Slow start"
    needs = frozenset({API, AILMENTS})
    does = "The container is restarted, and does nothing for the first seconds of this and every further start."
    expect = (
        "Without a readiness or startup probe users are sent to it before it serves; with one they wait for nobody. "
        "A liveness probe without a startup probe kills it before it is up."
    )
    within = "at once"
    heals = "Starts are as quick as before; one that is under way ends its wait."
    options = (*WHICH, Option("seconds", 10.0, "how long a start takes", 0.1, 600))

    def request(self, pod: Obj, container: Obj, options: Options) -> Data:
        return {"do": "set", "slow": options["seconds"], "restart": True}

    def remedy(self, request: Data) -> Data:
        return {"do": "set", "wake": True}
