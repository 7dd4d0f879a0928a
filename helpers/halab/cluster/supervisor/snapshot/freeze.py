"""Everything below some processes stands still for a while, so that files that they write can be copied as of one moment.

A process of its own holds them (``python -m halab.cluster.supervisor.snapshot.freeze PID ...``): it lets them go when its standard input
closes, which a SIGKILL of whoever wanted it does too. What stood still before goes on standing still.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from halab.aio.processes import descendants
from halab.errors import ClusterError

ROUNDS = 20  # a process may fork while we look; one that stands still cannot


@contextmanager
def frozen(roots: list[int]) -> Iterator[None]:
    """Freeze ``roots`` and all below them while the block runs. Raises ClusterError if that cannot be done."""
    if not roots:
        yield
        return
    command = [sys.executable, "-P", "-m", "halab.cluster.supervisor.snapshot.freeze", *map(str, roots)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    ) as holder:
        assert holder.stdin is not None and holder.stdout is not None
        try:
            if holder.stdout.read(1) != b"f":
                raise ClusterError("cluster", "its pods cannot be held still for the copy", "try again, or after: halab down")
            yield
        finally:
            with suppress(BrokenPipeError):
                holder.stdin.close()


def _stopped(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] in "TtZX"
    except (OSError, IndexError):
        return True


def hold(roots: list[int]) -> list[int]:
    """Stop the processes, parents first. The descriptors (pidfd) of those that were running, in the order in which they stopped."""
    held: list[int] = []
    seen: set[int] = set()
    for _ in range(ROUNDS):
        new = [
            pid for pid in dict.fromkeys([*roots, *(below for root in roots for below in descendants(root))]) if pid not in seen
        ]
        if not new:
            break
        for pid in new:
            seen.add(pid)
            with suppress(OSError):
                descriptor = os.pidfd_open(pid)
                if _stopped(pid):
                    os.close(descriptor)
                    continue
                signal.pidfd_send_signal(descriptor, signal.SIGSTOP)
                held.append(descriptor)
    return held


def main(arguments: list[str]) -> int:
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    held = hold([int(text) for text in arguments])
    try:
        with suppress(BrokenPipeError):
            os.write(1, b"f")
        while os.read(0, 1):
            pass
    finally:
        for descriptor in reversed(held):  # containers before the agents that probe them
            with suppress(OSError):
                signal.pidfd_send_signal(descriptor, signal.SIGCONT)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
