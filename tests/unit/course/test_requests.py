"""Requests as users send them: each outcome has its word."""

import http.server
import socket
import threading
from collections.abc import Iterator

import pytest

from halab.course.requests import Answer, fetch, fetch_many, statuses


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/close":
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        body = f"{self.headers['Host']} {self.path}".encode()
        self.send_response(503 if self.path == "/busy" else 200)
        self.send_header("X-Served-By", "pod-a")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[tuple[str, int]]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield "127.0.0.1", server.server_address[1]
    server.shutdown()
    server.server_close()


def test_an_answer_carries_status_body_and_headers(address: tuple[str, int]) -> None:
    answer = fetch(address, "/x", host="nginx.example.com")
    assert answer.ok and answer.body == "nginx.example.com /x" and answer.headers["x-served-by"] == "pod-a" and answer.seconds > 0


def test_a_refused_connection_is_an_outcome_not_an_exception() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert str(fetch(("127.0.0.1", port))) == "connection refused"


def test_a_connection_that_closes_early_is_named(address: tuple[str, int]) -> None:
    assert fetch(address, "/close").error == "connection closed before an answer"


def test_a_silent_server_times_out() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        assert fetch(silent.getsockname(), timeout=0.05).error == "timed out"


def test_statuses_are_counted_in_words(address: tuple[str, int]) -> None:
    answers = [*fetch_many(address, 5, "/"), fetch(address, "/busy"), Answer(0, error="timed out")]
    assert statuses(answers) == "5 x 200, 1 x 503, 1 x timed out"
