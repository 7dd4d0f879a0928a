"""Podman's Docker-compatible service, of the tests' own: its data, its socket, its networks."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from halab.images.layers import remove_tree

CAP_SYS_RESOURCE = 24
# Podman raises every container's limits; where this machine does not let root do that, containers go without.
WITHOUT_LIMITS = """#!{python}
import json, os, sys
for word, change in (("--bundle", lambda path: path + "/config.json"), ("--process", str)):
    if word in sys.argv:
        file = change(sys.argv[sys.argv.index(word) + 1])
        found = json.load(open(file))
        found.get("process", found).pop("rlimits", None)
        json.dump(found, open(file, "w"))
os.execvp("runc", ["runc", *sys.argv[1:]])
"""


@contextmanager
def engine() -> Iterator[str]:
    """``unix://...``"""
    if os.geteuid() != 0:
        pytest.skip("a Podman whose pods can be reached needs root; run: sudo -E pytest tests/engines")
    base = Path(f"/tmp/halab-podman-{os.getpid()}")  # a short path: a socket's name has 108 bytes at most
    base.mkdir()
    host = f"unix://{base}/podman.sock"
    (base / "containers.conf").write_text(_configuration(base))
    command = ["podman", "--root", f"{base}/root", "--runroot", f"{base}/run", "system", "service", "--time=0", host]
    with (base / "log").open("wb") as log:
        environment = os.environ | {"CONTAINERS_CONF": f"{base}/containers.conf"}
        service = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        until = time.monotonic() + 60
        while subprocess.run(["docker", "-H", host, "version"], capture_output=True).returncode:
            if service.poll() is not None or time.monotonic() > until:
                pytest.skip(f"podman does not serve here: {(base / 'log').read_text()[-300:]}")
            time.sleep(0.1)
        yield host
    finally:
        subprocess.run(f"docker -H {host} ps -aq | xargs -r docker -H {host} rm -f", shell=True, capture_output=True)
        service.terminate()
        service.wait(30)
        for line in Path("/proc/mounts").read_text().splitlines()[::-1]:
            if line.split()[1].startswith(str(base)):
                subprocess.run(["umount", "-l", line.split()[1]], capture_output=True)
        remove_tree(base)


def _configuration(base: Path) -> str:
    status = Path("/proc/self/status").read_text()
    bounding = int(next(line for line in status.splitlines() if line.startswith("CapBnd")).split()[1], 16)
    if bounding >> CAP_SYS_RESOURCE & 1:
        return ""
    program = base / "runc"
    program.write_text(WITHOUT_LIMITS.format(python=sys.executable))
    program.chmod(0o755)
    return f'[engine]\nruntime = "runc"\n[engine.runtimes]\nrunc = ["{program}"]\n'
