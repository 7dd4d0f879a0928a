"""Queues, caches, events and the HTTP transport, each by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import orjson
import pytest

from halab.cluster.client import Client, EventRecorder, Identity, Informer, WorkQueue
from halab.cluster.client import client as client_module
from halab.cluster.kube.kinds import CONFIG_MAPS, EVENTS, Kind
from halab.cluster.kube.status import ApiError, path_not_found
from halab.cluster.kube.types import Obj


async def test_a_key_waits_once_and_is_handled_by_one_worker_at_a_time() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    queue.add("a")
    assert await queue.get() == "a" and len(queue) == 0
    queue.add("a")
    assert len(queue) == 0  # it is being handled
    queue.done("a")
    assert await queue.get() == "a"


async def test_a_failing_key_waits_longer_each_time_until_it_succeeds() -> None:
    queue: WorkQueue[str] = WorkQueue(base_delay=1.0, max_delay=5.0)
    assert [queue.retry("a") for _ in range(4)] == [1.0, 2.0, 4.0, 5.0]
    queue.forget("a")
    assert queue.retry("a") == 1.0
    assert queue.retry("b", 0.25) == 0.25  # what will be over by itself, such as a conflict
    queue.close()


async def test_of_two_delays_the_shorter_counts() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add_after("a", 60)
    queue.add_after("a", 0.001)
    queue.add_after("a", 30)
    assert await asyncio.wait_for(queue.get(), 1) == "a"


async def test_a_cancelled_worker_does_not_swallow_a_key() -> None:
    queue: WorkQueue[str] = WorkQueue()
    first, second = asyncio.ensure_future(queue.get()), asyncio.ensure_future(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    first.cancel()
    assert await asyncio.wait_for(second, 1) == "a"


def config_map(name: str, version: int, **meta: Any) -> Obj:
    return {"metadata": {"name": name, "namespace": "ns", "uid": f"uid-{name}", "resourceVersion": str(version)} | meta}


class Script(Client):
    """A client that plays what it was given: lists in turn, and one stream of events."""

    def __init__(self, *lists: tuple[list[Obj], str]) -> None:
        self.lists = list(lists)
        self.events: asyncio.Queue[tuple[str, Obj] | Exception] = asyncio.Queue()
        self.watched_from: list[str] = []

    async def list(self, kind: Kind, namespace: str | None = None, **selectors: Any) -> tuple[list[Obj], str]:  # type: ignore[override]
        return self.lists.pop(0)

    async def watch(
        self, kind: Kind, namespace: str | None = None, resource_version: str = "", **selectors: Any
    ) -> AsyncIterator[tuple[str, Obj]]:  # type: ignore[override]
        self.watched_from.append(resource_version)
        while True:
            event = await self.events.get()
            if isinstance(event, Exception):
                raise event
            yield event


class Log:
    """What an informer's handlers were told: ``+`` added, ``~`` changed, ``-`` gone."""

    def __init__(self, informer: Informer) -> None:
        self.lines: list[str] = []
        informer.add_handler(self._note)

    def _note(self, old: Obj | None, new: Obj | None) -> None:
        sign = "+" if old is None else "-" if new is None else "~"
        self.lines.append(sign + (new or old or {})["metadata"]["name"])


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def following(script: Script) -> tuple[Informer, Log]:
    informer = Informer(script, CONFIG_MAPS)
    log = Log(informer)
    informer.start()
    await informer.synced()
    return informer, log


async def test_an_informer_lists_and_then_follows() -> None:
    script = Script(([config_map("a", 1)], "5"))
    informer, log = await following(script)
    script.events.put_nowait(("ADDED", config_map("b", 6)))
    script.events.put_nowait(("MODIFIED", config_map("a", 7)))
    script.events.put_nowait(("DELETED", config_map("b", 8)))
    script.events.put_nowait(("BOOKMARK", config_map("", 9)))
    await settled()
    assert log.lines == ["+a", "+b", "~a", "-b"]
    assert (script.watched_from, informer.resource_version) == (["5"], "9")
    await informer.stop()


