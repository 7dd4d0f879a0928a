"""``halab grade DIR --out FILE.csv``: every learner's submissions, graded by behaviour; one row a learner and lab.

Each submission is played by a process of its own (``handin``) with a time limit, on a cluster that is made for it and forgotten afterwards, in
a state directory of its own: no submission meets what another one left, nor the instructor's own cluster. The table is written anew after
every row, so that an interrupted run keeps what was graded.
"""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from halab.aio.processes import marked_with
from halab.course.catalog import Lab, course_root
from halab.course.submission import Submission
from halab.errors import UsageError
from halab.settings import halab_home

MARK = "HALAB_SUBMISSION"  # in the environment of every process that a submission starts: its scratch folder
CLUSTER_MARK = "HALAB_CLUSTER_DIRECTORY"  # in that of every process of an embedded cluster
HOME = "grading"  # below $HALAB_HOME: images are kept from run to run, clusters are not
SPARE = 240.0  # seconds a submission may take beside its tasks' own time-outs: the cluster, the scene, the learner's script
STOPPED_WITHIN = 30.0
ATTEMPTS = 2  # at a submission whose cluster does not come up
NOT_GRADED = "not graded, through no fault of the learner: "
FIELDS = ("learner", "lab", "points", "of", "passed", "tasks", "seconds", "problem")
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would calculate what begins with these

Told = Callable[[Submission, int, int], None]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One task: whether it passed, and what was seen."""

    task: str
    passed: bool
    points: int
    reason: str


@dataclass(frozen=True, slots=True)
class Row:
    """One learner's lab. ``problem`` is what went wrong before the checks: a manifest that was refused, a folder that is none."""

    learner: str
    lab: str
    of: int = 0
    verdicts: tuple[Verdict, ...] = ()
    problem: str = ""
    seconds: float = 0.0
    graded: bool = True  # False: the cluster or its scene did not come up, which says nothing of the learner

    @property
    def points(self) -> int:
        return sum(verdict.points for verdict in self.verdicts)

    def document(self) -> dict[str, Any]:
        tasks = [{"task": v.task, "passed": v.passed, "points": v.points, "reason": v.reason} for v in self.verdicts]
        head = {"learner": self.learner, "lab": self.lab, "points": self.points if self.graded else None, "of": self.of}
        return head | {"tasks": tasks, "problem": self.problem, "seconds": self.seconds}


