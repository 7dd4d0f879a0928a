"""The course's web service: small, honest about its state, easy to break on purpose. Python's standard library only.

    GET  /                 who answers: pod, version, how long it has been up
    GET  /healthz          200 while the process can do its work            (a liveness probe asks this)
    GET  /readyz           200 while it wants requests                      (a readiness probe asks this)
    GET  /work?ms=5&wait=35  burn 5 ms of CPU time and wait 35 ms (for a database, say), WORKERS at a time
    GET  /count            the counter;  POST /count adds one, on disk before it answers
    POST /break/healthz    answer 503 there from now on;  /break/readyz likewise
    POST /break/hang       answer nothing at all any more, as a deadlock would
    POST /break/crash      die at once
    POST /mend/healthz     undo;  /mend/readyz likewise

The same switches are files in the container: ``touch /tmp/broken-healthz``, ``/tmp/broken-readyz``, ``/tmp/broken-hang``.

Configuration comes from the environment, so that one image serves everywhere:

    PORT=80  VERSION=1.0  POD_NAME=(host name)  DATA=/data
    WORKERS=4           how many /work requests at a time; the others queue
    LATENCY_MS=0        added to every answer
    START_SECONDS=0     how long it loads before it listens
    DRAIN_SECONDS=0     after SIGTERM: how long it still takes new requests before it closes the door
    ON_TERM=finish      finish: requests under way are answered first;  abrupt: it just dies
    BROKEN=             switches that are broken from the beginning, such as readyz
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

SWITCHES = ("healthz", "readyz", "hang")
TMP = Path(os.environ.get("TMPDIR", "/tmp"))
FINISH_SECONDS = 20.0  # the longest that requests under way may take after SIGTERM


def setting(name: str, default: float) -> float:
    return float(os.environ.get(name, default))


class Counter:
    """A number that survives the process: it is on disk, whole, before anybody is told of it."""

    def __init__(self, folder: Path) -> None:
        self.file, self.lock = folder / "counter", threading.Lock()

    def read(self) -> int:
        try:
            return int(self.file.read_text())
        except FileNotFoundError:
            return 0

    def add_one(self) -> int:
        with self.lock:
            value = self.read() + 1
            self.file.parent.mkdir(parents=True, exist_ok=True)
            new = self.file.with_suffix(".new")
            with new.open("w") as out:
                out.write(str(value))
                out.flush()
                os.fsync(out.fileno())
            new.replace(self.file)
            return value


class App:
    """The state of the service: what is broken, what is under way."""

    def __init__(self) -> None:
        self.pod = os.environ.get("POD_NAME") or socket.gethostname()
        self.version = os.environ.get("VERSION", "1.0")
        self.started = time.monotonic()
        self.broken = set(filter(None, os.environ.get("BROKEN", "").split(",")))
        self.counter = Counter(Path(os.environ.get("DATA", "/data")))
        self.workers = threading.BoundedSemaphore(int(setting("WORKERS", 4)))
        self.latency = setting("LATENCY_MS", 0) / 1000
        self.stopping = False
        self.under_way = 0
        self.idle = threading.Condition()

    def is_broken(self, switch: str) -> bool:
        return switch in self.broken or (TMP / f"broken-{switch}").exists()

    def work(self, cpu: float, wait: float) -> None:
        """``cpu`` seconds of this thread's CPU time, whatever else the machine does, and ``wait`` seconds of doing nothing."""
        with self.workers:
            end = time.thread_time() + cpu
            while time.thread_time() < end:
                sum(range(500))
            time.sleep(wait)

    def answer(self, method: str, path: str, query: dict[str, str]) -> tuple[int, dict[str, object]]:
        who: dict[str, object] = {"pod": self.pod, "version": self.version}
        match method, path.strip("/").split("/"):
            case "GET", [""]:
                return 200, who | {"up_seconds": round(time.monotonic() - self.started, 1)}
            case "GET", ["healthz" | "readyz" as switch]:
                leaving = switch == "readyz" and self.stopping
                return (
                    (503, who | {switch: "stopping" if leaving else "broken"})
                    if leaving or self.is_broken(switch)
                    else (200, who)
                )
            case "GET", ["work"]:
                self.work(float(query.get("ms", 0)) / 1000, float(query.get("wait", 0)) / 1000)
                return 200, who
            case "GET", ["count"]:
                return 200, who | {"count": self.counter.read()}
            case "POST", ["count"]:
                return 200, who | {"count": self.counter.add_one()}
            case "POST", ["break", "crash"]:
                os._exit(1)
            case "POST", ["break", switch] if switch in SWITCHES:
                self.broken.add(switch)
                return 200, who | {"broken": sorted(self.broken)}
            case "POST", ["mend", switch] if switch in SWITCHES:
                self.broken.discard(switch)
                (TMP / f"broken-{switch}").unlink(missing_ok=True)
                return 200, who | {"broken": sorted(self.broken)}
        return 404, who | {"error": f"nothing here: {method} {path}"}


class Handler(BaseHTTPRequestHandler):
    """One connection; each request goes to ``App.answer`` and comes back as JSON."""

    protocol_version = "HTTP/1.1"
    wbufsize = (
        -1
    )  # head and body leave together: as two small packets, the second would wait for the other side to acknowledge the first
    app: App

    def do_GET(self) -> None:
        app, parts = self.app, urlsplit(self.path)
        while app.is_broken("hang"):
            time.sleep(0.2)
        with app.idle:
            app.under_way += 1
        try:
            if app.latency:
                time.sleep(app.latency)
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
            try:
                status, body = app.answer(self.command, parts.path, query)
            except ValueError as error:
                status, body = 400, {"error": str(error)}
            except OSError as error:
                status, body = 500, {"error": str(error)}
            self.send(status, body)
        finally:
            with app.idle:
                app.under_way -= 1
                app.idle.notify_all()

    do_POST = do_GET

    def send(self, status: int, body: dict[str, object]) -> None:
        data = json.dumps(body).encode() + b"\n"
        self.send_response_only(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("X-Served-By", self.app.pod)
        self.send_header("X-Version", self.app.version)
        if self.app.stopping:  # a client that keeps its connection open is told to take another one
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: events are logged, requests are not."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no event."""


def say(**event: object) -> None:
    print(json.dumps(event), flush=True)


def main() -> int:
    app = App()
    Handler.app = app
    # The signals are waited for, not handled: nothing is interrupted, and process 1 of a container gets them as well.
    wanted = (signal.SIGTERM, signal.SIGINT)
    signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
    if signal.sigtimedwait(wanted, setting("START_SECONDS", 0)):
        return 0
    server = Server(("", int(setting("PORT", 80))), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
    say(event="listening", pod=app.pod, version=app.version)
    number = signal.sigwait(wanted)
    if os.environ.get("ON_TERM") == "abrupt":
        os._exit(128 + number)
    app.stopping = True  # /readyz says so from now on
    say(event="stopping", under_way=app.under_way)
    time.sleep(setting("DRAIN_SECONDS", 0))
    server.shutdown()
    server.socket.close()
    with app.idle:
        finished = app.idle.wait_for(lambda: app.under_way == 0, FINISH_SECONDS)
    say(event="stopped", finished=finished)
    return 0


if __name__ == "__main__":
    sys.exit(main())