async def test_an_informer_that_is_too_far_behind_lists_again_and_tells_the_difference() -> None:
    script = Script(([config_map("a", 1), config_map("b", 2)], "5"), ([config_map("b", 8), config_map("c", 9)], "9"))
    informer, log = await following(script)
    script.events.put_nowait(ApiError(410, "too old resource version", "Expired"))
    for _ in range(200):
        if len(script.watched_from) > 1:
            break
        await asyncio.sleep(0.005)
    assert log.lines == ["+a", "+b", "-a", "~b", "+c"]
    await informer.stop()


async def test_an_index_follows_its_objects() -> None:
    script = Script(([config_map("a", 1, labels={"x": "1"}), config_map("b", 2, labels={"x": "1"})], "5"))
    informer, _ = await following(script)
    informer.add_index("x", lambda obj: (obj["metadata"]["labels"]["x"],))
    script.events.put_nowait(("MODIFIED", config_map("a", 6, labels={"x": "2"})))
    await settled()
    assert [each["metadata"]["name"] for each in informer.indexed("x", "1")] == ["b"]
    assert [each["metadata"]["name"] for each in informer.indexed("x", "2")] == ["a"]
    await informer.stop()


async def test_ones_own_write_is_seen_at_once_and_told_once() -> None:
    script = Script(([], "5"))
    informer, log = await following(script)
    informer.observe(config_map("a", 6))
    assert informer.get("ns", "a") is not None
    script.events.put_nowait(("ADDED", config_map("a", 6)))
    await settled()
    assert log.lines == ["+a"]
    await informer.stop()


async def test_an_answer_that_comes_after_the_deletion_brings_nothing_back() -> None:
    script = Script(([], "5"))
    informer, log = await following(script)
    script.events.put_nowait(("ADDED", config_map("a", 6)))
    script.events.put_nowait(("DELETED", config_map("a", 7)))
    await settled()
    informer.observe(config_map("a", 6))
    assert log.lines == ["+a", "-a"] and not informer.cache
    await informer.stop()


async def test_what_was_asked_to_go_counts_as_going_until_it_is_gone() -> None:
    script = Script(([config_map("a", 1)], "5"))
    informer, log = await following(script)
    informer.observe_deletion(config_map("a", 1), "2024-01-01T00:00:00Z")
    script.events.put_nowait(("MODIFIED", config_map("a", 6)))  # was under way before the deletion
    await settled()
    known = informer.get("ns", "a")
    assert known is not None and known["metadata"]["deletionTimestamp"]
    script.events.put_nowait(("DELETED", config_map("a", 7)))
    script.events.put_nowait(("ADDED", config_map("a", 8) | {"metadata": config_map("a", 8)["metadata"] | {"uid": "new"}}))
    await settled()
    known = informer.get("ns", "a")
    assert known is not None and "deletionTimestamp" not in known["metadata"]
    assert log.lines == ["+a", "~a", "~a", "-a", "+a"]
    await informer.stop()


class Writes(Client):
    """A client that only remembers what it was asked to write."""

    def __init__(self) -> None:
        self.created: list[Obj] = []
        self.patched: list[Obj] = []

    async def create(self, kind: Kind, obj: Obj, namespace: str | None = None, **_: Any) -> Obj:  # type: ignore[override]
        self.created.append(obj)
        return obj

    async def patch(self, kind: Kind, name: str, namespace: str | None, patch: Any, **_: Any) -> Obj:  # type: ignore[override]
        assert kind == EVENTS
        self.patched.append(patch)
        return {}


POD: Obj = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "ns", "uid": "u", "resourceVersion": "1"}}


async def test_a_repeated_event_raises_a_count() -> None:
    writes = Writes()
    recorder = EventRecorder(writes, "test")
    for _ in range(3):
        recorder.event(POD, "Normal", "Pulled", "the same")
    await recorder.flush()
    assert len(writes.created) == 1 and [each["count"] for each in writes.patched] == [2, 3]
    event = writes.created[0]
    assert event["involvedObject"]["uid"] == "u" and event["source"] == {"component": "test"}


async def test_many_similar_events_become_one() -> None:
    writes = Writes()
    recorder = EventRecorder(writes, "test")
    for i in range(15):
        recorder.event(POD, "Normal", "Created", f"number {i}")
    await recorder.flush()
    assert len(writes.created) == 11
    assert writes.created[-1]["message"] == "(combined from similar events): number 10"


