"""Starts sandboxes and waits for them. Nothing here blocks the event loop for longer than a fork takes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal as signals
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from halab.settings import halab_home

from .build import programs
from .capabilities import FLAGS, capabilities
from .spec import SandboxSpec, User, records, settings_text, standard_files
from .upper import remove_tree

POLICY = "/.halab/network"  # where a container has the tables of ``SandboxSpec.policy``
CLOCK = "/.halab/clock"  # and ``SandboxSpec.clock``
Stream = int | IO[bytes] | None  # a descriptor, an open file, subprocess.DEVNULL, or None to inherit


class StartError(Exception):
    """The program could not be started. ``stage`` says where: ``lookup`` (not in PATH), ``stat``, ``exec``, ``execformat``, ``chdir``, ``mount`` ...

    ``errno`` is the operating system's error, ``subject`` the path or name concerned.
    """

    def __init__(self, stage: str, errno: int, subject: str) -> None:
        self.stage, self.errno, self.subject = stage, errno, subject
        super().__init__(f"{stage} {subject}: {os.strerror(errno)}")


@dataclass(slots=True)
class Sandbox:
    """A started container, or a program that joined one (``exec``).

    ``pid`` is the program's pid as this process sees it; ``leader`` the child to wait for (the same, except without pid namespaces).
    ``finished`` is set to the exit status as a shell would say it: 0-255, 128 + N after signal N.
    """

    spec: SandboxSpec
    pid: int
    leader: int
    finished: asyncio.Future[int]
    settings: str | None = None
    _clean: list[Callable[[], None]] = field(default_factory=list)

    @property
    def running(self) -> bool:
        return not self.finished.done()

    async def wait(self) -> int:
        """The exit status; can be awaited any number of times."""
        return await asyncio.shield(self.finished)

    def signal(self, number: int) -> None:
        """Sends a signal to the program; does nothing once it has ended.

        Process 1 of a pid namespace ignores what it neither handles nor waits for. Without a namespace that rule is kept here, so that
        ``sleep`` under SIGTERM behaves as it does in every container: it does not end.
        """
        if not self.running:
            return
        if capabilities().mode == "none" and number != signals.SIGKILL and not _hears(self.pid, number):
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL to the program and, through its namespace or its monitor, all that it started."""
        self.signal(signals.SIGKILL)

    def resize(self, rows: int, columns: int) -> None:
        """Its terminal is one of ours: the kernel tells it."""

    async def exec(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        user: User | None = None,
        terminal: bool = False,
        stdin: Stream = subprocess.DEVNULL,
        stdout: Stream = None,
        stderr: Stream = None,
    ) -> Sandbox:
        """Runs another program inside: same files, processes, address and limits. Raises StartError."""
        spec = replace(
            self.spec,
            argv=argv,
            env=self.spec.env if env is None else env,
            cwd=self.spec.cwd if cwd is None else cwd,
            user=user or self.spec.user,
            terminal=terminal,
            survive=False,
        )
        return await _start(spec, join=self, stdin=stdin, stdout=stdout, stderr=stderr)


def _hears(pid: int, number: int) -> bool:
    """Whether a signal does anything to a process 1: it has a handler, or has blocked the signal to wait for it (``sigwait``).

    While a thread sits in ``sigwait`` its own mask shows the signals as open; the kernel's name for that wait tells, or another thread's mask.
    """
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            lines = (thread / "status").read_text().splitlines()
            masks = [int(line.split()[1], 16) for line in lines if line.startswith(("SigCgt:", "SigBlk:"))]
            if any(mask >> (number - 1) & 1 for mask in masks) or "sigtimedwait" in (thread / "wchan").read_text():
                return True
    except (OSError, ValueError):
        return False
    return False


async def launch(spec: SandboxSpec, stdin: Stream = subprocess.DEVNULL, stdout: Stream = None, stderr: Stream = None) -> Sandbox:
    """Starts the container of ``spec``. Returns once its program runs; raises StartError if it cannot."""
    return await _start(spec, join=None, stdin=stdin, stdout=stdout, stderr=stderr)


async def pause(*, survive: bool = False) -> Sandbox | None:
    """A process that holds a pid namespace open for the containers of one pod; None where there are no pid namespaces."""
    if capabilities().mode == "none":
        return None
    spec = SandboxSpec(argv=["pause"], survive=survive)
    return await _start(
        spec, join=None, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, hold=True
    )


