"""Sessions to pods: many connections over one, and who is to blame when it breaks. The API server is played by a few lines on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from halab.aio import websocket
from halab.backends import calls, forward
from halab.backends.doors import Door
from halab.backends.forward import Lost, Place, Refused, Sessions
from halab.cluster.client.kubeconfig import Access
from halab.cluster.node.server import spdy
from halab.course.requests import fetch
from halab.traffic.meter import Meter

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"
ANY = Place("pod-a", 80, "u1")


class Played:
    """An API server whose every pod answers HTTP. ``mood`` says what it does otherwise."""

    def __init__(self, mood: str = "") -> None:
        self.mood = mood
        self.sessions = self.requests = 0
        self.frozen = False
        self.seen: list[str] = []
        self.asked = asyncio.Event()
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Played:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.access = Access(f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}", "t", None)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()
        self.cut()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.seen.append(head)
        web = "websocket" in head
        if self.mood == "gone" or (self.mood == "old" and web) or self.mood == "dead node":
            line = {"gone": "404 Not Found", "old": "400 Bad Request", "dead node": "500 Internal Server Error"}[self.mood]
            writer.write(f"HTTP/1.1 {line}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
            writer.close()
            return
        receiver = websocket.Receiver() if web else None
        if web:
            key = next(line.split(": ")[1] for line in head.split("\r\n") if line.lower().startswith("sec-websocket-key"))
            writer.write(websocket.handshake(key, forward.TUNNEL))
        else:
            writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: SPDY/3.1\r\n\r\n")
        self.sessions += 1
        connection = spdy.Connection()
        try:
            while data := await reader.read(65536):
                for piece in receiver.receive(data) if receiver else [data]:
                    for event in connection.receive(piece):
                        self._event(connection, event)
                if (out := connection.take()) and not self.frozen:
                    writer.write(websocket.encode(websocket.BINARY, out) if receiver else out)
        except (ConnectionError, websocket.WebSocketError):
            return

    def _event(self, connection: spdy.Connection, event: spdy.Event) -> None:
        if isinstance(event, spdy.Opened):
            if self.mood != "mute":
                connection.reply(event.stream)
        elif isinstance(event, spdy.Data) and event.data:
            self.requests += 1
            self.asked.set()
            if self.mood == "refuses":
                connection.send(event.stream - 2, b"connection refused", fin=True)
            elif self.mood == "once" and self.requests == 1:
                self.cut()
            elif self.mood == "half":
                connection.send(event.stream, ANSWER[:-1])
            elif self.mood == "freezes":
                self.server.close()
                self.frozen = True
            elif self.mood == "falls":
                self.server.close()
                self.cut()
            elif self.mood == "node falls":
                self.mood = "dead node"
                self.cut()
            else:
                connection.send(event.stream, ANSWER, fin=True)


def run(work: Callable[[Played, Door], Awaitable[Any]], mood: str = "") -> Any:
    async def main() -> Any:
        async with Played(mood) as played:
            door = Door(Sessions(played.access), "here", lambda: [ANY])
            await door.gate(True)
            try:
                return await work(played, door)
            finally:
                await door.gate(False)
                door.sessions.close()

    return asyncio.run(main())


async def ask(door: Door, path: str = "/", method: str = "GET") -> Any:
    return await asyncio.to_thread(fetch, ("127.0.0.1", door.port), path, method=method)


@pytest.mark.parametrize("mood", ["", "old"])
def test_a_hundred_requests_at_once_share_a_session_or_two(mood: str) -> None:
    async def work(played: Played, door: Door) -> list[Any]:
        answers = await asyncio.gather(*(ask(door) for _ in range(100)))
        assert played.sessions <= 2 and len(played.seen) <= 4
        assert ("SPDY/3.1\r" in played.seen[-1]) is (mood == "old")
        return answers

    assert all(answer.body == "hi" for answer in run(work, mood))


def test_what_the_pod_refuses_is_broken_off_and_is_nobody_else_s_fault() -> None:
    async def work(played: Played, door: Door) -> Any:
        return await ask(door)

    for mood in ("refuses", "gone", "dead node"):
        assert run(work, mood).error == "connection closed before an answer", mood


def test_a_request_whose_session_broke_is_sent_again() -> None:
    async def work(played: Played, door: Door) -> tuple[Any, int]:
        return await ask(door), played.requests

    answer, sent = run(work, "once")
    assert answer.ok and sent == 2


def test_a_post_is_not_sent_again_but_told_to_have_gone_astray() -> None:
    async def work(played: Played, door: Door) -> tuple[Any, int]:
        return await ask(door, method="POST"), played.requests

    answer, sent = run(work, "once")
    assert answer.status == 0 and answer.error.startswith("went astray: ") and sent == 1


def test_an_api_server_that_is_away_is_not_the_application_s_failure() -> None:
    async def work(played: Played, door: Door) -> tuple[Any, Any]:
        return await ask(door), await ask(door)

    during, after = run(work, "falls")
    assert "went astray" in during.error and "does not answer" in during.error
    assert "went astray" in after.error


def test_a_node_that_is_lost_is_the_users_failure() -> None:
    async def work(played: Played, door: Door) -> Any:
        return await ask(door)

    assert run(work, "node falls").error == "connection closed before an answer"


def test_an_answer_that_was_cut_in_its_middle_is_told_to_the_meter() -> None:
    async def work(played: Played, door: Door) -> Any:
        meter = await asyncio.to_thread(Meter, f"http://127.0.0.1:{door.port}", rate=1, duration=1)
        await played.asked.wait()
        played.cut()
        return await asyncio.to_thread(meter.finish)

    found = run(work, "half")
    assert (found.sent, found.astray, found.failures) == (0, 1, {})
    assert "1 more went astray" in found.sentence()


def test_the_probe_tells_what_went_astray_apart() -> None:
    async def work(played: Played, door: Door) -> Any:
        await ask(door)
        meter = await asyncio.to_thread(Meter, f"http://127.0.0.1:{door.port}", rate=10, duration=0.5)
        return await asyncio.to_thread(meter.finish)

    found = run(work, "falls")
    assert (found.sent, found.ok, found.astray) == (0, 0, 5)


def test_a_session_without_a_sign_of_life_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "OPEN_SECONDS", 0.1)

    async def work(played: Played, door: Door) -> Any:
        session = await door.sessions.get("here", ANY)
        with pytest.raises(Lost, match="does not answer"):
            await session.stream(80, calls.Call(door.sessions, "here", lambda: [ANY], 0))
        return session.alive

    assert run(work, "mute") is False


def test_blame_is_the_way_s_where_the_pod_can_be_reached_again() -> None:
    async def work(played: Played, door: Door) -> tuple[str, str]:
        there = await door.sessions.blame("here", ANY)
        played.mood = "gone"
        return there, await door.sessions.blame("here", ANY._replace(uid="u2"))

    there, gone = run(work)
    assert "broke off the session" in there and gone == ""


def test_a_pod_that_is_gone_is_refused_and_says_so() -> None:
    async def work(played: Played, door: Door) -> Any:
        with pytest.raises(Refused) as caught:
            await door.sessions.get("here", ANY)
        return caught.value

    assert run(work, "gone").gone and not run(work, "dead node").gone


def test_a_pod_that_comes_back_under_its_name_gets_a_session_of_its_own() -> None:
    async def work(played: Played, door: Door) -> tuple[int, bool]:
        first = await door.sessions.get("here", ANY)
        again = await door.sessions.get("here", ANY)
        other = await door.sessions.get("here", ANY._replace(uid="u2"))
        return played.sessions, first is again and first is not other

    assert run(work) == (2, True)


def test_a_session_on_which_a_pod_refuses_is_replaced_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "YOUNG_SECONDS", 0.0)

    async def work(played: Played, door: Door) -> tuple[Any, Any, int]:
        refused = await ask(door)
        played.mood = ""
        return refused, await ask(door), played.sessions

    refused, answered, sessions = run(work, "refuses")
    assert not refused.ok and answered.ok and sessions == 2


def test_an_api_server_that_falls_silent_is_noticed_before_the_user_gives_up() -> None:
    async def work(played: Played, door: Door) -> Any:
        return await ask(door)

    assert "went astray" in run(work, "freezes").error