async def test_an_object_may_not_flood_the_cluster() -> None:
    writes = Writes()
    recorder = EventRecorder(writes, "test")
    for i in range(100):
        recorder.event(POD, "Warning", f"Reason{i}", "x")
    await recorder.flush()
    assert len(writes.created) == 25


def test_a_restarted_process_gets_its_name_again(tmp_path: Any) -> None:
    first, second = Identity(tmp_path, "manager"), Identity(tmp_path, "manager")
    assert first.name != second.name
    name = first.name
    first.release()
    assert Identity(tmp_path, "manager").name == name
    second.release()


# The transport, against a server of a few lines

Handler = Callable[[str, asyncio.StreamWriter], Awaitable[bool]]


async def serve(handler: Handler) -> tuple[asyncio.Server, Client]:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = next((int(line[15:]) for line in head.split("\r\n") if line.lower().startswith("content-length:")), 0)
                await reader.readexactly(length)
                if not await handler(head.split("\r\n")[0], writer):
                    writer.close()
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    return server, Client(f"http://127.0.0.1:{port}", "token")


def answer(writer: asyncio.StreamWriter, body: Any, status: str = "200 OK") -> None:
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)


async def test_a_kept_connection_that_was_closed_is_replaced() -> None:
    connections = 0

    async def handler(line: str, writer: asyncio.StreamWriter) -> bool:
        nonlocal connections
        connections += 1
        answer(writer, {"metadata": {"name": "a"}})
        await writer.drain()
        return False

    server, client = await serve(handler)
    for _ in range(3):
        assert (await client.get(CONFIG_MAPS, "a", "ns"))["metadata"]["name"] == "a"
    assert connections == 3
    client.close()
    server.close()


async def test_a_refusal_is_an_api_error_in_the_servers_words() -> None:
    async def handler(line: str, writer: asyncio.StreamWriter) -> bool:
        if "plain" in line:
            answer(writer, b"404 page not found", "404 Not Found")
        else:
            status = {
                "kind": "Status",
                "code": 409,
                "reason": "Conflict",
                "message": "somebody was faster",
                "details": {"name": "a"},
            }
            answer(writer, status, "409 Conflict")
        return True

    server, client = await serve(handler)
    with pytest.raises(ApiError) as caught:
        await client.get(CONFIG_MAPS, "a", "ns")
    assert (caught.value.code, caught.value.reason, str(caught.value)) == (409, "Conflict", "somebody was faster")
    with pytest.raises(ApiError, match="404 page not found"):
        await client.get(CONFIG_MAPS, "plain", "ns")
    client.close()
    server.close()


async def test_a_watch_reads_events_that_are_cut_anywhere() -> None:
    lines = b"".join(orjson.dumps({"type": "ADDED", "object": config_map(f"m{i}", i)}) + b"\n" for i in range(3))
    lines += orjson.dumps({"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}}) + b"\n"

    async def handler(line: str, writer: asyncio.StreamWriter) -> bool:
        assert "watch=true" in line and "resourceVersion=7" in line
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for i in range(0, len(lines), 17):
            part = lines[i : i + 17]
            writer.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            await writer.drain()
        return True

    server, client = await serve(handler)
    names = []
    with pytest.raises(ApiError) as caught:
        async for _, obj in client.watch(CONFIG_MAPS, "ns", "7"):
            names.append(obj["metadata"]["name"])
    assert (names, caught.value.code) == (["m0", "m1", "m2"], 410)
    client.close()
    server.close()


def test_a_component_writes_under_its_upstream_name() -> None:
    assert client_module.user_agent_of("system:node:node-1").startswith("kubelet/")
    assert client_module.user_agent_of("system:kube-controller-manager").startswith("kube-controller-manager/")


class Older(Script):
    """A server that does not have the kind."""

    async def list(self, kind: Kind, namespace: str | None = None, **selectors: Any) -> tuple[list[Obj], str]:  # type: ignore[override]
        raise path_not_found()


async def test_a_kind_that_an_older_server_lacks_keeps_nobody_waiting() -> None:
    async with asyncio.timeout(5):
        informer, log = await following(Older())
    assert informer.objects() == [] and log.lines == []
    await informer.stop()
