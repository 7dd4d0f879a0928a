"""What learners hand in: ``DIR/LEARNER/NN-slug/``, each a copy of the learner's working folder of that lab. Reading only: nothing is run here.

A submission is data from strangers. What is not a plain file of reasonable size in a plain folder makes it malformed, and says so in its row.
Neighbours: ``handin`` plays one submission, ``grading`` makes the table.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from halab.course.catalog import FOLDER, Lab
from halab.errors import UsageError

MOST_FILES, MOST_BYTES = 500, 20_000_000
WORK = "work"  # a learner may hand in the whole folder of that name
SCRIPT = "apply.sh"
LEFT_OUT = {".ipynb_checkpoints", "__pycache__", ".git"}


@dataclass(frozen=True, slots=True)
class Submission:
    """One learner's folder for one lab; ``folder`` is None where there is none. ``problem`` says why it cannot be graded; empty where it can."""

    learner: str
    lab: str
    folder: Path | None
    problem: str = ""


def find(root: Path, labs: list[Lab]) -> tuple[list[Submission], list[str]]:
    """The submissions below ``root`` by learner and lab, and remarks on what was passed over. Without ``labs`` asked for, a lab
    that a learner left out has no row. Raises UsageError where there is no learner at all."""
    known = {lab.slug for lab in labs}
    try:
        entries = sorted(root.iterdir())
    except OSError as error:
        raise UsageError(
            str(root), f"cannot be read: {error.strerror}", "give the folder that holds a folder a learner"
        ) from error
    found: list[Submission] = []
    remarks: list[str] = []
    for learner in entries:
        if learner.name.startswith(".") or not _is_folder(learner):
            remarks.append(f"{learner.name}: is not a learner's folder")
            continue
        rows, said = _of(learner, known)
        found += rows
        remarks += said
    if not found:
        raise UsageError(str(root), "holds no learner's folder", "expected: DIR/LEARNER/NN-slug/, such as DIR/ada/02-deploy/")
    return found, remarks


def _of(learner: Path, known: set[str]) -> tuple[list[Submission], list[str]]:
    places = [learner, *([learner / WORK] if _is_folder(learner / WORK) else [])]
    try:
        entries = [entry for place in places for entry in sorted(place.iterdir()) if entry.name != WORK]
    except OSError as error:
        return [Submission(learner.name, "", None, f"cannot be read: {error.strerror}")], []
    rows = [Submission(learner.name, e.name, e, fault(e)) for e in entries if e.name in known]
    named = {row.lab for row in rows}
    if len(named) < len(rows):
        rows = [row for number, row in enumerate(rows) if row.lab not in {other.lab for other in rows[:number]}]
    remarks = [
        f"{learner.name}/{e.name}: is no lab of this course" for e in entries if FOLDER.match(e.name) and e.name not in known
    ]
    return rows or [Submission(learner.name, "", None, "no lab's folder was handed in")], remarks


def fault(folder: Path) -> str:
    """Why a folder is no submission; empty where it is one."""
    if not _is_folder(folder):
        return "is not a folder"
    count = size = 0

    def stop(error: OSError) -> None:
        raise error

    try:
        for base, folders, names in os.walk(folder, onerror=stop):
            folders[:] = [name for name in folders if name not in LEFT_OUT]
            for name in [*folders, *names]:
                path = Path(base) / name
                mode = path.lstat()
                inside = path.relative_to(folder)
                if not (stat.S_ISREG(mode.st_mode) or stat.S_ISDIR(mode.st_mode)):
                    return f"{inside}: is neither a file nor a folder (links and devices are not followed)"
                count, size = count + 1, size + mode.st_size
                if count > MOST_FILES or size > MOST_BYTES:
                    return f"is too large: more than {MOST_FILES} files or {MOST_BYTES // 1_000_000} MB"
                if stat.S_ISREG(mode.st_mode) and not os.access(path, os.R_OK):
                    return f"{inside}: cannot be read"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return "" if count else "is empty"


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:  # in a folder that may not be searched: one learner's fault, not the class's
        return False
