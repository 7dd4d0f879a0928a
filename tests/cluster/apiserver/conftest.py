"""A real API server process for the tests of a module, with an address range of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from cluster.api_process import Server
from cluster.bare_cluster import free_number, make
from halab.cluster.client.client import Client


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    number, claim = free_number()
    made = Server(make(tmp_path_factory.mktemp("home") / "c", number))
    made.start()
    yield made
    made.stop()
    claim.close()


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    made = server.client()
    yield made
    made.close()
