"""Requests fold into the bars that the meter draws."""

from halab.traffic.record import Request
from halab.widgets.traffic_view import STEP, WINDOW, Fold, sentence


def fold(*requests: Request) -> Fold:
    made = Fold()
    for request in requests:
        made.add(request)
    return made


def test_the_newest_bar_is_now_and_failures_are_apart() -> None:
    state = fold(
        Request(100.0, 0.002, 200, "a"), Request(100.1, 0.004, 200, "b"), Request(100.3, 0.0, 0, "", "connection refused")
    ).state()
    assert len(state["times"]) == WINDOW / STEP and state["times"][-1] == 0
    assert state["good"][-2:] == [2, 0] and state["failed"][-2:] == [0, 1]
    assert state["latency"][-2:] == [4.0, None] and state["by"] == [["a", 1], ["b", 1]]


def test_bars_off_the_screen_are_forgotten_but_the_totals_stay() -> None:
    made = fold(Request(0.0, 0.001, 200), Request(1000.0, 0.001, 200))
    state = made.state()
    assert len(made.bars) == 1 and state["sent"] == 2


def test_the_time_with_losses_has_no_calm_of_a_second_in_it() -> None:
    lost = [Request(at, 0.0, 0, "", "timeout") for at in (10.0, 10.5, 20.0, 20.1)]
    assert fold(*lost).state()["hurt"] == (0.5 + STEP) + STEP
    assert fold(Request(1.0, 0.001, 200)).state()["hurt"] == 0.0


def test_the_meter_in_words() -> None:
    state = fold(Request(1.0, 0.001, 200), Request(1.1, 0.001, 503)).state()
    assert sentence(state, True) == "1 of 2 requests answered (50.00%), 1 lost within 0.2 s, last: status 503"
    assert sentence(state, False).endswith("; stopped")
    assert sentence(Fold().state(), True) == "no request yet"