@dataclass
class Grader:
    """Grades submissions of ``labs``. ``cluster`` names one of the instructor's clusters; without it each submission gets a fresh embedded one.
    ``scripts`` False: learners' own scripts and notebooks are not run, only their manifests applied."""

    labs: Sequence[Lab]
    cluster: str = ""
    scripts: bool = True
    rows: list[Row] = field(default_factory=list)

    def run(self, submissions: list[Submission], out: Path, told: Told) -> list[Row]:
        write(out, self.rows, self.labs)  # a place that cannot be written is found out now, not after an hour
        for number, submission in enumerate(submissions):
            told(submission, number, len(submissions))
            self.rows.append(self.grade(submission))
            write(out, self.rows, self.labs)
        return self.rows

    def grade(self, submission: Submission) -> Row:
        lab = next((lab for lab in self.labs if lab.slug == submission.lab), None)
        points = {task.id: 0 if task.given else task.points for task in lab.tasks} if lab else {}
        if lab is None or submission.folder is None or submission.problem:
            missing = submission.problem or "there is no such lab"
            return Row(submission.learner, submission.lab, sum(points.values()), problem=missing)
        began = time.monotonic()
        for _ in range(ATTEMPTS):
            with self._place() as environment:
                said, problem = self._play(lab, submission.folder, environment)
            if graded := any("ready" in row for row in said):
                break
        problems = [str(row["problem"]) for row in said if "problem" in row] + ([problem] if problem else [])
        seen = {row["task"]: row for row in said if "task" in row}
        verdicts = tuple(
            Verdict(
                task.id,
                bool(seen.get(task.id, {}).get("passed")),
                points[task.id] if seen.get(task.id, {}).get("passed") else 0,
                str(seen.get(task.id, {}).get("message", "was not checked")),
            )
            for task in lab.tasks
        )
        took = round(time.monotonic() - began, 1)
        return Row(
            submission.learner,
            lab.slug,
            sum(points.values()),
            verdicts,
            ("" if graded else NOT_GRADED) + "; ".join(problems),
            took,
            graded,
        )

    @contextmanager
    def _place(self) -> Iterator[dict[str, str]]:
        """The environment in which one submission is played, with a home of its own; its cluster is gone afterwards."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("KUBE", "JUPYTER"))}
        environment |= {"HALAB_COURSE": str(course_root()), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        with tempfile.TemporaryDirectory(prefix="halab-grade-", ignore_cleanup_errors=True) as scratch:
            environment |= {"HOME": scratch, MARK: scratch}
            if self.cluster:
                try:
                    yield environment | {"HALAB_CLUSTER": self.cluster, "HALAB_HOME": str(halab_home())}
                finally:
                    _end_all(scratch)
                return
            home = halab_home() / HOME
            environment |= {"HALAB_HOME": str(home), "HALAB_CLUSTER": "default", "HALAB_BACKEND": "embedded"}
            _forget(environment)  # what a run that was cut off left
            try:
                yield environment
            finally:
                _forget(environment)
                _end_all(scratch)

    def _play(self, lab: Lab, folder: Path, environment: dict[str, str]) -> tuple[list[dict[str, Any]], str]:
        """What the process that plays it said, and what is to be said about that process."""
        words = [
            sys.executable,
            "-m",
            "halab.course.handin",
            lab.slug,
            str(folder.resolve()),
            "all" if self.scripts else "manifests",
        ]
        limit = SPARE + sum(task.timeout for task in lab.tasks)
        with tempfile.TemporaryFile("w+", errors="replace") as out, tempfile.TemporaryFile("w+", errors="replace") as trouble:
            process = subprocess.Popen(
                words, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=trouble, start_new_session=True
            )
            try:
                status: int | None = process.wait(limit)
            except subprocess.TimeoutExpired:
                status = None
            finally:
                with suppress(ProcessLookupError):  # and whatever the learner's script left running
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            out.seek(0)
            trouble.seek(0)
            said = [row for line in out if (row := _read(line)) is not None]
            last = next((line.strip() for line in reversed(trouble.read().splitlines()) if line.strip()), "")
        if status is None:
            return said, f"stopped: it was not done after {limit:.0f} s"
        problem = (
            f"grading ended early: {last or f'exit status {status}'}" if status and not any("problem" in r for r in said) else ""
        )
        return said, problem


def _read(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None  # printed by a learner's program, not by us
    return row if isinstance(row, dict) else None


def _forget(environment: dict[str, str]) -> None:
    with suppress(subprocess.TimeoutExpired):
        subprocess.run(
            [sys.executable, "-m", "halab.cli", "down", "--purge"],
            env=environment,
            capture_output=True,
            timeout=STOPPED_WITHIN,
            check=False,
        )


def _end_all(scratch: str) -> None:
    """End what a submission's programs left running, in whatever session it is; a cluster of the instructor's that came up with it stays."""
    clusters = set(marked_with(CLUSTER_MARK))
    for pid in marked_with(MARK, scratch):
        if pid not in clusters:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)


def write(out: Path, rows: Sequence[Row], labs: Sequence[Lab]) -> None:
    """The table: the columns of ``FIELDS``, then for each of a lab's tasks ``task_N``, ``points_N`` and ``reason_N``."""
    most = max((len(lab.tasks) for lab in labs), default=0)
    heads = [*FIELDS, *(f"{what}_{number}" for number in range(1, most + 1) for what in ("task", "points", "reason"))]
    new = out.with_name(f".{out.name}.new")
    try:
        with new.open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, heads, restval="")
            table.writeheader()
            table.writerows(_cells(row) for row in rows)
        new.replace(out)
    except OSError as error:
        raise UsageError(str(out), f"cannot be written: {error.strerror}", "choose another --out") from error


def _cells(row: Row) -> dict[str, Any]:
    cells: dict[str, Any] = {
        "learner": row.learner,
        "lab": row.lab,
        "points": row.points if row.graded else "",
        "of": row.of,
        "passed": sum(verdict.passed for verdict in row.verdicts),
        "tasks": len(row.verdicts),
        "seconds": row.seconds,
        "problem": row.problem,
    }
    for number, verdict in enumerate(row.verdicts, 1):
        cells |= {f"task_{number}": verdict.task, f"points_{number}": verdict.points, f"reason_{number}": verdict.reason}
    return {name: _harmless(value) for name, value in cells.items()}


def _harmless(value: Any) -> Any:
    """Text on one line, which no spreadsheet takes for a formula (https://owasp.org/www-community/attacks/CSV_Injection)."""
    if not isinstance(value, str):
        return value
    text = " ".join(value.encode(errors="replace").decode().replace("\x00", "").split())
    return f"'{text}" if text.startswith(FORMULA) else text
