"""One cluster a test process, on which the labs are played. It is gone afterwards, with everything that was started for it.

``--lab NN`` plays that lab alone, ``--times N`` its solution N times in a row and ``--mistakes N`` each mistake; ``--record FOLDER`` writes
down what was seen if nothing failed: ``make prove LAB=07 TIMES=10`` (``docs/proofs.md`` is made from such records).
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from proof import SOLUTION, Proof, cluster_wide

from halab import backends
from halab.course import catalog, stage
from halab.course.vocabulary import until
from halab.session import LabSession, open_lab
from homes import at_home

GONE_WITHIN = 10.0  # seconds from the cluster's end until no process is left
SCRATCH = "scratch"
EMPTY = (
    SCRATCH,
    "clusters",
    "containers",
    "registries",
)  # in a home whose cluster is gone; images, caches and the learner's files stay


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--lab", action="append", default=[], metavar="NN", help="only this lab (may be given several times)")
    parser.addoption("--times", type=int, default=1, metavar="N", help="play every lab's solution so many times")
    parser.addoption("--mistakes", type=int, default=1, metavar="N", help="play every mistake, and reset, so many times")
    parser.addoption(
        "--record", type=Path, metavar="FOLDER", help="write what was seen there, a file a lab, if every test passed"
    )


def pytest_configure(config: pytest.Config) -> None:
    if (folder := config.getoption("--record", None)) is not None:
        config.pluginmanager.register(Proof(folder), "proof")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    times = metafunc.config.getoption("--times" if metafunc.function.__name__ == SOLUTION else "--mistakes", 1)
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
    with at_home(home), pytest.MonkeyPatch.context() as patch:
        scratch_in(home, patch)
        manage.up()
        before = cluster_wide(backends.connect().kubeconfig())
    yield home
    with at_home(home), pytest.MonkeyPatch.context() as patch:
        scratch_in(home, patch)
        for lab in catalog.load_all():
            if (home / "work" / lab.slug).is_dir():
                stage.leave(lab, open_lab(lab.slug, quiet=True).scene)
        after = cluster_wide(backends.connect().kubeconfig())
        manage.down(purge=True)
    until(lambda: not started_for(home), GONE_WITHIN)
    assert not started_for(home), "processes are left"
    assert after == before, f"left on the cluster: {after - before}; missing: {before - after}"
    left = [str(entry) for folder in EMPTY if (home / folder).is_dir() for entry in (home / folder).iterdir()]
    assert not left, "files of what is gone are left"


def scratch_in(home: Path, patch: pytest.MonkeyPatch) -> None:
    """Scratch folders, of this process and of all that it starts, are where it is seen whether they stay."""
    (home / SCRATCH).mkdir(exist_ok=True)
    patch.setenv("TMPDIR", str(home / SCRATCH))
    patch.setattr(tempfile, "tempdir", str(home / SCRATCH))


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
def play(lab_home: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[object]:
    """``play(slug)``: the lab in its pristine scene. How long the reset takes afterwards is noted."""
    monkeypatch.setenv("HALAB_HOME", str(lab_home))
    scratch_in(lab_home, monkeypatch)
    opened: list[LabSession] = []
    note = request.node.user_properties.append

    def start(slug: str) -> LabSession:
        session = open_lab(slug, quiet=True)
        session.reset(quiet=True)
        opened.append(session)
        note(("lab", slug))
        note(("load", os.getloadavg()[0]))
        return session

    yield start
    for session in opened:
        began = time.monotonic()
        session.reset(quiet=True)
        note(("reset", time.monotonic() - began))
