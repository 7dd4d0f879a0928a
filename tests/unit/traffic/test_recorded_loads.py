"""A recorded load: when its requests are due, and how two ways to scale under it compare."""

from __future__ import annotations

import pytest

from halab.course.scaling import Outcome
from halab.traffic.availability import summarize
from halab.traffic.probe import due_times
from halab.traffic.record import Request


def test_each_second_has_as_many_requests_as_its_rate_says() -> None:
    times = due_times([2, 0, 4])
    assert times == [0.0, 0.5, 2.0, 2.25, 2.5, 2.75]


def test_fractions_of_requests_add_up_over_the_seconds() -> None:
    times = due_times([0.5] * 8)
    assert len(times) == 4 and times == sorted(times)
    assert [int(time) for time in times] == [0, 2, 4, 6]


def test_no_load_is_no_request() -> None:
    assert due_times([]) == [] and due_times([0, 0]) == []


def test_a_negative_rate_is_refused() -> None:
    with pytest.raises(ValueError, match="not -1"):
        due_times([3, -1])


def outcome(latency: float, failed: int, replicas: tuple[int, ...]) -> Outcome:
    good = [Request(float(number), latency, 200) for number in range(100 - failed)]
    return Outcome(summarize([*good, *(Request(200.0, 5.0, 0, "", "timed out") for _ in range(failed))]), replicas)


def test_the_cost_is_the_sum_of_pods_over_the_seconds() -> None:
    assert outcome(0.1, 0, (1, 1, 3, 3, 1)).pod_seconds == 9


def test_who_loses_many_requests_is_not_called_quick() -> None:
    assert outcome(0.1, 2, (1,)).slow_ms == pytest.approx(100, rel=0.01)
    assert outcome(0.1, 20, (1,)).slow_ms == float("inf")
    assert "20% failed" in outcome(0.1, 20, (1,)).row("it")
