"""What goes wrong inside the agent itself never leaves a pod without its worker, or somebody waiting for an end that has come."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any, cast

import pytest

from halab.cluster.node.runtime.process import ProcessContainer
from halab.cluster.node.worker import SYNC_RETRY, PodWorker


async def test_a_step_that_fails_for_a_reason_of_ours_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    worker = object.__new__(PodWorker)
    worker.name, worker.namespace, worker.uid = "web", "default", "u"
    waits = []

    async def broken() -> bool:
        raise KeyError("spec")

    worker._step = broken  # type: ignore[method-assign]
    worker.wake_in = waits.append  # type: ignore[method-assign,assignment]
    with caplog.at_level(logging.ERROR):
        assert await worker._sync() is False
    assert waits == [SYNC_RETRY]
    assert "web_default(u)" in caplog.text


async def test_a_containers_end_is_told_even_if_a_listener_fails() -> None:
    loop = asyncio.get_running_loop()

    class Broken:
        def finished(self) -> None:
            raise RuntimeError("listener")

    log = SimpleNamespace(close=lambda: None)
    container = ProcessContainer(cast(Any, SimpleNamespace(terminal=False, stdin=False, limits={})), cast(Any, log))
    container.box = cast(Any, SimpleNamespace(finished=loop.create_future()))
    container.box.finished.set_result(3)  # type: ignore[union-attr]
    container._listeners.add(cast(Any, Broken()))
    with pytest.raises(RuntimeError):
        await container._end()
    assert (await container.ended).code == 3
