"""One engine for all tests that want one: Docker's, or with HALAB_TEST_ENGINE=podman Podman's."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from . import dockerd as docker_engine
from . import podman


@pytest.fixture(scope="session")
def dockerd() -> Iterator[str]:
    chosen = podman if os.environ.get("HALAB_TEST_ENGINE") == "podman" else docker_engine
    with chosen.engine() as host:
        yield host
