"""A real JupyterLab on a copy of the solved notebooks, a cluster of its own, and Debian's Chromium."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from homes import at_home

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))


browsers_loop: asyncio.AbstractEventLoop | None = None
"""Playwright's event loop between two tests of this folder."""


def leave_loop() -> None:
    global browsers_loop
    browsers_loop = asyncio._get_running_loop()
    asyncio._set_running_loop(None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Playwright's blocking API leaves its loop marked as running in this thread for as long as the browser lives, so every asynchronous
    test that came after it in the same process would be refused. The mark is there for this folder's tests only."""
    if not item.path.is_relative_to(Path(__file__).parent):  # this hook is asked about every folder's tests
        return (yield)
    asyncio._set_running_loop(browsers_loop)
    try:
        return (yield)
    finally:
        leave_loop()


@pytest.fixture(scope="session")
def course(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """(folder of the notebooks, HALAB_HOME); the cluster is up."""
    from halab.cluster.supervisor import manage

    folder, home = tmp_path_factory.mktemp("course"), tmp_path_factory.mktemp("home")
    for book in (ROOT / "notebooks" / "solved").glob("*.ipynb"):
        shutil.copy(book, folder)
    with at_home(home):
        manage.up()
    yield folder, home
    with at_home(home):
        manage.down(purge=True)


@pytest.fixture(scope="session")
def jupyter(course: tuple[Path, Path]) -> Iterator[Any]:
    from browser import JupyterLab

    folder, home = course
    with JupyterLab(folder, {"HALAB_HOME": str(home), "HALAB_COURSE": str(ROOT)}) as server:
        yield server


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    from browser import chromium as start

    with start() as browser:
        yield browser
        asyncio._set_running_loop(browsers_loop)  # the last test in this process may be another folder's
    leave_loop()


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    context = chromium.new_context(viewport={"width": 1280, "height": 1000})
    page = context.new_page()
    page.set_default_timeout(60_000)
    yield page
    context.close()


@pytest.fixture(autouse=True)
def _at_home(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "course" in request.fixturenames:
        monkeypatch.setenv("HALAB_HOME", str(request.getfixturevalue("course")[1]))
