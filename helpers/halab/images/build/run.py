"""RUN: a command in a sandbox on the layers so far; what it wrote becomes the layer."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shlex
import stat
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from halab.aio.lines import lines
from halab.errors import ImageError
from halab.images import layers
from halab.images.borrow import SYSTEM_PATH
from halab.images.layers import Entry
from halab.images.packages import dpkg, pool
from halab.images.rootfs import RootView
from halab.sandbox import Mount, SandboxSpec, StartError, User, capabilities, launch, upper_trees

# What a sandbox itself puts into the tree; never part of an image.
_SANDBOX_FILES = {
    "etc/hosts",
    "etc/hostname",
    "etc/resolv.conf",
    "etc/ld.so.preload",
    ".halab",
    "dev",
    "proc",
    "sys",
    "run",
    pool.PLACE,
}
_MAX_LINE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Command:
    """What is run: as whom, where, with which variables. ``mounts`` come from ``RUN --mount``; ``shown`` is for messages."""

    argv: Sequence[str]
    environment: dict[str, str]
    directory: str
    user: User
    shown: str
    mounts: tuple[Mount, ...] = ()
    host_paths: tuple[Path, ...] = ()
    provided: frozenset[str] = frozenset()  # paths that the image's borrowed layers have already


@dataclass(frozen=True, slots=True)
class Outcome:
    entries: list[Entry]
    borrowed: tuple[str, ...]


async def run(
    command: Command, below: Sequence[Path], view: RootView, work: Path, output: Callable[[str, bool], None]
) -> Outcome:
    """Run it to its end. ``below`` are the image's layers, top first; ``output`` is called with every line and whether it is an error line.

    Raises ImageError when the command cannot be started or ends with another status than 0.
    """
    tools, upper = work / "tools", work / "upper"
    tools.mkdir()
    upper.mkdir()
    script = " ".join(command.argv)
    lent: dict[str, pool.Package] = {}
    if view.host:
        lent = await asyncio.to_thread(pool.write, pool.candidates(script), tools, command.provided)
    environment = dict(command.environment)
    if capabilities().mode == "none" and view.host:
        # Nothing can be laid over the machine's files: the package manager is found by PATH and told where it works.
        environment |= {"HALAB_TOOLS": str(tools), "HALAB_ROOT": str(upper)}
        environment["PATH"] = f"{tools}/usr/bin:{environment.get('PATH', SYSTEM_PATH)}"
    spec = SandboxSpec(
        argv=command.argv,
        env=environment,
        cwd=command.directory,
        user=command.user,
        layers=[*([tools] if view.host else []), *below],
        host_files=view.host,
        host_paths=command.host_paths,
        upper=upper,
        mounts=command.mounts,
        hostname="buildkitsandbox",
    )
    status = await _execute(spec, output, command.shown)
    if status != 0:
        hint = ""
        if status == 127:
            hint = "127 says that a program was not found in the image: install it, or take a base image that has it"
        raise ImageError("RUN", f"The command '{command.shown}' returned a non-zero code: {status}", hint)
    mounted = {mount.target.strip("/") for mount in command.mounts}
    entries = changes(upper, view, mounted)
    return Outcome(entries, _borrowed(entries, lent))


async def _execute(spec: SandboxSpec, output: Callable[[str, bool], None], shown: str) -> int:
    pipes = [os.pipe2(os.O_CLOEXEC) for _ in range(2)]
    try:
        sandbox = await launch(spec, stdout=pipes[0][1], stderr=pipes[1][1])
    except StartError as error:
        for read, _ in pipes:
            os.close(read)
        raise ImageError("RUN", f"The command '{shown}' could not be started: {error}", "see: halab doctor") from None
    finally:
        for _, write in pipes:
            os.close(write)
    readers: list[Awaitable[None]] = [
        _lines(pipes[0][0], lambda text: output(text, False)),
        _lines(pipes[1][0], lambda text: output(text, True)),
    ]
    try:
        # Reading ends when the last process that holds the pipe has ended; a background process left by the command is killed first.
        status = asyncio.ensure_future(sandbox.wait())
        await asyncio.gather(*readers, status)
        return status.result()
    finally:
        sandbox.kill()
        await sandbox.wait()  # what it wrote can be removed only once nobody writes any more


async def _lines(descriptor: int, take: Callable[[str], None]) -> None:
    async for line in lines(descriptor, _MAX_LINE):
        take(line.decode(errors="replace").rstrip("\r\n"))


def changes(upper: Path, view: RootView, mounted: set[str]) -> list[Entry]:
    """What the sandbox wrote, as a layer: without its own files, mount points, and directories that were merely passed through."""
    found: dict[str, Entry] = {}
    me = os.geteuid()
    for prefix, tree in upper_trees(upper):
        for entry in layers.scan(tree):
            path = f"{prefix}/{entry.path}".lstrip("/")
            if any(path == own or path.startswith(own + "/") for own in (*_SANDBOX_FILES, *mounted)):
                continue
            target = f"{prefix}/{entry.target}" if entry.kind == "hardlink" and prefix else entry.target
            owned = entry.owned(0, 0) if me and entry.uid == me else entry
            found[path if entry.kind != "opaque" else path + "/"] = replace(owned, path=path, target=target)
    kept = [entry for path, entry in found.items() if entry.kind != "directory" or not _unchanged(path, entry, found, view)]
    return view.parents([entry for entry in kept if entry.kind != "opaque"]) + [entry for entry in kept if entry.kind == "opaque"]


def _unchanged(path: str, entry: Entry, found: dict[str, Entry], view: RootView) -> bool:
    """A directory that the image has already with the same mode, and in which nothing was written."""
    if any(other.startswith(path + "/") for other in found if other != path):
        return False
    item = view.locate(path)
    return item is not None and stat.S_ISDIR(item[1].st_mode) and stat.S_IMODE(item[1].st_mode) == entry.mode


def _borrowed(entries: Sequence[Entry], lent: dict[str, pool.Package]) -> tuple[str, ...]:
    """The packages that the step really installed, told by the lists that the package manager left; what they pulled in is not named."""
    paths = {entry.path for entry in entries}
    return tuple(f"{name} {item.version}" for name, item in lent.items() if f"var/lib/dpkg/info/{name}.list" in paths)


def lending_state(command: str) -> str:
    """Part of a step's cache key: the versions that the machine would lend for this command. A newer package makes the step run again."""
    known = dpkg.installed()
    state = [f"{name}={known[name].version}" for name in pool.candidates(command) if name in known]
    return hashlib.sha256(" ".join(state).encode()).hexdigest() if state else ""


def quoted(words: Sequence[str]) -> str:
    return " ".join(shlex.quote(word) for word in words)
