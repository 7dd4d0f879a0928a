"""The node's half: what a container suffers from, and what is forgotten with its pod."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from halab.cluster.client import clock
from halab.cluster.dataplane.dns import lost
from halab.cluster.dataplane.model import Fault
from halab.cluster.node.ailments import KILLED, Ailment, Ailments
from halab.cluster.node.records import Record, Role, Run

KEY = ("uid", "web")


class Program:
    def __init__(self) -> None:
        self.pid = 0
        self.over: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def wait(self) -> int:
        return await self.over

    def kill(self) -> None:
        if not self.over.done():
            self.over.set_result(KILLED)


class Container:
    """Counts how often it is killed; never a real process (``pid`` 0 is signalled to nobody)."""

    pid = 0

    def __init__(self) -> None:
        self.killed = 0
        self.programs: list[Program] = []

    def kill(self) -> None:
        self.killed += 1

    async def exec(self, argv: Sequence[str], **_streams: Any) -> Program:
        self.programs.append(Program())
        return self.programs[-1]


def record(container: Container) -> Record:
    return Record("web", Role.MAIN, run=Run("id", 0, "", "", "", state="running", handle=container))


def test_a_container_in_a_crash_loop_is_killed_at_each_start_until_it_is_healed() -> None:
    ailments, container = Ailments(), Container()
    ailments.set(KEY, Ailment(crash=True))
    ailments.started(KEY, record(container))
    ailments.started(("uid", "other"), record(container))
    assert container.killed == 1
    ailments.set(KEY, Ailment())
    ailments.started(KEY, record(container))
    assert container.killed == 1
    assert ailments.containers == {}


def test_only_the_probes_that_were_named_fail() -> None:
    ailments = Ailments()
    ailments.set(KEY, Ailment(probes=frozenset({"readiness"})))
    assert ailments.fails(KEY, "readiness")
    assert not ailments.fails(KEY, "liveness")
    assert not ailments.fails(("other", "web"), "readiness")


def test_everything_is_forgotten_with_the_pod() -> None:
    async def check() -> None:
        ailments, container = Ailments(), Container()
        ailments.set(KEY, Ailment(crash=True))
        await ailments.run(KEY, container, ["sh"], 2)  # type: ignore[arg-type]
        ailments.forget("uid")
        await asyncio.sleep(0)
        assert ailments.containers == {}
        assert ailments.programs == {}
        assert all(program.over.done() for program in container.programs)
        assert container.killed == 0, "ending the programs is no reason to end the container"

    asyncio.run(check())


def test_a_program_killed_for_its_memory_takes_the_container_along() -> None:
    async def check() -> None:
        ailments, container = Ailments(), Container()
        await ailments.run(KEY, container, ["sh"], 2)  # type: ignore[arg-type]
        first, second = container.programs
        first.over.set_result(0)
        await asyncio.sleep(0.01)
        assert container.killed == 0
        second.over.set_result(KILLED)
        await asyncio.sleep(0.01)
        assert container.killed == 1

    asyncio.run(check())


def test_a_skewed_clock_shows_in_what_is_written_and_nowhere_else() -> None:
    before = clock.rfc3339(1000.0)
    Ailments().skew(60.0)
    try:
        assert clock.seconds_of(clock.rfc3339(1000.0)) == 1060.0
        assert clock.seconds_of(before) == 1000.0
    finally:
        Ailments().skew(0.0)
    assert clock.rfc3339(1000.0) == before


def test_dns_questions_are_lost_in_the_share_that_was_asked_for() -> None:
    assert all(lost(Fault(drop=100.0)) for _ in range(50))
    assert not any(lost(Fault(delay=1.0)) for _ in range(50))
