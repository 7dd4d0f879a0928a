"""One cluster a test process, on which the labs are played. It is gone afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from halab.session import LabSession, open_lab
from homes import at_home


@pytest.fixture(scope="session")
def lab_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    from halab.cluster.supervisor import manage

    home = tmp_path_factory.mktemp("labs")
    with at_home(home):
        manage.up()
    yield home
    with at_home(home):
        manage.down(purge=True)


@pytest.fixture
def play(lab_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """``play(slug)``: the lab in its pristine scene."""
    monkeypatch.setenv("HALAB_HOME", str(lab_home))
    opened: list[LabSession] = []

    def start(slug: str) -> LabSession:
        session = open_lab(slug, quiet=True)
        session.reset(quiet=True)
        opened.append(session)
        return session

    yield start
    for session in opened:
        session.reset(quiet=True)
