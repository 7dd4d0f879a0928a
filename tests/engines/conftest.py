"""One engine for all tests that want one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .dockerd import engine


@pytest.fixture(scope="session")
def dockerd() -> Iterator[str]:
    with engine() as host:
        yield host
