"""Run the solved notebooks without a browser: as ``halab course``, with a progress display and a report.

Each notebook runs in a kernel of its own, from its lab's pristine scene, as a learner would go through it.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from halab.course.catalog import course_root, find
from halab.errors import UsageError

CELL_TIMEOUT = 180  # seconds; the slowest honest cell waits for a rollout
SLOWEST = 5  # cells in the report

Tick = Callable[[str, int, int], None]
Reset = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Ran:
    """One notebook's outcome. ``cell`` and ``error`` say where it stopped; ``slowest`` are the cells that took longest, with their seconds."""

    name: str
    passed: bool
    cells: int
    seconds: float
    cell: str = ""
    error: str = ""
    slowest: tuple[tuple[str, float], ...] = ()

    def document(self) -> dict[str, Any]:
        return asdict(self)

    def line(self) -> str:
        text = f"{'✔' if self.passed else '✘'} {self.name:<28} {self.cells:>3} cells {self.seconds:6.1f} s"
        return text if self.passed else f"{text}\n    cell {self.cell}: {self.error}"


def notebooks(names: list[str]) -> list[Path]:
    """The solved notebooks wanted, in order; all without ``names``."""
    folder = course_root() / "notebooks" / "solved"
    found = [folder / f"{find(name).slug}.ipynb" for name in names] or sorted(folder.glob("[0-9][0-9]-*.ipynb"))
    missing = [str(path) for path in found if not path.is_file()]
    if missing or not found:
        raise UsageError("course", f"no notebook: {', '.join(missing) or folder}", "run: make build")
    return found


def run(names: list[str], reset: Reset, *, keep_going: bool, quiet: bool, tidy: Reset = lambda _name: None) -> list[Ran]:
    """Run them one after the other; ``reset`` sets the lab of a notebook back to its beginning, ``tidy`` takes away what a notebook that
    passed has left. What failed stays, to be looked at."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    books = notebooks(names)
    done: list[Ran] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as bar:
        for book in books:
            task = bar.add_task(book.stem, total=None)
            result = run_one(book, reset, lambda _name, number, total, task=task: bar.update(task, completed=number, total=total))  # type: ignore[misc]
            done.append(result)
            if result.passed:
                tidy(book.stem)
            bar.update(task, description=f"{'✔' if result.passed else '✘'} {book.stem}")
            if not (quiet or console.is_terminal):  # a log gets a line a notebook
                print(result.line(), file=sys.stderr, flush=True)
            if not result.passed and not keep_going:
                break
    return done


def run_one(book: Path, reset: Reset, tick: Tick) -> Ran:
    """Reset the lab, then run every cell of its solved notebook."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    start = time.monotonic()
    reset(book.stem)
    content = nbformat.reads(book.read_text(), as_version=4)
    total = sum(1 for cell in content.cells if cell.cell_type == "code")
    number, current, since = 0, "", 0.0
    spent: dict[str, float] = {}

    def began(cell: Any, cell_index: int) -> None:
        nonlocal number, current, since
        if cell.cell_type == "code":
            current, since = str(cell.get("id", cell_index)), time.monotonic()
            tick(current, number, total)
            number += 1

    def ended(cell: Any, **_: Any) -> None:
        spent[current] = round(time.monotonic() - since, 1)

    def outcome(passed: bool, cell: str = "", error: str = "") -> Ran:
        slowest = sorted(spent.items(), key=lambda row: -row[1])[:SLOWEST]
        return Ran(book.stem, passed, number, round(time.monotonic() - start, 1), cell, error, tuple(slowest))

    client = NotebookClient(
        content,
        timeout=CELL_TIMEOUT,
        kernel_name="python3",
        extra_arguments=["--log-level=ERROR"],  # its warnings about itself are nothing to the reader
        on_cell_start=began,
        on_cell_executed=ended,
        resources={"metadata": {"path": str(book.parent)}},
    )
    try:
        client.execute()
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        said = getattr(error, "evalue", "") or (str(error).strip().splitlines() or [type(error).__name__])[-1]
        return outcome(False, current, " ".join(said.split()))
    except (AssertionError, AttributeError, asyncio.CancelledError) as error:
        # nbclient hears the signals itself: it ends its kernel, and then trips over its absence.
        if client.km is None or isinstance(error, asyncio.CancelledError):
            raise KeyboardInterrupt from None
        raise
    tick("", total, total)
    return outcome(True)
