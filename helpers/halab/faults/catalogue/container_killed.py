"""A container's processes are killed, as by a crash or by the kernel."""

from __future__ import annotations

from halab.backends.access import Obj
from halab.backends.controls import API, SIGNALS
from halab.faults.base import Data, Options
from halab.faults.containers import ContainerFault


class ContainerKilled(ContainerFault):
    name = "container-killed"
    title = "Container killed"
    needs = frozenset({API, SIGNALS})
    does = "SIGKILL to every process of the container."
    expect = (
        "The container is restarted in its pod (restartCount rises, exit code 137). Requests to it are refused until it serves again; "
        "with other replicas, most users never notice."
    )
    within = "at once"
    heals = "By itself: kubelet restarts the container, with a growing back-off (10 s, 20 s ...) if it is killed again."
    duration = 5.0

    def request(self, pod: Obj, container: Obj, options: Options) -> Data:
        return {"do": "signal", "signal": "SIGKILL"}

    def remedy(self, request: Data) -> None:
        return None
