"""What learners hand in: found, judged by its form, and written as a table. Nothing is run here."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from halab.aio.processes import start_time
from halab.course import grading, handin, submission
from halab.course.catalog import Lab, Task
from halab.course.grading import Grader, Row, Verdict
from halab.course.scene import program
from halab.course.submission import Submission
from halab.errors import MachineError, UsageError

if TYPE_CHECKING:
    from halab.course.scene import Scene

TASKS = (Task("look", "Look", given=True), Task("do", "Do", points=3), Task("undo", "Undo"))
LABS = [Lab(slug, Path(), slug, 1, "", TASKS) for slug in ("01-one", "02-two")]


def hand_in(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x: 1\n")


def test_each_learners_folder_of_each_lab_is_a_submission(tmp_path: Path) -> None:
    hand_in(tmp_path, "ada/01-one/a.yaml", "ada/02-two/b.yaml", "bob/02-two/b.yaml")
    found, remarks = submission.find(tmp_path, LABS)
    assert [(one.learner, one.lab, one.problem) for one in found] == [
        ("ada", "01-one", ""),
        ("ada", "02-two", ""),
        ("bob", "02-two", ""),
    ]
    assert remarks == []


def test_a_learner_may_hand_in_the_whole_work_folder(tmp_path: Path) -> None:
    hand_in(tmp_path, "ada/work/01-one/a.yaml")
    found, _ = submission.find(tmp_path, LABS)
    assert [(one.lab, one.folder) for one in found] == [("01-one", tmp_path / "ada" / "work" / "01-one")]


def test_what_is_no_lab_and_no_learner_is_passed_over_with_a_remark(tmp_path: Path) -> None:
    hand_in(tmp_path, "ada/01-one/a.yaml", "ada/77-other/a.yaml", "notes.txt")
    found, remarks = submission.find(tmp_path, LABS)
    assert [one.lab for one in found] == ["01-one"]
    assert remarks == ["ada/77-other: is no lab of this course", "notes.txt: is not a learner's folder"]


def test_a_learner_without_any_lab_still_has_a_row(tmp_path: Path) -> None:
    (tmp_path / "ada").mkdir()
    assert submission.find(tmp_path, LABS)[0] == [Submission("ada", "", None, "no lab's folder was handed in")]


def test_no_learner_at_all_is_a_wrong_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="DIR/LEARNER/NN-slug"):
        submission.find(tmp_path, LABS)


def test_links_pipes_and_emptiness_are_faults_of_a_folder(tmp_path: Path) -> None:
    for name in ("linked", "piped", "empty"):
        (tmp_path / name).mkdir()
    (tmp_path / "linked" / "x.yaml").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "piped" / "x.yaml")
    (tmp_path / "outside").symlink_to("/etc")
    assert submission.fault(tmp_path / "linked") == "x.yaml: is neither a file nor a folder (links and devices are not followed)"
    assert "neither a file nor a folder" in submission.fault(tmp_path / "piped")
    assert submission.fault(tmp_path / "empty") == "is empty"
    assert submission.fault(tmp_path / "outside") == "is not a folder"


def test_a_flood_of_files_is_a_fault(tmp_path: Path) -> None:
    for number in range(submission.MOST_FILES + 1):
        (tmp_path / str(number)).touch()
    assert "too large" in submission.fault(tmp_path)


def test_a_malformed_submission_is_a_row_with_its_reason_and_no_points(tmp_path: Path) -> None:
    row = Grader(LABS).grade(Submission("ada", "01-one", tmp_path, "is empty"))
    assert (row.points, row.of, row.problem, row.verdicts) == (0, 4, "is empty", ())


def test_the_table_has_a_row_a_learner_and_lab_and_a_reason_a_task(tmp_path: Path) -> None:
    out = tmp_path / "marks.csv"
    verdicts = (
        Verdict("look", True, 0, "passed: seen"),
        Verdict("do", True, 3, "passed: done"),
        Verdict("undo", False, 0, "not yet"),
    )
    grading.write(out, [Row("ada", "01-one", 4, verdicts, "", 1.5), Row("bob", "02-two", 4, (), "is empty")], LABS)
    first, second = csv.DictReader(out.open())
    assert (first["learner"], first["lab"], first["points"], first["of"], first["passed"]) == ("ada", "01-one", "3", "4", "2")
    assert (first["task_3"], first["points_3"], first["reason_3"]) == ("undo", "0", "not yet")
    assert (second["points"], second["problem"], second["reason_1"]) == ("0", "is empty", "")


def test_no_cell_is_a_formula_or_breaks_the_line(tmp_path: Path) -> None:
    out = tmp_path / "marks.csv"
    grading.write(out, [Row("=cmd|' /C calc'!A0", "01-one", 4, (), "one\ntwo\x00three")], LABS)
    (row,) = csv.DictReader(out.open())
    assert row["learner"].startswith("'=") and row["problem"] == "one twothree"


def test_a_place_that_cannot_be_written_is_found_out_before_anything_is_graded(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        Grader(LABS).run([], tmp_path / "missing" / "marks.csv", lambda *_: None)


def test_a_learners_folder_that_may_not_be_searched_is_that_learners_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hand_in(tmp_path, "ada/01-one/a.yaml", "bob/01-one/a.yaml")
    real = Path.lstat

    def refused(path: Path) -> os.stat_result:  # as the kernel does for everybody but root
        if path.is_relative_to(tmp_path / "bob") and path != tmp_path / "bob":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(Path, "lstat", refused)
    found, _ = submission.find(tmp_path, LABS)
    assert [(one.learner, bool(one.problem)) for one in found] == [("ada", False), ("bob", True)]


def test_a_scripts_programs_in_the_background_are_neither_waited_for_nor_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handin, "SCRIPT_TIMEOUT", 30)
    (tmp_path / "apply.sh").write_text("sleep 300 &\necho $! >pid\necho wrong >&2\nexit 3\n")
    scene = cast("Scene", SimpleNamespace(files=tmp_path, environment=dict(os.environ)))
    assert list(handin._script(scene)) == ["apply.sh: exit status 3: wrong"]
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)  # ProcessLookupError, had it been ended


def test_a_script_that_prints_without_end_ends_at_a_files_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handin, "LONGEST_FILE", 8)
    (tmp_path / "apply.sh").write_text("yes\nexit 3\n")
    scene = cast("Scene", SimpleNamespace(files=tmp_path, environment=dict(os.environ)))
    (problem,) = handin._script(scene)
    assert problem.startswith("apply.sh: exit status 3")


def test_a_script_without_end_is_stopped_with_what_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handin, "SCRIPT_TIMEOUT", 1)
    (tmp_path / "apply.sh").write_text("sleep 300 &\necho $! >pid\nwhile :; do :; done\n")
    scene = cast("Scene", SimpleNamespace(files=tmp_path, environment=dict(os.environ)))
    assert list(handin._script(scene)) == ["apply.sh: did not end within 1 s"]
    child, deadline = int((tmp_path / "pid").read_text()), time.monotonic() + 30
    while start_time(child) and time.monotonic() < deadline:
        time.sleep(0.01)  # it is nobody's child any more: its end is told to no one here
    assert not start_time(child)


def test_what_a_submission_left_running_is_ended_and_a_cluster_is_not() -> None:
    words = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    marked = os.environ | {grading.MARK: "/scratch-of-this-test"}
    left, cluster = (
        subprocess.Popen(words, env=marked | more, stdin=subprocess.PIPE, start_new_session=True)
        for more in ({}, {grading.CLUSTER_MARK: "/cluster"})
    )
    grading._end_all("/scratch-of-this-test")
    assert left.wait(30) == -signal.SIGKILL
    cluster.communicate(timeout=30)
    assert cluster.returncode == 0


def test_a_program_that_a_lab_needs_and_is_not_there_is_named() -> None:
    with pytest.raises(MachineError, match=r"kubectl: is not on PATH.*halab doctor"):
        program("kubectl", {"PATH": "/nonexistent"})


def test_a_cluster_that_does_not_come_up_is_no_mark_and_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hand_in(tmp_path, "ada/01-one/a.yaml", "bob/01-one/a.yaml")
    found, _ = submission.find(tmp_path, LABS)
    done = {"task": "do", "passed": True, "message": "passed: seen"}
    plays = iter([[{"problem": "the disk is full"}], [{"ready": True}, done], [], [{"problem": "the disk is full"}]])
    monkeypatch.setattr(Grader, "_play", lambda *_: (next(plays), ""))
    monkeypatch.setattr(Grader, "_place", lambda _: nullcontext({}))
    out = tmp_path / "marks.csv"
    ada, bob = Grader(LABS).run(found, out, lambda *_: None)
    assert (ada.graded, ada.points, ada.problem) == (True, 3, "")
    assert not bob.graded and bob.document()["points"] is None and bob.problem.startswith("not graded, through no fault")
    assert [row["points"] for row in csv.DictReader(out.open())] == ["3", ""]