def _paths(spec: SandboxSpec, upper: Path) -> Iterator[str]:
    """The shim's rules where it rewrites paths itself."""
    yield f"upper {upper}"
    yield from (f"layer {layer}" for layer in spec.layers)
    for mount in spec.mounts:
        yield f"{'ro' if mount.read_only else 'rw'} {mount.target.rstrip('/')}\t{mount.source}"
    yield from (f"hostpath {os.path.realpath(path)}" for path in spec.host_paths)
    if spec.policy:
        yield f"policy {spec.policy}"
    if spec.clock:
        yield f"clock {spec.clock}"
    if spec.dns:
        yield f"search {' '.join(spec.dns.search)}"
        yield f"ndots {spec.dns.ndots}"
    if spec.hostname:
        yield f"hostname {spec.hostname}"
        yield f"hosts {' '.join(dict.fromkeys((*spec.host_names, spec.hostname)))}"


def _shown(spec: SandboxSpec) -> Iterator[tuple[str, Path, str]]:
    """What the agent goes on writing and the shim reads: (setting, on the host, in the container)."""
    if spec.policy:
        yield "policy", spec.policy, POLICY
    if spec.clock:
        yield "clock", spec.clock, CLOCK


def _runtime_directory() -> Path:
    directory = halab_home() / "cache" / "run"
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    return directory


def _mount_points(spec: SandboxSpec) -> None:
    """A volume inside another shows in the outer one's listing, as a mount would have made it do."""
    for inner in spec.mounts:
        outer = [
            mount for mount in spec.mounts if inner.target.startswith(mount.target.rstrip("/") + "/") and mount.source.is_dir()
        ]
        if not outer:
            continue
        nearest = max(outer, key=lambda mount: len(mount.target))
        point = nearest.source / inner.target[len(nearest.target.rstrip("/")) + 1 :]
        if point.exists() or nearest.read_only:
            continue
        point.parent.mkdir(parents=True, exist_ok=True)
        if inner.source.is_dir():
            point.mkdir()
        else:
            point.touch()


