"""What is made to go wrong on this node, on purpose: the node's half of the failure catalogue (``halab fault``).

Everything is in memory: an agent that is started anew knows of none of it, and a container that ends takes its ailments' programs along.
Nothing here is written to the API; what is seen there is seen because it really happens.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field

from halab.cluster.client import Client, clock

from .records import Record
from .runtime import Container
from .runtime.base import Process

Key = tuple[str, str]  # a pod's uid, a container's name
KILLED = 128 + signal.SIGKILL


@dataclass(slots=True)
class Ailment:
    """One container's: it ends as soon as it starts (``crash``), its probes of these kinds fail, it does nothing for ``slow`` seconds after a start."""

    crash: bool = False
    probes: frozenset[str] = frozenset()
    slow: float = 0.0

    def __bool__(self) -> bool:
        return self.crash or bool(self.probes) or self.slow > 0


@dataclass(slots=True)
class Ailments:
    """``cut_off``: the API server and this node do not reach each other."""

    containers: dict[Key, Ailment] = field(default_factory=dict)
    programs: dict[Key, list[Process]] = field(default_factory=dict)
    cut_off: bool = False
    _following: set[asyncio.Future[None]] = field(default_factory=set)

    def fails(self, key: Key, probe: str) -> bool:
        ailment = self.containers.get(key)
        return ailment is not None and probe in ailment.probes

    def started(self, key: Key, record: Record) -> None:
        """A container was started: what it suffers from shows."""
        ailment = self.containers.get(key)
        if ailment is None or record.run is None:
            return
        handle: Container = record.run.handle
        if ailment.crash:
            handle.kill()
        elif ailment.slow > 0:
            handle.signal_all(signal.SIGSTOP)
            asyncio.get_running_loop().call_later(ailment.slow, handle.signal_all, signal.SIGCONT)

    def forget(self, uid: str) -> None:
        """The pod is gone."""
        for key in [key for key in {*self.containers, *self.programs} if key[0] == uid]:
            self.containers.pop(key, None)
            self.end_programs(key)

    def set(self, key: Key, ailment: Ailment) -> None:
        if ailment:
            self.containers[key] = ailment
        else:
            self.containers.pop(key, None)

    # Programs that run beside the container's own, and use up what it has

    async def run(self, key: Key, handle: Container, argv: Sequence[str], count: int) -> None:
        """Start ``count`` of them. One that the kernel kills for its memory takes the container along, as a whole cgroup is killed by kubelet."""
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            for _ in range(count):
                program = await handle.exec(argv, stdin=null, stdout=null, stderr=null)
                self.programs.setdefault(key, []).append(program)
                following = asyncio.ensure_future(self._follow(key, program, handle))
                self._following.add(following)
                following.add_done_callback(self._following.discard)
        finally:
            os.close(null)

    async def _follow(self, key: Key, program: Process, handle: Container) -> None:
        code = await program.wait()
        mine = self.programs.get(key, [])
        if program in mine:
            mine.remove(program)
            if code == KILLED:
                handle.kill()

    def end_programs(self, key: Key) -> None:
        for program in self.programs.pop(key, []):
            program.kill()

    # The node itself

    def cut(self, client: Client, cut_off: bool) -> None:
        self.cut_off = cut_off
        client.pool.cut(cut_off)

    def skew(self, seconds: float) -> None:
        clock.SKEW = seconds
