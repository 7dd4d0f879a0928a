"""The solved notebooks run from top to bottom, and what nbval compares is what the course prints."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOLVED = sorted((ROOT / "notebooks" / "solved").glob("[0-9][0-9]-*.ipynb"))
CELL_TIMEOUT = 180  # seconds


@pytest.mark.parametrize("book", SOLVED, ids=lambda p: p.stem)
@pytest.mark.needs("kubectl", "nginx", "busybox", "curl")
def test_a_solved_notebook_runs_and_prints_what_it_should(book: Path, halab_home: Path) -> None:
    command = [
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval-lax", str(book)),
        *("--nbval-sanitize-with", str(ROOT / "tests" / "notebooks" / "sanitize.cfg"), "--nbval-cell-timeout", str(CELL_TIMEOUT)),
        *("--rootdir", str(book.parent), "-c", "/dev/null"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=book.parent)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def test_every_notebook_is_what_its_source_makes() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "notebooks.py"), "verify"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
