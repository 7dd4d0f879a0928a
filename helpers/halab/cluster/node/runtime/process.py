"""Containers as sandboxed processes of this machine."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import pty
import resource
import secrets
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from halab import sandbox
from halab.cluster.kube.quantity import parse
from halab.cluster.node.logs import LogWriter

from .base import ContainerSpec, Exit, OutputListener, PodSandbox, StartFailed
from .deaf import waits_in_vain
from .limits import Limits, apply, tree, usage_of

CHUNK = 64 * 1024
DRAIN_SECONDS = 1.0  # how long output of a container that has ended may still come


def start_error(error: sandbox.StartError, argv: Sequence[str]) -> str:
    """The words of runc and containerd for a program that cannot be started: what a learner will search for."""
    begin = (
        "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: "
        "unable to start container process: error during container init: "
    )
    name, text = argv[0] if argv else "", os.strerror(error.errno).lower()
    if error.stage == "stat" and error.errno == errno.EACCES:
        return f'{begin}exec: "{name}": permission denied'
    if error.stage == "stat" and error.errno == errno.EISDIR:
        return f'{begin}exec: "{name}": is a directory'
    if error.stage == "stat":
        return f'{begin}exec: "{name}": stat {name}: {text}'
    if error.stage == "lookup":
        return f'{begin}exec: "{name}": executable file not found in $PATH'
    if error.stage in ("exec", "execformat"):
        return f"{begin}exec {error.subject}: {'exec format error' if error.stage == 'execformat' else text}"
    if error.stage == "chdir":
        return f'{begin}chdir to cwd ("{error.subject}") set in config.json failed: {text}'
    return f"{begin}{error.stage} {error.subject}: {text}"


class ProcessContainer:
    """One running container: its sandbox, its streams, its limits."""

    def __init__(self, spec: ContainerSpec, log: LogWriter) -> None:
        self.id = f"halab://{secrets.token_hex(32)}"
        self.spec, self.log = spec, log
        self.started = 0.0
        self.ended: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self.box: sandbox.Sandbox | None = None
        self.limits: Limits | None = None
        self._listeners: set[OutputListener] = set()
        self._open: dict[int, asyncio.Future[None]] = {}
        self._input = -1
        self._terminal = -1
        self._backlog = bytearray()
        self._last: asyncio.Future[None] | None = None
        self._input_closing = False
        self._inside: list[sandbox.Sandbox] = []

    @property
    def pid(self) -> int:
        return self.box.pid if self.box is not None else 0

    # Starting and ending

    async def start(self, box_spec: sandbox.SandboxSpec) -> None:
        """Raises sandbox.StartError; all descriptors are closed then."""
        theirs: list[int] = []
        try:
            if self.spec.terminal:
                self._terminal, slave = pty.openpty()
                theirs = [slave]
                os.set_blocking(self._terminal, False)
                self._input = self._terminal
                self.box = await sandbox.launch(box_spec, slave, slave, slave)
                self._read(self._terminal, b"stdout")
            else:
                stdin: int = subprocess.DEVNULL
                if self.spec.stdin:
                    stdin, self._input = os.pipe2(os.O_CLOEXEC)
                    theirs.append(stdin)
                    os.set_blocking(self._input, False)
                out_read, out_write = os.pipe2(os.O_CLOEXEC)
                err_read, err_write = os.pipe2(os.O_CLOEXEC)
                theirs += [out_write, err_write]
                for descriptor, stream in ((out_read, b"stdout"), (err_read, b"stderr")):
                    os.set_blocking(descriptor, False)
                    self._read(descriptor, stream)
                self.box = await sandbox.launch(box_spec, stdin, out_write, err_write)
        except BaseException:
            self._close_all()
            self.log.close()
            raise
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        self.started = time.time()
        if self.limits is not None:
            self.limits.watch(self.members, self._out_of_memory)
        self.box.finished.add_done_callback(self._over)

    def _out_of_memory(self) -> None:
        self.kill()

    def _over(self, _: object) -> None:
        self._last = asyncio.ensure_future(self._end())  # the loop itself would not keep it

    async def _end(self) -> None:
        assert self.box is not None
        code, finished, killed = self.box.finished.result(), time.time(), False
        try:
            if self._open:
                await asyncio.wait(self._open.values(), timeout=DRAIN_SECONDS)
            killed = self.limits.ended() if self.limits is not None else False
            self._close_all()
            self.log.close()
            for listener in list(self._listeners):
                listener.finished()
        finally:  # whatever goes wrong, nobody may wait for ever
            reason = "OOMKilled" if killed else "Completed" if code == 0 else "Error"
            if not self.ended.done():
                self.ended.set_result(Exit(code, reason, finished))

    def _close_all(self) -> None:
        loop = asyncio.get_running_loop()
        for descriptor, done in list(self._open.items()):
            loop.remove_reader(descriptor)
            if descriptor != self._terminal:
                os.close(descriptor)
            if not done.done():
                done.set_result(None)
        self._open.clear()
        if self._input >= 0:
            loop.remove_writer(self._input)
            os.close(self._input)
        self._input = self._terminal = -1

    def stop(self) -> None:
        if self.box is not None:
            number = getattr(signal, self.spec.stop_signal, None) or _realtime(self.spec.stop_signal)
            if self.spec.awaited and waits_in_vain(self.box.pid, number):
                self.box.kill()
            else:
                self.box.signal(number)

    def kill(self) -> None:
        if self.box is not None:
            self.box.kill()

    # Output

    def _read(self, descriptor: int, stream: bytes) -> None:
        loop = asyncio.get_running_loop()
        self._open[descriptor] = loop.create_future()
        loop.add_reader(descriptor, partial(self._readable, descriptor, stream))

    def _readable(self, descriptor: int, stream: bytes) -> None:
        try:
            data = os.read(descriptor, CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""  # a terminal whose other side is closed
        if data:
            self.log.write(stream, data)
            for listener in list(self._listeners):
                listener.output(stream, data)
            return
        asyncio.get_running_loop().remove_reader(descriptor)
        done = self._open.pop(descriptor)
        if descriptor != self._terminal:
            os.close(descriptor)
        if not done.done():
            done.set_result(None)

    def widen(self, size: int) -> None:
        """Have the kernel keep up to ``size`` bytes of output for a reader that will be away for a while."""
        for descriptor in self._open:
            if descriptor != self._terminal:
                with suppress(OSError):  # the user's share of pipe memory is used up: it stays as it is
                    fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, size)

    def attach_output(self, listener: OutputListener) -> None:
        self._listeners.add(listener)
        if self.ended.done():
            listener.finished()

    def detach_output(self, listener: OutputListener) -> None:
        self._listeners.discard(listener)

    # Input

    def write_input(self, data: bytes) -> None:
        if self._input >= 0 and not self._input_closing:
            self._backlog += data
            self._flush()

    def close_input(self) -> None:
        if self._input >= 0 and self._terminal < 0:
            self._input_closing = True
            self._flush()

    def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        while self._backlog:
            try:
                written = os.write(self._input, self._backlog)
            except BlockingIOError:
                loop.add_writer(self._input, self._flush)
                return
            except OSError:
                self._backlog.clear()
                break
            del self._backlog[:written]
        loop.remove_writer(self._input)
        if self._input_closing and self._input >= 0:
            os.close(self._input)
            self._input = -1

    def resize(self, rows: int, columns: int) -> None:
        if self._terminal >= 0:
            set_size(self._terminal, rows, columns)

    # Inside

    def signal_all(self, number: int) -> None:
        for pid in tree(self.pid) if self.pid and not self.ended.done() else ():
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)

    async def exec(self, argv: Sequence[str], *, stdin: int, stdout: int, stderr: int, terminal: bool = False) -> sandbox.Sandbox:
        if self.box is None or not self.box.running:
            raise StartFailed("container is not running")
        env = dict(self.box.spec.env)
        if terminal:
            env.setdefault("TERM", "xterm")
        try:
            program = await self.box.exec(argv, env=env, stdin=stdin, stdout=stdout, stderr=stderr, terminal=terminal)
        except sandbox.StartError as error:
            text = start_error(error, argv).replace(
                "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: "
                "unable to start container process: error during container init: ",
                "OCI runtime exec failed: exec failed: unable to start container process: ",
            )
            raise StartFailed(text) from error
        self._inside = [*(other for other in self._inside if other.running), program]
        return program

    def members(self) -> list[int]:
        """The processes that count for limits and statistics: the container's own first, then those that were executed inside."""
        return [self.pid, *(program.pid for program in self._inside if program.running)]

    def resize_limits(self, limits: Mapping[str, str]) -> None:
        if self.limits is not None:
            self.limits.resize(*(float(parse(limits[name])) if limits.get(name) else 0.0 for name in ("memory", "cpu")))

    def usage(self) -> tuple[float, int]:
        return usage_of(*self.members()) if self.box is not None and self.box.running else (0.0, 0)


