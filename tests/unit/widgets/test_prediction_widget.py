"""A question's widget, without a browser."""

from __future__ import annotations

from pathlib import Path

from halab.course import predictions
from halab.course.progress import progress_of
from halab.widgets import prediction
from halab.widgets.prediction import PredictionWidget

OPTIONS = ["two", "three"]


def test_every_widget_that_asks_the_question_shows_what_happened(tmp_path: Path) -> None:
    progress, other = progress_of(tmp_path, "default", "02-deploy"), progress_of(tmp_path, "default", "03-expose")
    first, again, elsewhere = (
        PredictionWidget(p, predictions.ask(p, "p", "How many?", OPTIONS)) for p in (progress, progress, other)
    )
    predictions.commit(progress, "p", 0)
    predictions.compare(progress, "p", 1, "three pods")
    prediction.tell(progress_of(tmp_path, "default", "02-deploy"), "p", 1, "three pods")
    assert [(one.happened, one.seen) for one in (first, again, elsewhere)] == [(1, "three pods")] * 2 + [(-1, "")]
    later = PredictionWidget(progress, predictions.ask(progress, "p", "How many?", OPTIONS))
    assert repr(later) == "How many?\n(x) two\n( ) three  <- what happened\nobserved: three pods"
