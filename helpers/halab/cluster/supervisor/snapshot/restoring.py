"""``halab snapshot restore``: a cluster's directory is made anew beside the present one, then the two change places in one step."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import shutil
import sqlite3
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from halab.aio import processes
from halab.cluster.apiserver import backup
from halab.cluster.supervisor import control, engine, layout
from halab.cluster.supervisor.addresses import claim_new
from halab.cluster.supervisor.credentials import new_tokens
from halab.cluster.supervisor.files import disk_error, exchange, private_directory, try_lock, write_private
from halab.cluster.supervisor.prepare import SPARE_BYTES
from halab.cluster.supervisor.prepare import write as write_config
from halab.cluster.supervisor.snapshot.header import (
    DIGESTS,
    FAULTS,
    HEADER,
    IMAGES,
    KEY,
    STATE,
    VOLUMES,
    Header,
    Unfit,
)
from halab.cluster.supervisor.snapshot.relocate import relocation
from halab.errors import ClusterError, MachineError, UsageError
from halab.images import archive
from halab.images.store import ImageStore
from halab.sandbox import remove_tree
from halab.settings import PROCESS, ClusterConfig, addresses_of, halab_home

Report = Callable[[str], None]
STAGING = ".restore-"
HEADER_BYTES = 4 << 20  # no first page is longer
KEPT = ("pki", "logs")  # of a cluster that is there already


@dataclass(frozen=True, slots=True)
class Restored:
    """``revision``: where the restored state goes on. ``replaced``: a cluster was there before."""

    header: Header
    config: ClusterConfig
    revision: int
    replaced: bool


def restore(name: str, file: Path, *, report: Report = lambda _text: None) -> Restored:
    """Make cluster ``name`` of this ``$HALAB_HOME``, which must not run, what ``file`` holds. It is started by the next ``up``.

    A cluster that is there keeps its address range, its certificates and its tokens, and loses its objects and volumes. Until the last
    step nothing of it is touched: whatever fails (a bad file, another version, a full disk) leaves it as it was. Raises HalabError.
    """
    home = halab_home()
    directory = layout.directory_of(name, home)
    header = read_header(file)
    private_directory(home)
    with _stopped(name, directory):
        _sweep(home)
        _require_space(home, file)
        staging = private_directory(home / f"{STAGING}{os.getpid()}-{processes.start_time(os.getpid())}")
        try:
            report(f"unpacking what cluster {header.name} was at {header.created}")
            _unpack(file, staging)
            config, revision = _make(name, header, staging, directory, home, report)
            report("putting it into place")
            replaced = _swap(staging, directory)
        except sqlite3.DatabaseError as error:
            raise UsageError(str(file), f"holds a state that cannot be read ({error})", "take another copy of it") from error
        except OSError as error:
            raise disk_error(home, error) from error
        finally:
            remove_tree(staging)
    return Restored(header, config, revision, replaced)


def read_header(file: Path) -> Header:
    """Raises UsageError for what is no snapshot, or one that this version cannot restore."""
    try:
        with _open(file) as tar:
            first = tar.next()
            data = tar.extractfile(first) if first is not None and first.isreg() and first.name == HEADER else None
            return Header.load(data.read(HEADER_BYTES) if data else b"")
    except Unfit as error:
        raise UsageError(str(file), *error.args) from error
    except tarfile.TarError as error:
        raise UsageError(str(file), "is not a halab snapshot", "give a file that `halab snapshot save` wrote") from error


@contextmanager
def _open(file: Path) -> Iterator[tarfile.TarFile]:
    try:
        source = file.open("rb")
    except FileNotFoundError as error:
        raise UsageError(str(file), "does not exist", "give a file that `halab snapshot save` wrote") from error
    except OSError as error:
        raise UsageError(str(file), f"cannot be read ({error.strerror})", "give a file that you may read") from error
    with source, tarfile.open(fileobj=source, mode="r:") as tar:
        yield tar


@contextmanager
def _stopped(name: str, directory: Path) -> Iterator[None]:
    """The cluster does not run, and is not started while the block runs."""
    stop = "halab down" + ("" if name == "default" else f" --name {name}")
    try:
        control.request(directory, "status")
    except ConnectionError:
        pass
    else:
        raise ClusterError(f"cluster {name}", "is running", f"stop it first: {stop}")
    if not directory.exists():
        yield
        return
    lock = try_lock(directory / layout.LOCK)
    if lock is None:
        raise ClusterError(f"cluster {name}", "is being started or stopped by another command", f"when it is done: {stop}")
    try:
        yield
    finally:
        os.close(lock)


def _sweep(home: Path) -> None:
    """Remove what a killed restore left."""
    for path in home.glob(f"{STAGING}*"):
        pid, _, start = path.name.removeprefix(STAGING).partition("-")
        if pid.isdigit() and processes.start_time(int(pid)) != start:
            remove_tree(path)


def _require_space(home: Path, file: Path) -> None:
    place = os.statvfs(home)
    free, needed = place.f_bavail * place.f_frsize, file.stat().st_size + SPARE_BYTES
    if free < needed:
        fact = f"only {free >> 20} MB are free on its disk, the snapshot needs {needed >> 20} MB"
        raise MachineError(str(home), fact, "free some space, then run the command again")


def _unpack(file: Path, staging: Path) -> None:
    """Everything into ``staging``, checked against the digests. Raises UsageError for a damaged file."""

    def damaged(fact: str) -> UsageError:
        return UsageError(str(file), f"is damaged: {fact}", "take another copy of it")

    digests: dict[str, str] = {}
    found: dict[str, str] = {}
    folders: list[tarfile.TarInfo] = []
    try:
        with _open(file) as tar:
            tar.extraction_filter = lambda member, _place: member  # checked by ``_fitting``
            for member in tar:
                if member.name in (HEADER, DIGESTS):
                    source = tar.extractfile(member)
                    assert source is not None
                    if member.name == DIGESTS:
                        digests = json.loads(source.read())
                    else:
                        found[HEADER] = hashlib.sha256(source.read()).hexdigest()
                elif member.name in (STATE, KEY, IMAGES) or member.name.split("/")[0] in (VOLUMES, FAULTS):
                    fitting = _fitting(member, staging)
                    if member.isdir():
                        folders.append(fitting)
                    # A folder's own mode, set last, may forbid what goes into it.
                    tar.extract(fitting, staging, numeric_owner=True, set_attrs=not member.isdir())
                    if member.isreg():
                        found[member.name] = _digest(staging / member.name)
                else:
                    raise damaged(f"{member.name!r} does not belong into a snapshot")
    except (tarfile.TarError, EOFError, ValueError, AssertionError) as error:
        raise damaged(str(error) or "it is cut off") from error
    except OSError as error:
        if "unexpected end of data" in str(error):
            raise damaged("it is cut off") from error
        raise
    if not digests:
        raise damaged("its end is missing")
    if wrong := next((name for name in digests if found.get(name) != digests[name]), None):
        raise damaged(f"{wrong} is not what was saved")
    for folder in reversed(folders):
        path = staging / folder.name
        if os.geteuid() == 0:
            os.chown(path, folder.uid, folder.gid)
        path.chmod(folder.mode)


def _fitting(member: tarfile.TarInfo, staging: Path) -> tarfile.TarInfo:
    """``member`` without setuid. Refuses (ValueError) what would be written outside of ``staging``, twice, or is a device.

    Not tarfile's own filters: Python has them from 3.11.4 on, and they refuse absolute symbolic links, which in a pod's volume are
    lawful (they mean the container's root). Nothing is ever written through a link.
    """
    for name in (member.name, member.linkname) if member.islnk() else (member.name,):
        parts = name.split("/")
        if parts[0] == "" or ".." in parts:
            raise ValueError(f"{name!r} lies outside")
        if any((staging / "/".join(parts[:end])).is_symlink() for end in range(1, len(parts))):
            raise ValueError(f"{name!r} lies behind a link")
    if os.path.lexists(staging / member.name):
        raise ValueError(f"{member.name!r} is there twice")
    if not (member.isreg() or member.isdir() or member.issym() or member.islnk() or member.isfifo()):
        raise ValueError(f"{member.name!r} is a device")
    safe = copy.copy(member)
    safe.mode &= 0o3777
    return safe


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _make(name: str, header: Header, staging: Path, directory: Path, home: Path, report: Report) -> tuple[ClusterConfig, int]:
    """Turn what was unpacked into a cluster's directory; its configuration, and the revision that its state ends with."""
    if (staging / IMAGES).exists():
        report(f"loading {len(header.images)} image{'s' * (len(header.images) > 1)}")
        with (staging / IMAGES).open("rb") as packed:
            archive.load(ImageStore(private_directory(home / "images")), packed)
        (staging / IMAGES).unlink()
    old = layout.read_config(directory)
    if old is not None:
        config = replace(old, nodes=header.nodes)
        for folder in KEPT:
            if (directory / folder).exists():
                shutil.copytree(directory / folder, staging / folder)
    else:
        runtime, socket = _runtime(header)
        claim = claim_new(directory, runtime)
        with closing(claim.socket):
            config = ClusterConfig(
                name=name,
                number=claim.number,
                directory=directory,
                images=home / "images",
                nodes=header.nodes,
                port_shift=claim.port_shift,
                tokens=new_tokens(),
                runtime=runtime,
                engine=socket,
            )
    for record in (staging / FAULTS).glob("*.json"):
        _overdue(record, name)
    report("fitting its objects to this place")
    change = relocation(addresses_of(header.number, header.runtime), header.directory, config.addresses, directory)
    revision = backup.restore(staging / STATE, change, directory / STATE)
    if header.absent:
        write_private(staging / layout.ABSENT, json.dumps(header.absent))
    key = (staging / KEY).read_bytes()
    (staging / KEY).unlink()
    private_directory(staging / "pki")
    here = replace(config, directory=staging)
    write_private(here.service_account_key, key)
    write_config(here, report)
    write_private(staging / layout.CONFIG, config.dump())
    return config, revision


def _overdue(record: Path, name: str) -> None:
    """A failure of then is over: whoever looks after failures (``halab.faults``) heals on ``name`` what it had done to objects."""
    try:
        raw = json.loads(record.read_text())
        write_private(record, json.dumps(raw | {"cluster": name, "until": 0.0, "owner": [0, ""], "guard": [0, ""]}))
    except (ValueError, TypeError):
        record.unlink()


def _runtime(header: Header) -> tuple[str, str]:
    """What a new cluster's pods are, with the engine's socket: what they were, or processes where no engine answers."""
    try:
        return header.runtime, engine.socket_for(header.runtime)
    except MachineError:
        return PROCESS, ""


def _swap(staging: Path, directory: Path) -> bool:
    """``staging`` becomes ``directory``; whether one was there (it is in ``staging`` afterwards)."""
    private_directory(directory.parent)
    os.sync()  # what takes the old state's place is on the disk before that state is gone
    if directory.exists():
        exchange(staging, directory)
        return True
    staging.rename(directory)
    return False
