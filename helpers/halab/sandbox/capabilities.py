"""What this machine allows, found by trying: a sandbox is started in each mode, best first, and the first that runs is taken."""

from __future__ import annotations

import functools
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .build import programs
from .spec import records

Mode = Literal["privileged", "userns", "none"]
FLAGS: dict[Mode, tuple[str, ...]] = {
    "privileged": ("mountns", "pidns", "host"),
    "userns": ("userns", "mountns", "pidns", "host"),
    "none": ("monitor",),
}


@dataclass(frozen=True, slots=True)
class Capabilities:
    """``mode`` says which isolation a sandbox gets; the rest is what follows from it or was found beside it.

    ``tmpfs_upper``: may what a container writes be kept in memory, or does it need a directory on disk?
    ``cgroup``: the directory below which memory and CPU limits can be set, or None.
    """

    mode: Mode
    user_namespaces: bool
    overlay: bool
    tmpfs_upper: bool
    low_ports: bool
    cgroup: Path | None
    cgroup_version: int


def _starts(mode: Mode) -> bool:
    """Runs ``true`` in a sandbox of this mode."""
    tools = programs()
    pairs: list[tuple[str, ...]] = [("arg", "/bin/true"), ("base", str(tools.base)), ("cwd", "/"), ("hostname", "probe")]
    pairs += [("flag", flag) for flag in FLAGS[mode]]
    pairs += [("capabilities", "ffffffffff"), ("uid", "0"), ("gid", "0")]
    spec, status = os.memfd_create("spec"), os.memfd_create("status")
    try:
        os.write(spec, records(pairs))
        os.lseek(spec, 0, os.SEEK_SET)
        # The container is cloned as our own child, so it is waited for by the pid that the launcher tells.
        code = subprocess.run(
            [tools.launcher, str(spec), str(status)], pass_fds=(spec, status), check=False, stdin=subprocess.DEVNULL
        ).returncode
        text = os.pread(status, 4096, 0).decode()
        for line in text.splitlines():
            if line.startswith("pid ") and mode != "none":
                code = code or os.waitstatus_to_exitcode(os.waitpid(int(line[4:]), 0)[1])
        return code == 0 and "error" not in os.pread(status, 4096, 0).decode()
    finally:
        os.close(spec)
        os.close(status)


def _low_ports() -> bool:
    for port in (79, 81, 82, 83):
        with socket.socket() as probe:
            try:
                probe.bind(("127.255.255.253", port))
                return True
            except PermissionError:
                return False
            except OSError:
                continue
    return False


def _cgroup() -> tuple[Path | None, int]:
    """The cgroup of this process, if it can be divided: version 2, or version 1's memory controller."""
    if os.environ.get("HALAB_CGROUPS") == "none":
        return None, 0
    root = Path("/sys/fs/cgroup")
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None, 0
    entries = {name: path for line in lines for _, names, path in [line.split(":", 2)] for name in names.split(",")}
    if (root / "cgroup.controllers").exists() and "" in entries:
        for candidate in (root / entries[""].strip("/"), root):
            control = candidate / "cgroup.subtree_control"
            try:
                if (
                    "memory" in control.read_text().split()
                    and os.access(candidate, os.W_OK)
                    and os.access(candidate / "cgroup.procs", os.W_OK)
                ):
                    return candidate, 2
            except OSError:
                continue
    if "memory" in entries and os.geteuid() == 0:
        for candidate in (root / "memory" / entries["memory"].strip("/"), root / "memory"):
            if os.access(candidate, os.W_OK) and (candidate / "memory.limit_in_bytes").exists():
                return candidate, 1
    return None, 0


def _kernel() -> tuple[int, int]:
    major, minor = os.uname().release.split(".")[:2]
    return int(major), int("".join(char for char in minor if char.isdigit()) or 0)


@functools.cache
def capabilities() -> Capabilities:
    """Tried once a process. ``HALAB_SANDBOX=privileged|userns|none`` and ``HALAB_CGROUPS=none`` limit what is tried, for tests and for trouble."""
    wanted = os.environ.get("HALAB_SANDBOX")
    modes: list[Mode] = ["privileged", "userns"] if os.geteuid() == 0 else ["userns"]
    if sys.platform != "linux" or wanted == "none":
        modes = []
    elif wanted == "userns":
        modes = ["userns"]
    mode: Mode = next((mode for mode in modes if _starts(mode)), "none")
    cgroup, version = _cgroup()
    return Capabilities(
        mode=mode,
        user_namespaces=mode == "userns" or (mode == "privileged" and _starts("userns")),
        overlay=mode != "none",
        # An unprivileged overlay keeps its marks in user.* attributes, which tmpfs has since Linux 6.6.
        tmpfs_upper=mode == "privileged" or (mode == "userns" and _kernel() >= (6, 6)),
        low_ports=_low_ports(),
        cgroup=cgroup,
        cgroup_version=version,
    )
