"""One cluster a test process, on which the labs are played. It is gone afterwards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from halab.session import LabSession, open_lab


@pytest.fixture(scope="session")
def lab_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    from halab.cluster.supervisor import manage

    home, before = tmp_path_factory.mktemp("labs"), os.environ["HALAB_HOME"]
    os.environ["HALAB_HOME"] = str(home)
    manage.up()
    yield home
    manage.down(purge=True)
    os.environ["HALAB_HOME"] = before


@pytest.fixture
def play(lab_home: Path) -> Iterator[object]:
    """``play(slug)``: the lab in its pristine scene."""
    opened: list[LabSession] = []

    def start(slug: str) -> LabSession:
        session = open_lab(slug, quiet=True)
        session.reset(quiet=True)
        opened.append(session)
        return session

    yield start
    for session in opened:
        session.reset(quiet=True)
