"""A container grows until it is killed for its memory."""

from __future__ import annotations

from halab.backends.access import Obj
from halab.backends.controls import API, PROGRAMS
from halab.errors import UsageError
from halab.faults.base import Data, Option, Options
from halab.faults.containers import WHICH, ContainerFault

# A megabyte is made by doubling, then kept once more at each step.
PROGRAM = (
    "s=0123456789abcdef; i=0; while [ $i -lt 16 ]; do s=$s$s; i=$((i+1)); done; "
    'i=0; while :; do eval "v$i=\\$s"; i=$((i+1)); [ $((i%{burst})) -eq 0 ] && sleep 0.1; done'
)


class MemoryGrowth(ContainerFault):
    name = "memory-growth"
    title = "Memory growth to OOM"
    needs = frozenset({API, PROGRAMS})
    does = "A program inside the container keeps more and more memory."
    expect = (
        "At its memory limit the container is killed (OOMKilled, exit code 137) and restarted; requests to it fail meanwhile."
    )
    within = "the container's memory limit divided by the rate"
    heals = "The program is ended; the container, if it was killed, is restarted by kubelet."
    options = (*WHICH, Option("rate", 50, "megabytes a second", 10, 1000))

    def request(self, pod: Obj, container: Obj, options: Options) -> Data:
        if not ((container.get("resources") or {}).get("limits") or {}).get("memory"):
            raise UsageError(
                f"fault {self.name}: pod {pod['metadata']['name']}",
                f"container {container['name']} has no memory limit: nothing would stop it but the machine's end",
                "set resources.limits.memory first",
            )
        return {"do": "run", "argv": ["sh", "-c", PROGRAM.format(burst=max(1, int(options["rate"]) // 10))]}

    def remedy(self, request: Data) -> Data:
        return {"do": "end"}
