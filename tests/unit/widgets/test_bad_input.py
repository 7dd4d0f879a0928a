"""What widgets are given that makes no sense is refused in words, at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from halab.course import predictions
from halab.course.progress import progress_of
from halab.errors import UsageError
from halab.widgets.prediction import PredictionWidget
from halab.widgets.traffic import TrafficMeter


@pytest.mark.parametrize("rate", [0, -1, 1e9])
def test_a_meter_refuses_a_rate_that_nobody_can_send(rate: float) -> None:
    with pytest.raises(UsageError, match="is not between 0 and"):
        TrafficMeter("http://127.0.0.1:9", rate=rate)


def test_a_meter_whose_probe_was_killed_is_not_running() -> None:
    meter = TrafficMeter("http://127.0.0.1:9")
    try:
        assert meter.running and meter._meter is not None
        meter._meter._process.kill()
        meter._meter.finish()
        assert not meter.running
    finally:
        meter.close()


def test_a_prediction_takes_its_options_alone_and_the_first_counts(tmp_path: Path) -> None:
    progress = progress_of(tmp_path, "default", "02-deploy")
    with pytest.raises(UsageError, match="at least two options"):
        predictions.ask(progress, "p", "How many?", ["one"])
    widget = PredictionWidget(progress, predictions.ask(progress, "p", "How many?", ["two", "three"]))
    with pytest.raises(UsageError, match="has no option 7"):
        widget._command(widget, {"do": "commit", "option": 7}, [])
    widget._command(widget, {"do": "commit", "option": 1}, [])
    widget._command(widget, {"do": "commit", "option": 0}, [])
    assert widget.chosen == 1
    with pytest.raises(UsageError, match="has no option 2"):
        predictions.compare(progress, "p", 2, "seen")
