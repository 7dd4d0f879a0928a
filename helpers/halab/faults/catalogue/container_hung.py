"""A container hangs: it is there, it answers nobody."""

from __future__ import annotations

from halab.backends.access import Obj
from halab.backends.controls import API, SIGNALS
from halab.faults.base import Data, Options
from halab.faults.containers import ContainerFault


class ContainerHung(ContainerFault):
    name = "container-hung"
    title = "Container hung"
    needs = frozenset({API, SIGNALS})
    does = "SIGSTOP to every process of the container: connections are accepted by the kernel, no answer comes."
    expect = (
        "Requests sent to it time out. A readiness probe takes it out of its Services, a liveness probe restarts it; without probes "
        "Kubernetes sees nothing, and users go on being sent to it."
    )
    within = "at once for users; the probe's periodSeconds x failureThreshold for Kubernetes"
    heals = "SIGCONT: the program goes on where it was."

    def request(self, pod: Obj, container: Obj, options: Options) -> Data:
        return {"do": "signal", "signal": "SIGSTOP"}

    def remedy(self, request: Data) -> Data:
        return {"do": "signal", "signal": "SIGCONT"}
