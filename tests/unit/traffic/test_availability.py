"""The arithmetic of availability, on records made by hand."""

import pytest

from halab.traffic.availability import by_second, longest_outage, losses, summarize, time_to_detect, time_to_recover
from halab.traffic.record import Request, dump, load


def stream(outcomes: str, every: float = 0.1, start: float = 1000.0) -> list[Request]:
    """``+`` an answer after 2 ms, ``-`` a refused connection; one every ``every`` seconds."""
    return [
        Request(start + i * every, 0.002, 200, "pod-a")
        if c == "+"
        else Request(start + i * every, 0.001, 0, "", "connection refused")
        for i, c in enumerate(outcomes)
    ]


def test_all_good_is_all_good() -> None:
    found = summarize(stream("++++"))
    assert (found.sent, found.ok, found.success_rate, found.longest_outage, found.failures) == (4, 4, 1.0, 0.0, {})
    assert found.by == {"pod-a": 4} and found.latency_ms["50"] == pytest.approx(2.0, rel=0.01)


def test_nothing_sent_is_not_a_failure() -> None:
    assert summarize([]).success_rate == 1.0 and summarize([]).budget_left(0.999) == 1.0


def test_the_longest_outage_runs_to_the_next_good_request() -> None:
    assert longest_outage(stream("++---++-+")) == pytest.approx(0.3)


def test_an_outage_that_did_not_end_counts_to_the_last_failure() -> None:
    assert longest_outage(stream("+---")) == pytest.approx(0.2)


def test_detection_and_recovery_count_from_the_fault() -> None:
    record = stream("+++++---+++")
    assert time_to_detect(record, 1000.45) == pytest.approx(0.05)
    assert time_to_recover(record, 1000.45) == pytest.approx(0.35)


def test_a_fault_nobody_noticed_has_no_detection_and_no_recovery_time() -> None:
    assert time_to_detect(stream("++++"), 1000.1) is None and time_to_recover(stream("++++"), 1000.1) == 0.0


def test_what_has_not_recovered_says_so() -> None:
    assert time_to_recover(stream("++--"), 1000.1) is None


@pytest.mark.parametrize(("outcomes", "left"), [("+" * 1000, 1.0), ("+" * 999 + "-", 0.0), ("+" * 998 + "--", -1.0)])
def test_the_error_budget_of_three_nines_is_one_in_a_thousand(outcomes: str, left: float) -> None:
    assert summarize(stream(outcomes)).budget_left(0.999) == pytest.approx(left, abs=1e-6)


def test_a_target_of_one_leaves_no_budget_to_speak_of() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        summarize(stream("+")).budget_left(1.0)


def test_a_record_is_read_back_as_it_was_written() -> None:
    record = stream("+-+")
    assert list(load(dump(record).splitlines(keepends=True))) == record


def test_a_record_that_was_cut_short_is_read_up_to_there() -> None:
    text = dump(stream("+++"))
    assert len(list(load(text[:-4].splitlines(keepends=True)))) == 2


def test_seconds_are_summed_up_one_by_one() -> None:
    rows = by_second(stream("+" * 10 + "-" * 5 + "+" * 5))
    assert [(s, good, failed) for s, good, failed, _ in rows] == [(1000, 10, 0), (1001, 5, 5)]


def test_the_sentence_names_what_failed() -> None:
    assert "18 of 20 requests answered (90.00%)" in summarize(stream("+" * 18 + "--")).sentence()
    assert "failed: 2 x connection refused" in summarize(stream("+" * 18 + "--")).sentence()


def test_users_are_hurt_from_the_first_lost_request_until_the_next_is_answered() -> None:
    a_third = "+--" * 4 + "+" * 30 + "-++"  # ten a second
    assert [(one.lost, round(one.end - one.begin, 1)) for one in losses(stream(a_third))] == [(8, 1.1), (1, 0.1)]
    assert summarize(stream(a_third)).hurt == pytest.approx(1.2)
    assert summarize(stream(a_third)).longest_outage == pytest.approx(0.2)  # which says little where others are served
    assert losses(stream("+++")) == []


def test_what_went_astray_counts_for_nothing_and_is_told() -> None:
    record = stream("++-++")
    astray = [
        Request(1000.15, 0.1, 0, "", "went astray: the API server does not answer"),
        Request(1000.45, 0.1, 0, "", "went astray: x"),
    ]
    found = summarize(record + astray)
    assert (found.sent, found.ok, found.astray, found.failures) == (5, 4, 2, {"connection refused": 1})
    assert found.longest_outage == pytest.approx(0.1) and "2 more went astray on halab's own way" in found.sentence()
    assert time_to_recover(record[:2] + astray, 1000.0) == 0.0 and sum(row[2] for row in by_second(record + astray)) == 1
    assert summarize(astray).sentence().startswith("no request was sent; 2 more")
