"""Game days: what is drawn depends on the file, the seed and the learner alone."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from halab.errors import UsageError
from halab.faults import scenario
from halab.faults.containers import chosen

TEXT = """
name: game day one
seed: 7
length: 600
between: [5, 15]
failures:
  - {fault: container-killed, target: deployment/web, weight: 3}
  - {fault: latency, target: service/web, lasts: [5, 15], set: {seconds: 0.5}}
  - {fault: apiserver-down, lasts: 10}
"""


def written(tmp_path: Path, text: str = TEXT) -> scenario.Scenario:
    file = tmp_path / "day.yaml"
    file.write_text(text)
    return scenario.load(file)


def test_the_same_seed_is_the_same_series(tmp_path: Path) -> None:
    found = written(tmp_path)
    assert scenario.steps(found) == scenario.steps(found)
    assert scenario.steps(found, seed=8) != scenario.steps(found)


def test_each_learner_has_a_series_of_their_own_that_stays_theirs(tmp_path: Path) -> None:
    found = written(tmp_path)
    ada, bob = (scenario.steps(found, learner=name) for name in ("ada", "bob"))
    assert ada != bob
    assert ada == scenario.steps(found, learner="ada")


def test_steps_keep_their_distances_lengths_and_options(tmp_path: Path) -> None:
    found = scenario.steps(written(tmp_path))
    times = [0.0, *(step.at for step in found)]
    assert all(4.9 <= after - before <= 15.1 for before, after in itertools.pairwise(times))
    assert times[-1] <= 600
    assert {step.fault for step in found} == {"container-killed", "latency", "apiserver-down"}
    for step in found:
        if step.fault == "latency":
            assert 5 <= step.lasts <= 15
            assert step.options == {"seconds": 0.5}
        if step.fault == "container-killed":
            assert 0 <= step.options["pick"] < 1


def test_weights_say_how_often(tmp_path: Path) -> None:
    names = [step.fault for seed in range(30) for step in scenario.steps(written(tmp_path), seed=seed)]
    assert names.count("container-killed") > 2 * names.count("latency")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "list of failures"),
        ("failures: []", "list of failures"),
        ("failures: [{fault: latensy, target: a}]", "did you mean latency"),
        ("failures: [{fault: latency}]", "needs a service as target"),
        ("failures: [{fault: apiserver-down, target: web}]", "needs no target"),
        ("failures: [{fault: latency, target: a, set: {colour: red}}]", "has no option colour"),
        ("failures: [{fault: latency, target: a, lasts: [9, 1]}]", "9 is more than 1"),
        ("failures: [{fault: latency, target: a, lasts: no}]", "is not a number above 0"),
        ("{failures: [{fault: apiserver-down}], sed: 1}", "unknown fields: sed"),
        ("failures: [{fault: apiserver-down, duration: 1}]", "unknown fields: duration"),
        ("{failures: [{fault: apiserver-down}], seed: x}", "invalid literal"),
        ("failures: [", "cannot be read"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_with_the_place(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        written(tmp_path, text)


def pod(name: str) -> dict[str, object]:
    return {"metadata": {"name": name}}


def test_pods_are_chosen_by_their_place_among_the_names() -> None:
    pods = [pod("c"), pod("a"), pod("b")]
    assert [one["metadata"]["name"] for one in chosen(pods, "1", 0.0)] == ["a"]
    assert [one["metadata"]["name"] for one in chosen(pods, "1", 0.99)] == ["c"]
    assert [one["metadata"]["name"] for one in chosen(pods, "2", 1.0)] == ["c", "a"]
    assert [one["metadata"]["name"] for one in chosen(pods, "all", 0.5)] == ["a", "b", "c"]
    assert [one["metadata"]["name"] for one in chosen(pods, "9", 0.0)] == ["a", "b", "c"]
    with pytest.raises(UsageError, match="neither a number"):
        chosen(pods, "some", 0.0)


def test_where_the_pod_that_was_drawn_is_held_the_others_are_tried() -> None:
    tried = scenario.others_of({"pick": 0.9, "pods": "1"})
    assert tried[0] == {"pick": 0.9, "pods": "1"}
    pods = [{"metadata": {"name": f"web-{number}"}} for number in range(4)]
    assert {chosen(pods, "1", float(each["pick"]))[0]["metadata"]["name"] for each in tried} == {f"web-{n}" for n in range(4)}
    assert scenario.others_of({"seconds": 0.5}) == [{"seconds": 0.5}], "there is no pod to draw"