def _write(root: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def _prepare(
    spec: SandboxSpec, join: Sandbox | None, hold: bool
) -> tuple[list[tuple[str, ...]], str | None, list[Callable[[], None]]]:
    """The launcher's records, the path of the shim's settings if they lie outside, and what is to be cleaned up at the end."""
    machine, tools = capabilities(), programs()
    clean: list[Callable[[], None]] = []
    env = dict(spec.env)
    pairs: list[tuple[str, ...]] = [("arg", part) for part in spec.argv]
    cwd, settings = spec.cwd, None
    if hold:
        pairs.append(("flag", "pause"))
        pairs += [("flag", flag) for flag in FLAGS[machine.mode] if flag in ("userns", "pidns")]
    elif machine.mode == "none":
        if join is not None:
            settings = join.settings
        else:
            upper = spec.upper
            state = Path(tempfile.mkdtemp(dir=_runtime_directory()))
            clean.append(lambda: remove_tree(state))
            if upper is None:
                upper = state / "upper"
            for part in ("tmp", "run", "var/tmp", "var/log", "var/lib", "var/cache", "root"):
                (upper / part).mkdir(parents=True, exist_ok=True)
            _write(upper, standard_files(spec))
            _mount_points(spec)
            settings = str(state / "settings")
            Path(settings).write_text(settings_text(spec, fake_root=True, paths=_paths(spec, upper)))
            pairs.append(("flag", "monitor"))
        env["LD_PRELOAD"] = " ".join(filter(None, (str(tools.full_shim), env.get("LD_PRELOAD"))))
        env["HALAB_SETTINGS"] = str(settings)
    else:
        pairs += [("flag", flag) for flag in FLAGS[machine.mode] if flag != "host"]
        if join is None:
            if spec.host_files:
                pairs.append(("flag", "host"))
            upper = spec.upper
            if upper is None and not machine.tmpfs_upper:
                upper = Path(tempfile.mkdtemp(dir=_runtime_directory()))
                clean.append(lambda path=upper: remove_tree(path))  # type: ignore[misc]
            files = standard_files(spec)
            shown = list(_shown(spec))
            files["/.halab/settings"] = settings_text(
                spec, fake_root=machine.mode == "userns", paths=[f"{name} {place}" for name, _, place in shown]
            )
            files["/etc/ld.so.preload"] = "/.halab/libhalab.so\n"
            if upper is not None:
                pairs.append(("upper", str(upper)))
            if spec.tmpfs_size:
                pairs.append(("tmpfs", str(spec.tmpfs_size)))
            if spec.hostname:
                pairs.append(("hostname", spec.hostname))
            pairs += [("base", str(tools.base)), ("shim", str(tools.shim if machine.mode == "privileged" else tools.full_shim))]
            pairs += [("layer", str(layer)) for layer in spec.layers]
            pairs += [("hostpath", os.path.realpath(path)) for path in spec.host_paths]
            pairs += [("file", name, text) for name, text in files.items()]
            pairs += [("mount", "ro", os.path.realpath(path), place) for _, path, place in shown]
            pairs += [
                ("mount", "ro" if mount.read_only else "rw", os.path.realpath(mount.source), mount.target)
                for mount in spec.mounts
            ]
            if spec.share_pid_with:
                pairs.append(("sharepid", str(spec.share_pid_with)))
            if spec.read_only_root:
                pairs.append(("flag", "readonly"))
    if join is not None:
        pairs.append(("join", str(join.pid)))
    pairs.append(("cwd", cwd))
    pairs += [("env", f"{key}={value}") for key, value in env.items()]
    pairs += [("uid", str(spec.user.uid)), ("gid", str(spec.user.gid)), ("capabilities", f"{spec.capabilities:x}")]
    pairs += [("group", str(group)) for group in dict.fromkeys((spec.user.gid, *spec.user.groups))]
    pairs += [("limit", str(number), str(value)) for number, value in spec.limits.items()]
    pairs += [("cgroup", f"{directory}/cgroup.procs") for directory in spec.cgroups]
    pairs += [
        ("flag", name)
        for name, on in (("nonewprivs", spec.no_new_privileges), ("tty", spec.terminal), ("survive", spec.survive))
        if on
    ]
    return pairs, settings, clean


def _launcher_environment(settings: str | None) -> dict[str, str] | None:
    """Without a mount namespace the launcher itself needs the shim, to find the program and its directory where the container has them."""
    if settings is None:
        return None
    kept = {name: value for name, value in os.environ.items() if name.startswith("HALAB_CLUSTER")}  # whose process this is
    return {**kept, "LD_PRELOAD": str(programs().full_shim), "HALAB_SETTINGS": settings}


async def _start(
    spec: SandboxSpec, *, join: Sandbox | None, stdin: Stream, stdout: Stream, stderr: Stream, hold: bool = False
) -> Sandbox:
    loop = asyncio.get_running_loop()
    pairs, settings, clean = _prepare(spec, join, hold)
    input_fd = os.memfd_create("spec")
    status_read, status_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        os.write(input_fd, records(pairs))
        os.lseek(input_fd, 0, os.SEEK_SET)
        launcher = subprocess.Popen(  # noqa: ASYNC220 - a fork and exec of half a millisecond
            [programs().launcher, str(input_fd), str(status_write)],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            pass_fds=(input_fd, status_write),
            env=_launcher_environment(settings),
        )
    except BaseException:
        os.close(status_read)
        for action in clean:
            action()
        raise
    finally:
        os.close(input_fd)
        os.close(status_write)
    report = await _report(loop, status_read)
    pid = next((int(line[4:]) for line in report.splitlines() if line.startswith("pid ")), 0)
    monitored = any(pair == ("flag", "monitor") for pair in pairs)
    leader = launcher.pid if monitored else pid
    error = next((line for line in report.splitlines() if line.startswith("error ")), None)
    if error is not None or not pid:
        launcher.wait()
        if pid and not monitored:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)  # noqa: ASYNC222 - it has ended already
        for action in clean:
            action()
        _, stage, number, subject = (error or "error launch 0 the launcher died").split(" ", 3)
        raise StartError(stage, int(number), subject)
    if not monitored:
        launcher.wait()
    else:
        launcher.returncode = 0  # waited for below, by its pid: Popen must not wait for it as well
    sandbox = Sandbox(spec, pid, leader, loop.create_future(), settings, clean)
    _watch(loop, sandbox)
    return sandbox


async def _report(loop: asyncio.AbstractEventLoop, descriptor: int) -> str:
    """All that comes on the status pipe until the program has been started or has failed to."""
    done: asyncio.Future[None] = loop.create_future()
    received = bytearray()

    def readable() -> None:
        try:
            while chunk := os.read(descriptor, 4096):
                received.extend(chunk)
        except BlockingIOError:
            return
        loop.remove_reader(descriptor)
        if not done.done():
            done.set_result(None)

    loop.add_reader(descriptor, readable)
    try:
        await done
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
    return received.decode(errors="replace")


def _watch(loop: asyncio.AbstractEventLoop, sandbox: Sandbox) -> None:
    """Reaps the child as soon as the kernel says that it has ended."""
    descriptor = os.pidfd_open(sandbox.leader)

    def ended() -> None:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        try:
            code = os.waitstatus_to_exitcode(os.waitpid(sandbox.leader, 0)[1])
        except ChildProcessError:
            code = 255
        if not sandbox.finished.done():
            sandbox.finished.set_result(code if code >= 0 else 128 - code)
        for action in sandbox._clean:
            action()

    loop.add_reader(descriptor, ended)
