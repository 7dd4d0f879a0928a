"""What was acknowledged is there after a crash, whatever the moment of the crash."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from cluster.api_process import Server
from cluster.bare_cluster import free_number, make
from halab.cluster.client.client import Client
from halab.cluster.kube.kinds import CONFIG_MAPS
from halab.cluster.kube.status import ApiError

CRASHES = 12
WRITERS = 6
LONGEST_RUN = 0.6  # seconds of load between two crashes


async def write_until_it_dies(client: Client, who: int, acknowledged: dict[str, str | None]) -> None:
    """Create, change and delete ConfigMaps; note only what the server acknowledged. What is unknown at the end is forgotten."""
    for number in range(1_000_000):
        name = f"w{who}-{random.randrange(10**9)}"
        try:
            await client.create(CONFIG_MAPS, {"metadata": {"name": name, "namespace": "default"}, "data": {"n": "0"}})
            acknowledged[name] = "0"
            patch = {"data": {"n": str(number)}}
            acknowledged.pop(name)
            await client.patch(CONFIG_MAPS, name, "default", patch)
            acknowledged[name] = str(number)
            if number % 3 == 0:
                acknowledged.pop(name)
                await client.delete(CONFIG_MAPS, name, "default")
                acknowledged[name] = None
        except (OSError, TimeoutError, ApiError):
            return


async def missing(client: Client, acknowledged: dict[str, str | None]) -> list[str]:
    items, _ = await client.list(CONFIG_MAPS, "default")
    found = {item["metadata"]["name"]: item["data"]["n"] for item in items}
    return [
        f"{name}: {value} acknowledged, {found.get(name)} found"
        for name, value in acknowledged.items()
        if found.get(name) != value
    ]


async def test_no_acknowledged_write_is_lost_when_the_server_is_killed_under_load(tmp_path: Path) -> None:
    number, claim = free_number()
    server = Server(make(tmp_path / "c", number))
    acknowledged: dict[str, str | None] = {}
    revision = 0
    try:
        for crash in range(CRASHES):
            server.start()
            client = server.client()
            assert await missing(client, acknowledged) == []
            _, version = await client.list(CONFIG_MAPS, "default")
            assert int(version) >= revision
            writers = [asyncio.create_task(write_until_it_dies(client, who, acknowledged)) for who in range(WRITERS)]
            await asyncio.sleep(random.uniform(0.05, LONGEST_RUN))
            server.kill()
            await asyncio.gather(*writers)
            client.close()
            revision = int(version)
            if crash % 3 == 2:
                damage_last_page(server.config.database)
        server.start()
        client = server.client()
        assert await missing(client, acknowledged) == []
        assert len(acknowledged) > CRASHES
        client.close()
    finally:
        server.stop()
        claim.close()


def damage_last_page(database: Path) -> None:
    """Overwrite a part of the last page of the write-ahead log, as a torn write would."""
    wal = database.with_name(database.name + "-wal")
    data = bytearray(wal.read_bytes()) if wal.exists() else bytearray()
    if len(data) > 4096:
        data[-3000:-1000] = random.randbytes(2000)
        wal.write_bytes(data)


async def test_a_server_that_starts_again_goes_on_with_the_same_objects_and_watches(tmp_path: Path) -> None:
    number, claim = free_number()
    server = Server(make(tmp_path / "c", number))
    try:
        server.start()
        client = server.client()
        await client.create(CONFIG_MAPS, {"metadata": {"name": "before", "namespace": "default"}})
        _, version = await client.list(CONFIG_MAPS, "default")
        await client.create(CONFIG_MAPS, {"metadata": {"name": "between", "namespace": "default"}})
        client.close()
        server.kill()
        server.start()
        client = server.client()
        async with asyncio.timeout(10):
            async for kind, obj in client.watch(CONFIG_MAPS, "default", version):
                assert (kind, obj["metadata"]["name"]) == ("ADDED", "between")
                break
        client.close()
    finally:
        server.stop()
        claim.close()


@pytest.fixture
def second(server: Server) -> Server:
    return Server(server.config, port=16443)


async def test_two_servers_over_one_database_show_the_same_at_once(server: Server, second: Server) -> None:
    second.start()
    one, two = server.client(), second.client()
    try:
        _, version = await two.list(CONFIG_MAPS, "default")
        events = two.watch(CONFIG_MAPS, "default", version)
        await one.create(CONFIG_MAPS, {"metadata": {"name": "shared", "namespace": "default"}, "data": {"n": "1"}})
        assert (await two.get(CONFIG_MAPS, "shared", "default"))["data"] == {"n": "1"}
        async with asyncio.timeout(10):
            kind, obj = await anext(aiter(events))
        assert (kind, obj["metadata"]["name"]) == ("ADDED", "shared")
        await asyncio.gather(
            *(each.patch(CONFIG_MAPS, "shared", "default", {"data": {f"k{n}": "x"}}) for n in range(40) for each in (one, two))
        )
        assert len((await one.get(CONFIG_MAPS, "shared", "default"))["data"]) == 41
    finally:
        one.close()
        two.close()
        second.stop()
