"""The live picture says when it is no longer live."""

from __future__ import annotations

import threading
from typing import Any, cast

import pytest

from halab.backends.access import Api
from halab.timeline import live as module
from halab.timeline.live import Live


class Nothing:
    def objects(self, kind: str) -> list[Any]:
        return []

    def close(self) -> None:
        pass


class Away:
    """An API server that does not answer until it is told to."""

    namespace = "lab"
    answers = False

    def get(self, _kind: str, _name: str) -> Any:
        if not self.answers:
            raise ConnectionRefusedError(111, "Connection refused")
        return {}


def test_an_api_server_that_does_not_answer_is_told_and_so_is_its_return(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.0)
    monkeypatch.setattr(module, "ASK_AGAIN", 0.001)
    api = Away()
    live = Live(cast(Api, api), Nothing())
    seen: list[float] = []
    gone, back = threading.Event(), threading.Event()

    def told(since: float) -> None:
        seen.append(since)
        if since:
            gone.set()
        elif len(seen) > 1:
            back.set()

    end = live.watch_absence(told)
    live.broken()
    assert gone.wait(10)
    api.answers = True
    assert back.wait(10)
    assert seen[0] == 0.0 and seen[1] > 0 and seen[2:] == [0.0]
    end()
    live.close()
