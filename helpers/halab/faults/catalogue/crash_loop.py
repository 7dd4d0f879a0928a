"""A container that ends as soon as it starts, again and again."""

from __future__ import annotations

from halab.backends.access import Obj
from halab.backends.controls import AILMENTS, API
from halab.faults.base import Data, Options
from halab.faults.containers import ContainerFault


class CrashLoop(ContainerFault):
    name = "crash-loop"
    title = "Crash loop"
    needs = frozenset({API, AILMENTS})
    does = "The container is killed, and killed again at each of its starts."
    expect = "CrashLoopBackOff: the pod is not ready, its Services leave it out, kubelet waits longer before each further start."
    within = "a second or two"
    heals = "The next start is let live; it may have to wait for the back-off (10 s after the first crash, at most 5 minutes)."

    def request(self, pod: Obj, container: Obj, options: Options) -> Data:
        return {"do": "set", "crash": True, "restart": True}

    def remedy(self, request: Data) -> Data:
        return {"do": "set"}
