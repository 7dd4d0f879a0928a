"""A container uses all the CPU that it can get."""

from __future__ import annotations

from halab.backends.access import Obj
from halab.backends.controls import API, PROGRAMS
from halab.faults.base import Data, Option, Options
from halab.faults.containers import WHICH, ContainerFault

PROGRAM = ["sh", "-c", "while :; do :; done"]


class CpuBurn(ContainerFault):
    name = "cpu-burn"
    title = "CPU burn"
    needs = frozenset({API, PROGRAMS})
    does = "Endless loops run inside the container, beside its program."
    expect = (
        "kubectl top shows it; a HorizontalPodAutoscaler adds replicas; with a CPU limit the container is throttled and answers "
        "slower, without one its neighbours are slower too."
    )
    within = "15 s for metrics and autoscaling, at once for users"
    heals = "The loops are ended."
    options = (*WHICH, Option("loops", 1, "how many loops, each good for one core", 1, 64))

    def request(self, pod: Obj, container: Obj, options: Options) -> Data:
        return {"do": "run", "argv": PROGRAM, "count": options["loops"]}

    def remedy(self, request: Data) -> Data:
        return {"do": "end"}
