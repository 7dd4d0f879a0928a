"""The process that stands beside one container: starts it, keeps its log, forwards its ports, restarts it by its policy.

``python -m halab.images.containers.monitor DIRECTORY STORE READY_FD``. It is a daemon (its own session, no terminal), so a container outlives
the command or notebook that ran it; the container dies with it, never the other way round. SIGTERM asks it to stop the container in good
order, SIGUSR1 to kill it without a restart.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from halab.aio.processes import start_time
from halab.errors import HalabError
from halab.images import layers, oci
from halab.images.containers import logs, network
from halab.images.containers.health import Health
from halab.images.containers.records import LAST, Container, Records, State
from halab.images.containers.signals import signal_number
from halab.images.daemon import detach, tell
from halab.images.image import Image
from halab.images.reference import Reference
from halab.images.rootfs import RootView
from halab.images.store import ImageStore
from halab.sandbox import Mount, Sandbox, SandboxSpec, StartError, User, capabilities, launch
from halab.settings import LOW_PORT_SHIFT

FIRST_DELAY, LAST_DELAY = 0.1, 60.0  # seconds before a restart: doubled each time, as dockerd does
CALM = 10.0  # seconds of running after which the delay begins anew


class Monitor:
    def __init__(self, records: Records, container: Container, image: Image) -> None:
        self.records, self.container, self.image = records, container, image
        self.spec = container.spec
        self.state = State(monitor=os.getpid(), monitor_stamp=start_time(os.getpid()), restarts=0)
        self.log = logs.Writer(container.directory)
        self.stopping = asyncio.Event()
        self.killed = False
        self.sandbox: Sandbox | None = None
        self.shift = 0 if capabilities().low_ports else LOW_PORT_SHIFT

    def save(self) -> None:
        self.records.write_state(self.container.directory, self.state)

    async def run(self, ready: int) -> int:
        """Until the container has ended for good. The first line on ``ready`` is ``ok`` or what went wrong."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.stopping.set)
        loop.add_signal_handler(signal.SIGUSR1, self._kill)
        servers = []
        address, lock = network.claim_address()
        self.state.address = address
        try:
            for port in self.spec.ports:
                try:
                    server, bound = await network.publish(port, address, self.shift)
                except OSError as error:
                    return self._fail(
                        ready, f"port {port.host_ip}:{port.host}: {error.strerror or error}; choose another host port"
                    )
                servers.append(server)
                self.state.ports.append([bound.host_ip, bound.host, bound.container])
            return await self._keep(ready)
        finally:
            for server in servers:
                server.close()
            lock.close()

    def _kill(self) -> None:
        self.killed = True
        self.stopping.set()

    def _fail(self, ready: int, text: str) -> int:
        self.state.status, self.state.error, self.state.exit_code = "failed", text, 127
        self.state.finished = oci.timestamp()
        self.save()
        tell(ready, f"error {text}")
        return 1

    async def _keep(self, ready: int) -> int:
        delay = FIRST_DELAY
        first = True
        (self.container.directory / LAST).unlink(missing_ok=True)
        while True:
            began = time.monotonic()
            try:
                self.sandbox, copies = await self._start()
            except StartError as error:
                text = start_message(error, self.container.command)
                self.log.write("stderr", text + "\n")
                self.state.exit_code = 126 if error.stage == "exec" else 127
                if first:
                    return self._fail(ready, text)
            else:
                self.state.status, self.state.pid, self.state.started, self.state.error = (
                    "running",
                    self.sandbox.pid,
                    oci.timestamp(),
                    "",
                )
                self.state.settings = self.sandbox.settings or ""
                self.save()
                if first:
                    tell(ready, "ok")
                    first = False
                self.state.exit_code = await self._watch(self.sandbox)
                await asyncio.gather(*copies)
            self.state.pid, self.state.finished, self.state.health = 0, oci.timestamp(), ""
            wished = self.stopping.is_set() or (self.container.directory / LAST).exists()
            if not self.spec.restart.again(self.state.exit_code, self.state.restarts, stopped=wished):
                break
            delay = FIRST_DELAY if time.monotonic() - began > CALM else delay
            self.state.status = "restarting"
            self.save()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stopping.wait(), delay)
            if self.stopping.is_set():
                break
            delay = min(delay * 2, LAST_DELAY)
            self.state.restarts += 1
        self.state.status = "exited"
        self.save()
        if self.spec.remove:
            self.records.remove(self.container)
        return 0

    async def _start(self) -> tuple[Sandbox, list[asyncio.Task[None]]]:
        # An overlay mounted "volatile" leaves a mark in its work directory that forbids a second mount; nothing else is kept there.
        for work in (self.container.directory / "upper").glob(".work-*"):
            layers.remove_tree(work)
        user = self._user()
        pipes = [os.pipe2(os.O_CLOEXEC) for _ in range(2)]
        try:
            if os.geteuid() == 0:
                for _, write in pipes:
                    os.fchown(write, user.uid, user.gid)  # so that the program may open /dev/stdout anew
            sandbox = await launch(self._sandbox(user), stdout=pipes[0][1], stderr=pipes[1][1])
        except BaseException:
            for read, _ in pipes:
                os.close(read)
            raise
        finally:
            for _, write in pipes:
                os.close(write)
        names = ("stdout", "stderr")
        return sandbox, [asyncio.create_task(self.log.copy(pipe[0], name)) for pipe, name in zip(pipes, names, strict=True)]

    def _user(self) -> User:
        text = self.spec.user or self.image.user
        if not text:
            return User()
        view = RootView(self.image.layers, host=self.image.on_host, host_paths=self.image.host_paths)
        ids = view.owner(text)
        if ids is None:
            raise StartError("user", 2, text)
        return User(ids[0], ids[1])

    def _sandbox(self, user: User) -> SandboxSpec:
        ident = self.container.id[:12]
        environment = {"HOSTNAME": self.spec.hostname or ident, "HOME": "/root" if user.uid == 0 else "/"}
        return SandboxSpec(
            argv=self.container.command,
            env=environment | self.image.environment | self.spec.environment,
            cwd=self.spec.directory or self.image.working_directory,
            user=user,
            layers=self.image.layers,
            host_files=self.image.on_host,
            host_paths=self.image.host_paths,
            upper=self.container.directory / "upper",
            mounts=[Mount(Path(volume.source), volume.target, volume.read_only) for volume in self.spec.volumes],
            hostname=self.spec.hostname or ident,
            address=self.state.address,
            port_shift=self.shift,
        )

    async def _watch(self, sandbox: Sandbox) -> int:
        """The exit code of the program, which is stopped when that is asked for."""
        ended = asyncio.ensure_future(sandbox.wait())
        stop = asyncio.ensure_future(self.stopping.wait())
        health = Health.of(self.image.config, sandbox, self._healthy)
        checking = asyncio.create_task(health.run()) if health is not None else None
        try:
            await asyncio.wait([ended, stop], return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                await self._stop(sandbox)
            return await ended
        finally:
            stop.cancel()
            if checking is not None:
                checking.cancel()

    def _healthy(self, status: str) -> None:
        self.state.health = status
        self.save()

    async def _stop(self, sandbox: Sandbox) -> None:
        if not self.killed:
            sandbox.signal(signal_number(self.image.stop_signal))
            grace = _read_grace(self.container.directory)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(sandbox.wait(), grace)
        sandbox.kill()


def _read_grace(directory: Path) -> float:
    """Seconds that ``stop`` allows, left in a file by it; Docker's default is 10."""
    try:
        return float((directory / "grace").read_text())
    except (OSError, ValueError):
        return 10.0


def start_message(error: StartError, command: Sequence[str]) -> str:
    """Docker's words for a program that cannot be started."""
    program = command[0] if command else ""
    if error.stage in ("lookup", "stat"):
        reason = "executable file not found in $PATH" if error.stage == "lookup" else "no such file or directory"
        verb = "" if error.stage == "lookup" else "stat "
        return f'exec: "{program}": {verb}{program + ": " if verb else ""}{reason}: unknown'
    if error.stage == "user":
        return f"unable to find user {error.subject}: no matching entries in passwd file"
    return f'exec: "{program}": {os.strerror(error.errno).lower()} ({error.stage} {error.subject})'


def main(arguments: Sequence[str]) -> int:
    detach()
    directory, ready = Path(arguments[0]), int(arguments[2])
    os.set_inheritable(ready, False)
    records = Records(directory.parent)
    try:
        container = records.read(directory)
        store = ImageStore(Path(arguments[1]))
        image = store.load(container.image_digest, Reference.parse(container.spec.image))
        return asyncio.run(Monitor(records, container, image).run(ready))
    except HalabError as error:
        tell(ready, f"error {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
