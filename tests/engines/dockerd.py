"""A Docker engine of the tests' own: its data, its socket, its bridges; and what tests say to it."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from halab.images.layers import remove_tree


@contextmanager
def engine() -> Iterator[str]:
    """``unix://...``. No firewall rules, and no default network: the tests make their own."""
    if os.geteuid() != 0:
        pytest.skip("dockerd needs root; run: sudo -E pytest tests/engines")
    base = Path(f"/tmp/halab-docker-{os.getpid()}")  # a short path: a socket's name has 108 bytes at most
    base.mkdir()
    host = f"unix://{base}/docker.sock"
    places = ("--data-root", f"{base}/data", "--exec-root", f"{base}/exec", "-H", host, "--pidfile", f"{base}/docker.pid")
    with (base / "log").open("wb") as log:
        daemon = subprocess.Popen(["dockerd", *places, "--bridge=none", "--iptables=false"], stdout=log, stderr=log)
    try:
        until = time.monotonic() + 60
        while subprocess.run(["docker", "-H", host, "version"], capture_output=True).returncode:
            if daemon.poll() is not None or time.monotonic() > until:
                pytest.skip(f"dockerd does not start here: {(base / 'log').read_text()[-300:]}")
            time.sleep(0.1)
        yield host
    finally:
        subprocess.run(f"docker -H {host} ps -aq | xargs -r docker -H {host} rm -f", shell=True, capture_output=True)
        subprocess.run(f"docker -H {host} network prune -f", shell=True, capture_output=True)
        daemon.terminate()
        daemon.wait(30)
        for line in Path("/proc/mounts").read_text().splitlines()[::-1]:
            if line.split()[1].startswith(str(base)):
                subprocess.run(["umount", "-l", line.split()[1]], capture_output=True)
        remove_tree(base)


def docker(host: str, *words: str) -> str:
    done = subprocess.run(["docker", "-H", host, *words], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout
