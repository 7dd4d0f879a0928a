"""The record of a lab, written and read back."""

from pathlib import Path
from typing import Any

from halab.timeline import replay
from halab.timeline.record import Record, since_reset
from halab.timeline.recorder import Traffic
from halab.traffic.record import Request

POD = {"name": "a", "state": "ready", "word": "Running", "node": "n"}


def rows() -> list[dict[str, Any]]:
    return [
        {"at": 10.0, "whole": True, "set": {"pod/a": POD}, "gone": []},
        {"at": 11.0, "prediction": {"name": "p", "question": "?", "options": ["x", "y"], "chosen": 0}},
        {"at": 12.0, "fault": {"id": "f", "title": "killed", "target": "a", "until": 20.0}},
        {"at": 12.5, "set": {}, "gone": ["pod/a"]},
        {"at": 13.0, "traffic": {"target": "t", "good": 1, "failed": 9, "ms": 1.0, "by": {}}},
        {"at": 14.0, "set": {"pod/b": {**POD, "name": "b"}}, "gone": []},
        {"at": 15.0, "outcome": {"name": "p", "happened": 1, "seen": "b came"}},
    ]


def test_the_cluster_is_seen_as_it_was(tmp_path: Path) -> None:
    record = Record(tmp_path / "lab")
    record.add(*rows())
    read = record.rows()
    assert read == rows()
    assert [list(replay.picture_at(read, at)) for at in (9, 10, 13, 14)] == [[], ["pod/a"], [], ["pod/b"]]


def test_a_fault_ends_by_healing_or_by_its_own_time() -> None:
    assert len(replay.active_faults(rows(), 13)) == 1 and not replay.active_faults(rows(), 21)
    healed = [*rows(), {"at": 16.0, "fault": {"id": "f", "title": "killed", "healed": True}}]
    assert not replay.active_faults(healed, 17)


def test_the_prediction_stands_beside_what_happened() -> None:
    [found] = replay.predictions(rows())
    assert (found["predicted"], found["happened"], found["right"]) == ("x", "y", False)


def test_a_moment_in_words_says_who_was_hurt() -> None:
    said = replay.describe(rows(), 13.0)
    assert "0 of 0 pods ready" in said and "fault: killed a" in said and "1 answered, 9 lost" in said


def test_the_whole_record_says_for_how_long_users_were_hurt() -> None:
    def half(at: float, good: int, failed: int) -> dict[str, Any]:
        return {"at": at, "traffic": {"target": "web", "good": good, "failed": failed}}

    assert replay.users([]) == ""
    assert replay.users([half(1.0, 10, 0)]) == "users got an answer to each of 10 requests"
    rows = [half(1.0, 10, 0), half(1.5, 7, 3), half(2.0, 10, 0), half(2.5, 8, 2), half(9.0, 9, 1)]
    assert replay.users(rows) == "users lost 6 of 50 requests, within 2.0 s"


def test_a_late_reader_gets_the_picture_of_the_beginning_and_what_is_still_active(tmp_path: Path) -> None:
    record = Record(tmp_path)
    record.add(*rows())
    read = record.rows(since=12.8)
    assert read[0]["whole"] and read[0]["set"] == {} and any("fault" in row for row in read)
    assert replay.predictions(read)[0]["right"] is False


def test_a_lab_that_was_reset_begins_anew_with_what_was_predicted(tmp_path: Path) -> None:
    record = Record(tmp_path)
    record.add(*rows(), {"at": 16.0, "note": {"kind": "reset", "text": "the lab was reset"}}, {"at": 17.0, "set": {}, "gone": []})
    kept = since_reset(record.rows())
    assert [row["at"] for row in kept] == [16.0, 12.0, 16.0, 16.0, 17.0]  # a failure that is still active keeps its beginning
    assert replay.picture_at(kept, 17.0) == {"pod/b": {**POD, "name": "b"}}
    assert [one["happened"] for one in replay.predictions(kept)] == [""]
    assert since_reset(rows()) == rows()


def test_a_line_cut_short_is_passed_over_and_notes_of_others_are_kept(tmp_path: Path) -> None:
    record = Record(tmp_path)
    record.note("drill", "began")
    with record.file.open("ab") as file:
        file.write(b'{"at": 1, "no')
    assert [row["note"]["text"] for row in record.rows()] == ["began"]


def test_one_process_at_a_time_records_the_picture(tmp_path: Path) -> None:
    record = Record(tmp_path)
    first = record.writer()
    assert first is not None and record.writer() is None
    first.close()
    again = record.writer()
    assert again is not None
    again.close()


def test_requests_are_gathered_by_when_they_were_due() -> None:
    traffic = Traffic("t")
    made = [
        Request(100.0, 0.002, 200, "a"),
        Request(100.4, 0.001, 503),
        Request(100.6, 0.001, 200, "b"),
        Request(100.1, 1.0, 0, "", "timed out"),  # known only now
        Request(101.1, 0.001, 200, "b"),
    ]
    closed = [row for request in made for row in traffic.add(request)]
    counted = [(row["at"], row["traffic"]["good"], row["traffic"]["failed"]) for row in closed]
    assert counted == [(100.5, 1, 1), (100.5, 0, 1), (101.0, 1, 0)]
    assert [row["traffic"]["by"] for row in traffic.flush()] == [{"b": 1}] and traffic.flush() == []