def _realtime(name: str) -> int:
    try:
        return int(name)
    except ValueError:
        return int(signal.SIGTERM)


def set_size(terminal: int, rows: int, columns: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def size_of(terminal: int) -> tuple[int, int]:
    """Rows and columns."""
    rows, columns, _, _ = struct.unpack("HHHH", fcntl.ioctl(terminal, termios.TIOCGWINSZ, b"\0" * 8))
    return rows, columns


class ProcessRuntime:
    """Implements ``base.Runtime``."""

    version = "halab://0.1.0"

    @property
    def shares_processes(self) -> bool:
        return sandbox.capabilities().mode != "none"

    async def open(self) -> None:
        """Compiles the sandbox's programs if nobody has yet, and tries what the machine allows."""
        await asyncio.to_thread(sandbox.capabilities)

    async def close(self) -> None:
        """Its containers are this process's children: they end with it."""

    async def open_pod(self, pod: PodSandbox) -> None:
        if pod.share_processes:
            pod.holder = await sandbox.pause()

    async def close_pod(self, pod: PodSandbox) -> None:
        holder, pod.holder = pod.holder, None
        if isinstance(holder, sandbox.Sandbox):
            holder.kill()
            await holder.wait()

    async def remove(self, directory: Path) -> None:
        """Containers are this user's own: there is nothing more that could be done."""

    def dialler(self, pod: PodSandbox) -> None:
        """A pod's localhost is an address of this machine."""

    async def start(self, pod: PodSandbox, spec: ContainerSpec) -> ProcessContainer:
        container = ProcessContainer(spec, LogWriter(spec.log))
        container.limits = apply(pod.uid, spec.name, container.id, spec.memory, spec.cpu)
        holder = pod.holder.pid if isinstance(pod.holder, sandbox.Sandbox) else spec.share_processes_of or None
        box_spec = sandbox.SandboxSpec(
            argv=spec.argv,
            env=spec.env,
            cwd=spec.cwd,
            user=spec.user,
            layers=spec.layers,
            host_files=spec.host_files,
            host_paths=spec.host_paths,
            mounts=spec.mounts,
            files=spec.files,
            hostname=pod.hostname,
            host_names=pod.host_names,
            address=pod.address,
            local=pod.local,
            port_shift=pod.port_shift,
            dns=pod.dns,
            policy=pod.policy,
            clock=pod.clock,
            limits={resource.RLIMIT_CORE: 0},
            cgroups=container.limits.cgroups if container.limits is not None else (),
            share_pid_with=holder,
            read_only_root=spec.read_only_root,
            no_new_privileges=spec.no_new_privileges,
            capabilities=spec.capabilities,
            tmpfs_size=spec.storage or None,
            terminal=spec.terminal,
        )
        try:
            await container.start(box_spec)
        except sandbox.StartError as error:
            if container.limits is not None:
                container.limits.ended()
            raise StartFailed(start_error(error, spec.argv)) from error
        return container
