"""A real full disk: a small file system of its own. What is acknowledged is kept, the rest is refused, and room is all it takes to go on."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.api_process import Server
from cluster.bare_cluster import free_number, make
from cluster.small_disk import mounted
from halab.cluster.client.client import Client
from halab.cluster.kube.kinds import CONFIG_MAPS
from halab.cluster.kube.status import ApiError

SIZE = "12m"
BALLAST = 4 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", SIZE) as folder:
        yield folder


def last_byte(path: Path) -> None:
    """Leave no room at all."""
    try:
        with path.open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
    except OSError as error:
        assert error.errno == errno.ENOSPC


async def fill(client: Client, known: dict[str, str], prefix: str) -> ApiError:
    """Write until the server refuses."""
    for number in range(1000):
        name, value = f"{prefix}-{number}", random.randbytes(50_000).hex()
        try:
            await client.create(CONFIG_MAPS, {"metadata": {"name": name, "namespace": "default"}, "data": {"v": value}})
        except ApiError as error:
            return error
        known[name] = value
    raise AssertionError("the disk is never full")


async def there(client: Client) -> dict[str, str]:
    items, _ = await client.list(CONFIG_MAPS, "default")
    return {item["metadata"]["name"]: item["data"]["v"] for item in items if "v" in item.get("data", {})}


async def test_on_a_full_disk_writes_are_refused_reads_go_on_and_nothing_acknowledged_is_lost(small_disk: Path) -> None:
    number, claim = free_number()
    server = Server(make(small_disk / "c", number))
    ballast = small_disk / "ballast"
    ballast.write_bytes(os.urandom(BALLAST))
    known: dict[str, str] = {}
    try:
        server.start()
        client = server.client()
        error = await fill(client, known, "first")
        assert error.status()["kind"] == "Status"
        assert error.code >= 500
        assert await there(client) == known
        assert len(known) > 5
        client.close()

        server.kill()  # a crash on a full disk, and a start on it while nobody has made room
        last_byte(small_disk / "rest")
        server.start()
        client = server.client()
        assert await there(client) == known
        await fill(client, known, "still-full")  # a journal that the start could do without may have left some room
        assert await there(client) == known
        client.close()

        ballast.write_bytes(b"")  # room is all it takes: no restart, no command
        client = server.client()
        await client.create(CONFIG_MAPS, {"metadata": {"name": "again", "namespace": "default"}, "data": {"v": "1"}})
        known["again"] = "1"
        assert await there(client) == known

        await fill(client, known, "second")
        assert await there(client) == known
        client.close()
    finally:
        server.stop()
        claim.close()
