"""The course's application, run as a plain process: what labs and learners rely on."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from halab.course.requests import Answer, fetch, wait_until_answered

APP = Path(__file__).resolve().parents[2] / "labs" / "_app" / "app.py"
Start = Callable[..., "Running"]


class Running:
    """One process of the application on a port of its own."""

    def __init__(self, folder: Path, **settings: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = free.getsockname()
        environment = {"PORT": str(self.address[1]), "POD_NAME": "me", "TMPDIR": str(folder), "DATA": str(folder / "data")}
        self.process = subprocess.Popen(
            [sys.executable, "-I", str(APP)], env=environment | settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def ready(self) -> Running:
        assert wait_until_answered(self.address, 10).ok
        return self

    def get(self, path: str, timeout: float = 5.0) -> Answer:
        return fetch(self.address, path, timeout=timeout)

    def post(self, path: str) -> Answer:
        return fetch(self.address, path, method="POST")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Running] = []

    def begin(**settings: str) -> Running:
        started.append(Running(tmp_path, **settings))
        return started[-1].ready()

    yield begin
    for one in started:
        one.process.kill()
        one.process.communicate()


def test_it_says_who_answered_and_in_which_version(start: Start) -> None:
    answer = start(VERSION="2.0").get("/")
    assert (answer.status, answer.headers["x-served-by"], answer.headers["x-version"]) == (200, "me", "2.0")
    assert '"pod": "me"' in answer.body


@pytest.mark.parametrize("switch", ["healthz", "readyz"])
def test_a_switch_breaks_and_mends_by_request_and_by_file_and_touches_nothing_else(
    start: Start, tmp_path: Path, switch: str
) -> None:
    app = start()
    other = "/readyz" if switch == "healthz" else "/healthz"
    assert app.get(f"/{switch}").ok
    assert app.post(f"/break/{switch}").ok
    assert app.get(f"/{switch}").status == 503 and app.get(other).ok and app.get("/").ok
    assert app.post(f"/mend/{switch}").ok and app.get(f"/{switch}").ok
    (tmp_path / f"broken-{switch}").touch()
    assert app.get(f"/{switch}").status == 503


def test_a_hang_answers_nothing_until_it_is_over(start: Start, tmp_path: Path) -> None:
    app = start()
    (tmp_path / "broken-hang").touch()
    assert app.get("/healthz", timeout=0.5).error == "timed out"
    (tmp_path / "broken-hang").unlink()
    assert app.get("/healthz").ok


def test_work_takes_its_time_one_at_a_time_where_there_is_one_worker(start: Start) -> None:
    app = start(WORKERS="1")
    threads = [threading.Thread(target=app.get, args=("/work?ms=1&wait=150",)) for _ in range(3)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - began >= 0.45


def test_the_counter_survives_a_kill(start: Start) -> None:
    first = start()
    assert [first.post("/count").body.split('"count": ')[1].strip("}\n ") for _ in range(3)] == ["1", "2", "3"]
    first.process.kill()
    assert '"count": 3' in start().get("/count").body


def test_told_to_stop_it_answers_what_is_under_way_and_ends_well(start: Start) -> None:
    app, answers = start(), list[Answer]()
    asking = threading.Thread(target=lambda: answers.append(app.get("/work?wait=600")))
    asking.start()
    asking.join(0.2)
    app.process.send_signal(signal.SIGTERM)
    asking.join()
    assert answers[0].ok and app.process.wait(5) == 0
    assert app.get("/").error == "connection refused"


def test_told_to_die_abruptly_it_loses_what_is_under_way(start: Start) -> None:
    app, answers = start(ON_TERM="abrupt"), list[Answer]()
    asking = threading.Thread(target=lambda: answers.append(app.get("/work?wait=2000")))
    asking.start()
    asking.join(0.2)
    app.process.send_signal(signal.SIGTERM)
    asking.join()
    assert not answers[0].ok and app.process.wait(5) == 128 + signal.SIGTERM


def test_while_it_drains_it_still_serves_but_is_not_ready(start: Start) -> None:
    app = start(DRAIN_SECONDS="3")
    app.process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + 2
    while app.get("/readyz").status != 503:
        assert time.monotonic() < deadline
    assert app.get("/").ok and app.process.wait(5) == 0


def test_what_is_not_there_or_makes_no_sense_is_refused(start: Start) -> None:
    app = start()
    assert app.get("/nothing").status == 404 and app.post("/break/everything").status == 404
    assert app.get("/work?ms=many").status == 400
