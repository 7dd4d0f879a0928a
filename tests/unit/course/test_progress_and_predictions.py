"""Progress survives, and a prediction is fixed once committed."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from halab.course import predictions
from halab.course.progress import Progress, progress_of
from halab.errors import UsageError


@pytest.fixture
def progress(tmp_path: Path) -> Progress:
    return progress_of(tmp_path, "default", "02-deploy")


def test_what_is_passed_is_read_back_by_another_process_s_object(progress: Progress) -> None:
    progress.mark_passed("three-answer", "three pods answered")
    assert Progress(progress.file).passed()["three-answer"]["saw"] == "three pods answered"


def test_a_task_that_no_longer_holds_is_open_again(progress: Progress) -> None:
    progress.mark_passed("a", "x")
    progress.mark_failed("a")
    assert progress.passed() == {}


def test_a_file_that_cannot_be_read_is_set_aside_not_lost(progress: Progress) -> None:
    progress.file.parent.mkdir(parents=True)
    progress.file.write_text("{ half")
    progress.mark_passed("a", "x")
    assert "a" in progress.passed()
    assert [p.read_text() for p in progress.file.parent.glob("*.unreadable-*")] == ["{ half"]


def test_writers_at_once_lose_nothing(progress: Progress) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: progress.mark_passed(f"task-{n}", "x"), range(40)))
    assert len(progress.passed()) == 40
    assert not list(progress.file.parent.glob("*.new*"))


def test_clearing_keeps_the_predictions(progress: Progress) -> None:
    predictions.ask(progress, "p", "what?", ["a", "b"])
    progress.mark_passed("t", "x")
    progress.clear()
    assert progress.passed() == {} and "p" in json.loads(progress.file.read_text())["predictions"]


def test_the_first_prediction_counts(progress: Progress) -> None:
    predictions.ask(progress, "p", "what?", ["a", "b"])
    assert predictions.commit(progress, "p", 0).chosen == 0
    assert predictions.commit(progress, "p", 1).chosen == 0
    assert predictions.ask(progress, "p", "what?", ["a", "b"]).chosen == 0


def test_the_two_stand_side_by_side(progress: Progress) -> None:
    predictions.ask(progress, "p", "what?", ["it fails", "it works"])
    assert "did not commit" in predictions.compare(progress, "p", 1, "200")
    predictions.commit(progress, "p", 0)
    said = predictions.compare(progress, "p", 1, "status 200")
    assert said.splitlines() == [
        "you predicted: it fails",
        "what happened: it works  - not what you predicted",
        "observed:      status 200",
    ]


@pytest.mark.parametrize("choice", [-1, 2])
def test_an_option_that_does_not_exist_is_refused(progress: Progress, choice: int) -> None:
    predictions.ask(progress, "p", "what?", ["a", "b"])
    with pytest.raises(UsageError, match="options are 0 to 1"):
        predictions.commit(progress, "p", choice)


def test_a_prediction_that_was_not_asked_cannot_be_committed(progress: Progress) -> None:
    with pytest.raises(UsageError, match="was not asked yet"):
        predictions.commit(progress, "p", 0)


def test_what_happened_stays_beside_the_question_until_the_lab_is_reset(progress: Progress) -> None:
    predictions.ask(progress, "p", "what?", ["a", "b"])
    predictions.commit(progress, "p", 0)
    predictions.compare(progress, "p", 1, "b came")
    again = predictions.ask(progress, "p", "what?", ["a", "b"])
    assert (again.chosen, again.happened, again.seen) == (0, 1, "b came")
    progress.clear()
    again = predictions.ask(progress, "p", "what?", ["a", "b"])
    assert (again.chosen, again.happened, again.seen) == (0, None, "")
