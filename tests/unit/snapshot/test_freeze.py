"""Processes that stand still, and go on whatever happens to whoever held them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from halab.cluster.supervisor.snapshot.freeze import frozen

FAMILY = "sleep 60 & echo $!; sleep 60"


def stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


@pytest.fixture
def family() -> Iterator[tuple[int, int]]:
    """A process and a child of it."""
    with subprocess.Popen(["sh", "-c", FAMILY], stdout=subprocess.PIPE, text=True, start_new_session=True) as parent:
        assert parent.stdout is not None
        yield parent.pid, int(parent.stdout.readline())
        os.killpg(parent.pid, signal.SIGKILL)


def test_a_family_stands_still_for_the_block_and_then_goes_on(family: tuple[int, int]) -> None:
    with frozen([family[0]]):
        assert [stopped(pid) for pid in family] == [True, True]
    assert [stopped(pid) for pid in family] == [False, False]


def test_what_stood_still_before_goes_on_standing_still(family: tuple[int, int]) -> None:
    os.kill(family[1], signal.SIGSTOP)
    while not stopped(family[1]):
        pass
    with frozen([family[0]]):
        pass
    assert [stopped(pid) for pid in family] == [False, True]


def test_a_family_whose_holder_is_killed_goes_on(family: tuple[int, int]) -> None:
    code = (
        "import os, signal, sys\nfrom halab.cluster.supervisor.snapshot.freeze import frozen\n"
        "with frozen([int(sys.argv[1])]):\n    os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(family[0])], check=False).returncode == -signal.SIGKILL
    while any(stopped(pid) for pid in family):
        pass
