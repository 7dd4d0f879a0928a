"""One cluster a test process, on which the labs are played. It is gone afterwards, with everything that was started for it.

``--lab NN`` plays that lab alone, ``--times N`` everything N times: ``make prove LAB=07 TIMES=10``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from halab.course.vocabulary import until
from halab.session import LabSession, open_lab
from homes import at_home

GONE_WITHIN = 10.0  # seconds from the cluster's end until no process is left


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--lab", action="append", default=[], metavar="NN", help="only this lab (may be given several times)")
    parser.addoption("--times", type=int, default=1, metavar="N", help="play every lab so many times")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    times = metafunc.config.getoption("--times", 1)
    if times > 1 and "play" in metafunc.fixturenames:
        metafunc.fixturenames.append("again")
        metafunc.parametrize("again", range(1, times + 1))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = {number.zfill(2) for number in config.getoption("--lab", [])}
    if not wanted:
        return
    labs = {item: getattr(getattr(item, "callspec", None), "params", {}).get("lab") for item in items}
    kept = [item for item in items if labs[item] is not None and labs[item].number in wanted]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


@pytest.fixture(scope="session")
def lab_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    from halab.cluster.supervisor import manage

    home = tmp_path_factory.mktemp("labs")
    with at_home(home):
        manage.up()
    yield home
    with at_home(home):
        manage.down(purge=True)
    until(lambda: not started_for(home), GONE_WITHIN)
    assert not started_for(home), "processes are left"


def started_for(home: Path) -> list[str]:
    """The processes that were told of ``home`` and are not of this test run itself (whose environment named it only while it ran)."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            said = (process / "cmdline").read_bytes() + (process / "environ").read_bytes() if process.name.isdigit() else b""
        except OSError:
            continue  # gone meanwhile, or another user's
        if str(home).encode() in said:
            found.append(f"{process.name}: {(process / 'comm').read_text().strip()}")
    return found


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
