"""What the server makes up: times and identities."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from halab.cluster.apiserver import names


def test_a_uid_is_a_random_uuid_of_version_4() -> None:
    made = {names.new_uid() for _ in range(200)}
    assert len(made) == 200
    for text in made:
        parsed = uuid.UUID(text)
        assert str(parsed) == text and parsed.version == 4 and parsed.variant == uuid.RFC_4122


def test_times_are_now_in_utc() -> None:
    whole = datetime.strptime(names.now(), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    exact = datetime.strptime(names.now_micro(), "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    assert abs(datetime.now(UTC) - whole) < timedelta(minutes=1) and abs(datetime.now(UTC) - exact) < timedelta(minutes=1)


def test_a_clock_that_jumps_back_is_followed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_700_000_000.0)
    assert names.now() == "2023-11-14T22:13:20Z"
    monkeypatch.setattr(time, "time", lambda: 1_600_000_000.9)
    assert names.now() == "2020-09-13T12:26:40Z"
