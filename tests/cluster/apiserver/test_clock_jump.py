"""A clock that jumps: whoever counts time counts it on the monotonic clock, and renewals are told by their change, not by their stamp."""

from __future__ import annotations

import asyncio
import time

import pytest

from cluster.api_process import Server
from halab.cluster.client.client import Client
from halab.cluster.client.leader import LeaderElector
from halab.cluster.kube.kinds import CONFIG_MAPS, LEASES

DAY = 86400.0


@pytest.mark.parametrize("jump", [DAY, -DAY])
async def test_a_leader_stays_the_only_one_when_a_clock_jumps_by_a_day(
    server: Server, client: Client, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    leaders: list[str] = []
    began = asyncio.Event()
    name = "jump-forward" if jump > 0 else "jump-back"

    async def lead(who: str) -> None:
        leaders.append(who)
        began.set()
        await asyncio.get_running_loop().create_future()

    def candidate(who: str) -> asyncio.Task[None]:
        elector = LeaderElector(client, name, who, duration=3.0, renew_every=0.2)
        return asyncio.create_task(elector.run(lambda: lead(who)))

    first = candidate("first")
    await asyncio.wait_for(began.wait(), 10)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + jump)
    second = candidate("second")
    _, version = await client.list(LEASES, "kube-system")
    renewals = 0
    async with asyncio.timeout(20):
        async for _, lease in client.watch(LEASES, "kube-system", version):
            renewals += lease["metadata"]["name"] == name
            if renewals == 10:
                break
    assert leaders == ["first"]
    created = await client.create(CONFIG_MAPS, {"metadata": {"generateName": "after-", "namespace": "default"}})
    assert created["metadata"]["resourceVersion"]
    for task in (first, second):
        task.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
