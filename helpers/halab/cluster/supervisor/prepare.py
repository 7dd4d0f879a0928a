"""Everything between "a cluster is wanted" and "its components can start": directory, address range, keys, configuration.

An ordered list of small steps. Whatever fails, a cluster that did not exist before leaves nothing behind.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from halab.aio.processes import marked_with
from halab.cluster.supervisor import engine, layout
from halab.cluster.supervisor.addresses import Claim, claim_again, claim_new
from halab.cluster.supervisor.credentials import kubeconfig, new_tokens, node_name
from halab.cluster.supervisor.files import disk_error, private_directory, try_lock, write_private
from halab.errors import HalabError, MachineError, UsageError
from halab.settings import MAX_NODES, PROCESS, ClusterConfig

SPARE_BYTES = 32 << 20
LONGEST_DIRECTORY = 490  # bytes
DEFAULT_NODES = 3

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wish:
    """What ``halab up`` asked for. ``nodes`` None: as many as there were, or three. ``runtime`` empty: as it was, or processes."""

    home: Path
    name: str
    nodes: int | None = None
    without: tuple[str, ...] = ()
    runtime: str = ""

    def dump(self) -> str:
        return json.dumps(asdict(self) | {"home": str(self.home)})

    @classmethod
    def load(cls, text: str) -> Wish:
        raw = json.loads(text)
        return cls(Path(raw["home"]), raw["name"], raw["nodes"], tuple(raw["without"]), raw["runtime"])


@dataclass(frozen=True, slots=True)
class Prepared:
    """A configuration on disk and the locks that make it ours. ``fresh``: the cluster did not exist before."""

    config: ClusterConfig
    claim: Claim
    lock: int
    fresh: bool


class Busy(Exception):
    """Another supervisor of the same cluster lives (or is starting)."""


def prepare(wish: Wish, report: Report) -> Prepared:
    """Raises ``HalabError`` with a remedy, or ``Busy``."""
    if wish.nodes is not None and not 1 <= wish.nodes <= MAX_NODES:
        raise UsageError(f"--nodes {wish.nodes}", f"is not between 1 and {MAX_NODES}")
    directory = layout.directory_of(wish.name, wish.home)
    _require_openable(wish.home, directory)
    existed = (directory / layout.CONFIG).exists()
    private_directory(wish.home)
    private_directory(directory)
    lock = try_lock(directory / layout.LOCK)
    if lock is None:
        raise Busy
    try:
        _require_space(directory)
        recover(directory)
        return _configure(wish, directory, lock, report)
    except BaseException:
        if not existed:
            shutil.rmtree(directory, ignore_errors=True)
        os.close(lock)
        raise


def recover(directory: Path) -> None:
    """End what a crashed supervisor left. Its children died with it; a container's daemonized child might not have."""
    if not (directory / layout.RUNNING).exists():
        return
    for pid in marked_with(layout.MARK, str(directory)):
        if pid != os.getppid():  # our own keeper carries the mark too
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
    (directory / layout.SOCKET).unlink(missing_ok=True)
    (directory / layout.RUNNING).unlink(missing_ok=True)


def _require_openable(home: Path, directory: Path) -> None:
    """SQLite opens no longer path, whatever the file system takes (MAX_PATHNAME in its os_unix.c), and adds its own endings; KUBECONFIG is
    a list that colons divide."""
    if ":" in str(directory):
        raise MachineError(
            str(home), "holds a colon, at which KUBECONFIG would be divided", "set HALAB_HOME to a place without one"
        )
    length = len(os.fsencode(os.path.realpath(directory)))
    if length > LONGEST_DIRECTORY:
        fact = f"is {length - LONGEST_DIRECTORY} bytes too long: a database must lie in it, whose path may have 512"
        raise MachineError(str(home), fact, "set HALAB_HOME to a shorter one")


