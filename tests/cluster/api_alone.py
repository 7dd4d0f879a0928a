"""A cluster that is an API server and nothing else: the test plays what is missing."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster.bare_cluster import free_number, make
from halab.aio.processes import die_with_parent
from halab.settings import API_PORT, ClusterConfig

START_SECONDS = 20.0


@contextmanager
def api_server(directory: Path) -> Iterator[ClusterConfig]:
    """The configuration of a cluster whose API server accepts connections."""
    number, lock = free_number()
    config = make(directory / "clusters" / "test", number)
    parent = os.getpid()
    with open(config.logs / "apiserver.log", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "halab.cluster.apiserver", "--config", str(config.directory / "cluster.json")],
            stdout=log,
            stderr=log,
            preexec_fn=lambda: die_with_parent(parent),
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection((config.addresses.api, API_PORT), 1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((config.logs / "apiserver.log").read_text()) from None
                time.sleep(0.02)
        yield config
    finally:
        process.kill()
        process.wait()
        lock.close()
