"""Linux process plumbing: what the standard library leaves out.

A cluster is a tree of processes that must vanish as one, even when its root is killed with SIGKILL. Two kernel features do that:
``PR_SET_PDEATHSIG`` (a child is signalled when its parent ends) and ``PR_SET_CHILD_SUBREAPER`` (orphans come to us, not to init).
Everything here is synchronous and cheap to import, because the supervisor imports it before anything else.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
PR_SET_CHILD_SUBREAPER = 36

_libc = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, value: object) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def die_with_parent(parent: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Have the kernel send ``number`` to this process when ``parent`` ends; end at once if it has ended already.

    The kernel means the parent *thread*: call it in a child forked by a thread that lives as long as its process.
    """
    _prctl(PR_SET_PDEATHSIG, int(number))
    if os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """Make this process the parent of every orphan among its descendants."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def set_name(name: str) -> None:
    """The name that ``ps`` and ``top`` show (15 bytes at most)."""
    _prctl(PR_SET_NAME, name.encode()[:15])


def parents() -> dict[int, int]:
    """Every visible process and its parent, from one pass over /proc."""
    found: dict[int, int] = {}
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        with suppress(OSError, ValueError, IndexError):
            stat = Path(entry.path, "stat").read_text(errors="replace")
            found[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    return found


def descendants(root: int) -> list[int]:
    """All processes below ``root``, parents before children; ``root`` itself is left out."""
    children: dict[int, list[int]] = {}
    for pid, parent in parents().items():
        children.setdefault(parent, []).append(pid)
    found: list[int] = []
    level = children.get(root, [])
    while level:
        found += level
        level = [pid for parent in level for pid in children.get(parent, ())]
    return found


def memory_bytes(pids: list[int]) -> int:
    """The proportional set size of these processes together: shared pages are counted once. Vanished ones count nothing."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
                    break
    return total


def cpu_seconds(pids: list[int]) -> float:
    """User and system time that these processes have used so far."""
    tick = os.sysconf("SC_CLK_TCK")
    total = 0
    for pid in pids:
        with suppress(OSError, ValueError, IndexError):
            fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / tick


def start_time(pid: int) -> str:
    """When the process started, in ticks since boot: with its id it names a process for ever. Empty once it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def marked_with(variable: str, value: str | None = None) -> Iterator[int]:
    """Processes of ours whose environment, as given to their program, has ``variable=value``, or ``variable`` with any value.

    How the leftovers of a cluster are recognised when nobody is left who remembers their process ids.
    """
    needle = f"{variable}={value or ''}".encode()
    mine = os.getpid()
    for pid in parents():
        if pid == mine:
            continue
        with suppress(OSError):
            for one in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                if one == needle or (value is None and one.startswith(needle)):
                    yield pid
                    break


def kill_descendants(root: int, *, rounds: int = 100) -> int:
    """SIGKILL everything below ``root`` (this process) and reap it, until nothing is left; returns how many are left (0 is success).

    Several rounds, because a process may fork while we look, and because a grandchild becomes ours only when its parent is gone.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    left: list[int] = []
    for _ in range(rounds):
        reap()
        left = descendants(root)
        if not left:
            return 0
        for pid in left:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        signal.sigtimedwait({signal.SIGCHLD}, 0.05)
    return len(left)


def reap() -> dict[int, int]:
    """Collect every child that has ended: process id -> exit code (negative: the signal that ended it)."""
    ended: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended[pid] = os.waitstatus_to_exitcode(status)
