"""A game day on a real cluster: the series is played, told, healed, and can be looked back upon."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml

from halab.faults import api as faults
from halab.faults import scenario

from .conftest import NAMESPACE, Shop, ready, until

DAY = {
    "name": "short",
    "seed": 3,
    "length": 4,
    "between": [0.5, 1],
    "failures": [
        {"fault": "container-killed", "target": "deployment/web", "lasts": 1},
        {"fault": "latency", "target": "service/web", "lasts": 1, "set": {"seconds": 0.2}},
        {"fault": "readiness-failing", "target": "nobody", "lasts": 1},
    ],
}


@pytest.fixture
def day(tmp_path: Path) -> scenario.Scenario:
    file = tmp_path / "day.yaml"
    file.write_text(yaml.safe_dump(DAY))
    return scenario.load(file)


def test_a_game_day_is_played_told_and_healed(shop: Shop, day: scenario.Scenario) -> None:
    series = scenario.steps(day)
    assert {step.fault for step in series} == {"container-killed", "latency", "readiness-failing"}
    began = time.time()
    told: list[scenario.Outcome] = []
    with shop.users() as users:
        outcomes = scenario.play(shop.backend, series, namespace=NAMESPACE, report=told.append)
    assert told == outcomes
    assert [outcome.step for outcome in outcomes] == series
    for outcome in outcomes:
        if outcome.step.fault == "readiness-failing":
            assert not outcome.id
            assert "does not exist" in outcome.text
        else:
            assert outcome.id or "conflicts with" in outcome.text
    assert users.availability().ok
    assert until(lambda: not faults.active(shop.backend))
    events = faults.history(shop.backend, began)
    ids = [outcome.id for outcome in outcomes if outcome.id]
    assert [event.id for event in events if event.event == "injected"] == ids
    assert sorted(event.id for event in events if event.event == "healed") == sorted(ids)
    shop.wait("pods", lambda pods: all(map(ready, pods)))


def test_a_game_day_can_be_stopped_early(shop: Shop, day: scenario.Scenario) -> None:
    assert scenario.play(shop.backend, scenario.steps(day), namespace=NAMESPACE, wait=lambda _seconds: True) == []
    assert shop.ask().status == 200
