"""An API server process that a test can kill and start again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from halab.aio.processes import die_with_parent
from halab.cluster.client.client import Client
from halab.settings import ClusterConfig


@dataclass
class Server:
    """One API server process; ``port`` tells several over one directory apart."""

    config: ClusterConfig
    port: int = 6443
    process: subprocess.Popen[str] | None = field(default=None)

    def start(self) -> None:
        command = [sys.executable, "-m", "halab.cluster.apiserver", "--config", str(self.config.directory / "cluster.json")]
        log = (self.config.logs / f"apiserver-{self.port}.err").open("a")
        parent = os.getpid()
        self.process = subprocess.Popen(
            [*command, "--port", str(self.port)],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            preexec_fn=lambda: die_with_parent(parent),
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line == "ready\n", Path(log.name).read_text()

    def kill(self) -> None:
        """As a crash: no handler runs."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(10)

    @property
    def url(self) -> str:
        return f"https://{self.config.addresses.api}:{self.port}"

    def client(self, user: str = "admin") -> Client:
        return Client(self.url, self.config.tokens[user], self.config.ca_file)

    def resident_megabytes(self) -> float:
        assert self.process is not None
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
