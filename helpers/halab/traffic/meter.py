"""Run a probe from a notebook, a check or the command line, and have its record while it grows."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from halab.traffic.availability import Availability, summarize
from halab.traffic.record import ASTRAY, Request, load

AFTERWARDS = 0.5  # seconds after the probe gave up in which the connection may be found to have been cut
PATIENCE = 5.0  # seconds in which a user waits for an answer
STOP_TIMEOUT = 10.0  # seconds a probe may take to await what is under way


class Meter:
    """A probe process and what it has recorded. Starts at once; ``stop`` ends it. ``heard`` is called (in a thread) for each batch read.

    With ``profile`` (requests in each second, one number a second) a recorded load is replayed, and ``rate`` and ``duration`` follow from it."""

    def __init__(
        self,
        url: str,
        *,
        rate: float = 20.0,
        duration: float | None = None,
        host: str = "",
        path: str = "",
        profile: Sequence[float] = (),
        patience: float = PATIENCE,
        heard: Callable[[list[Request]], None] | None = None,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        command = [sys.executable, "-m", "halab.traffic.probe", url, "--rate", str(rate), "--host", host, "--path", path]
        command += ["--timeout", str(patience)]
        if duration is not None:
            command += ["--duration", str(duration)]
        if profile:
            command += ["--profile", ",".join(f"{each:g}" for each in profile)]
            rate = sum(profile) / len(profile)
        self.url, self.rate = url, rate
        self.requests: list[Request] = []
        place = urlsplit(url)
        self._carried = (place.port or 0) if place.hostname == "127.0.0.1" else 0
        self._heard, self._ended = heard, ended
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, name="traffic-meter", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for request in map(self._judged, load(self._process.stdout)):
            with self._changed:
                self.requests.append(request)
                self._changed.notify_all()
            if self._heard is not None:
                self._heard([request])
        self._process.wait()
        with self._changed:
            self._changed.notify_all()
        self._ended()

    def _judged(self, request: Request) -> Request:
        """A connection that this process itself carries to a cluster, and that was cut there, went astray: the probe cannot know that."""
        if not self._carried or request.ok or request.astray:
            return request
        from halab.backends.calls import astray_at

        why = astray_at(self._carried, request.at, request.at + request.latency + AFTERWARDS)
        return request._replace(status=0, error=f"{ASTRAY}: {why}") if why else request

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def wait(self, seconds: float) -> None:
        """Until requests of ``seconds`` more seconds have been recorded (or the probe ended)."""
        with self._changed:
            wanted = len(self.requests) + max(1, int(seconds * self.rate))
            self._changed.wait_for(
                lambda: len(self.requests) >= wanted or not self._reader.is_alive(), timeout=seconds + STOP_TIMEOUT
            )

    def stop(self) -> Availability:
        """End the probe, wait for what was under way, and sum up."""
        if self.running:
            self._process.terminate()
        return self.finish(STOP_TIMEOUT)

    def finish(self, timeout: float | None = None) -> Availability:
        """Wait until the probe ends by itself, and sum up."""
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._reader.join(STOP_TIMEOUT)
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None and not self._reader.is_alive():
                stream.close()
        return self.availability()

    def availability(self) -> Availability:
        with self._changed:
            return summarize(list(self.requests))

    def __enter__(self) -> Meter:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
