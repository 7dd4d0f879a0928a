"""A front proxy of the learner's own, beside the clusters: Envoy with the file that the learner wrote (lab 14)."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from string import Template

from halab.backends import beside
from halab.course.requests import Address, fetch
from halab.course.results import Failed
from halab.course.vocabulary import until

START_TIMEOUT = 10.0  # seconds
FIRST_ROUND = 3.0  # seconds for its first round of health checks
SAID = 300  # characters of what Envoy says about a file that it does not take
STAMP = re.compile(r"^(\[[^]]*\]){4} \[[^]]*\] ")  # date, thread, level, logger and source of a log line


@contextmanager
def front(file: Path, places: Mapping[str, Address]) -> Iterator[Address | Failed]:
    """The address of the running proxy, or why it does not run. In the file ``$WEST_HOST`` and ``$WEST_PORT`` stand for ``places["west"]``,
    ``$FRONT_PORT`` for the port to listen at."""
    if not file.is_file():
        yield Failed(f"there is no file {file}", "halab reset brings the starting files back")
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        own: Address = ("127.0.0.1", free.getsockname()[1])
    words = {"FRONT_PORT": own[1]} | {
        f"{name.upper()}_{what}": value
        for name, place in places.items()
        for what, value in zip(("HOST", "PORT"), place, strict=True)
    }
    text = Template(file.read_text()).safe_substitute(words)
    command = [str(beside.envoy()), "--config-yaml", text, "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
    envoy = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        if until(lambda: envoy.poll() is not None or fetch(own).status, START_TIMEOUT) and envoy.poll() is None:
            until(lambda: fetch(own).ok, FIRST_ROUND)
            yield own
        else:
            envoy.kill()
            said = (envoy.stderr.read() if envoy.stderr else "").strip().splitlines() or ["nothing"]
            yield Failed(f"Envoy does not start with {file.name}", f"it says: {STAMP.sub('', said[0])[:SAID]}")
    finally:
        envoy.terminate()
        try:
            envoy.wait(5)
        except subprocess.TimeoutExpired:
            envoy.kill()
            envoy.wait()