def _require_space(directory: Path) -> None:
    free = os.statvfs(directory)
    if free.f_bavail * free.f_frsize < SPARE_BYTES:
        raise MachineError(
            str(directory),
            f"only {free.f_bavail * free.f_frsize >> 20} MB are free on its disk",
            "free some space (halab needs about 100 MB)",
        )


def _configure(wish: Wish, directory: Path, lock: int, report: Report) -> Prepared:
    old = layout.read_config(directory)
    if old is None:
        report("taking an address range")
        runtime = wish.runtime or PROCESS
        claim = claim_new(directory, runtime)
        config = ClusterConfig(
            name=wish.name,
            number=claim.number,
            directory=directory,
            images=wish.home / "images",
            nodes=tuple(node_name(index) for index in range(wish.nodes or DEFAULT_NODES)),
            port_shift=claim.port_shift,
            tokens=new_tokens(),
            without=wish.without,
            runtime=runtime,
            engine=engine.socket_for(runtime),
        )
    else:
        require_runtime(old, wish)
        report(f"taking the address range 127.{old.number}.0.0/16 again")
        claim = claim_again(old.number, old.name, old.runtime)
        # The directory may have been moved; ports may be allowed now that were not before.
        config = replace(old, directory=directory, images=wish.home / "images", port_shift=claim.port_shift, without=wish.without)
        config = replace(config, engine=engine.socket_for(config.runtime))
    try:
        config = with_nodes(config, wish.nodes)
        write(config, report)
    except BaseException:
        claim.socket.close()
        raise
    return Prepared(config, claim, lock, old is None)


def require_runtime(config: ClusterConfig, wish: Wish) -> None:
    """Addresses, and so objects, depend on it: it is chosen once. Raises UsageError."""
    if wish.runtime and wish.runtime != config.runtime:
        purge = "halab down --purge" + ("" if wish.name == "default" else f" --name {wish.name}")
        raise UsageError(
            f"cluster {wish.name}",
            f"runs its pods with the runtime {config.runtime}",
            f"another name: --name {wish.runtime}; or: {purge}",
        )


def with_nodes(config: ClusterConfig, count: int | None) -> ClusterConfig:
    """The configuration with ``count`` nodes present: the lowest numbers first. None leaves them as they are."""
    if count is None:
        return config
    present = layout.present_nodes(config)
    known = list(config.nodes)
    for index in range(MAX_NODES):
        if len(present) >= count:
            break
        name = node_name(index)
        if name not in present:
            present.append(name)
        if name not in known:
            known.append(name)
    absent = [name for name in known if name not in sorted(present, key=known.index)[:count]]
    path = config.directory / layout.ABSENT
    if absent:
        write_private(path, json.dumps(absent))
    else:
        path.unlink(missing_ok=True)
    return replace(config, nodes=tuple(known))


def write(config: ClusterConfig, report: Report) -> None:
    """Keys, kubeconfig and ``cluster.json``; the last file written says that the rest is whole."""
    try:
        keys = (
            config.ca_file,
            config.certificate,
            config.key,
            config.service_account_key,
            config.kubelet_certificate,
            config.proxy_authority,
            config.proxy_certificate,
            config.proxy_key,
        )
        if not all(path.exists() for path in keys):
            report("making certificates")
            from halab.cluster.supervisor import pki  # 50 ms of imports that the start of an existing cluster need not pay

            pki.create(config)
        for folder in (config.logs, config.images, *(config.node_directory(node) for node in config.nodes)):
            private_directory(folder)
        write_private(config.kubeconfig, kubeconfig(config))
        write_private(config.directory / layout.CONFIG, config.dump())
    except OSError as error:
        raise disk_error(config.directory, error) from error


def undo(prepared: Prepared) -> None:
    """Remove a cluster that was never up."""
    if prepared.fresh:
        with suppress(HalabError, OSError):
            shutil.rmtree(prepared.config.directory, ignore_errors=True)
