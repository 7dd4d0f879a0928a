"""The guard of one failure: a small process of its own that heals it when its time is over, or when the process that injected it ends.

It is not a child of that process (a kernel's kill -9 spares it), it waits without polling, and it ends when somebody else has healed.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from halab.aio.processes import set_name, start_time
from halab.faults.records import Record, load, path_of

READY_SECONDS = 20.0
LOOK_SECONDS = 10.0
RETRY_SECONDS = (0.2, 5.0)
GIVE_UP_SECONDS = 900.0  # of attempts to heal; `halab fault heal --all` can be called ever after


def start(folder: Path, record: Record) -> tuple[int, str]:
    """Start the guard of a saved record; its process id and start time. Raises OSError when it does not come up."""
    command = [sys.executable, "-P", "-m", "halab.faults.guard", str(folder), record.id]
    with open(os.open(folder / "guard.log", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600), "wb") as log:
        starter = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, cwd="/", start_new_session=True
        )
    assert starter.stdout is not None
    with starter.stdout as said:
        ready, _, _ = select.select([said], [], [], READY_SECONDS)
        line = said.readline() if ready else b""
    starter.wait()
    if not line.strip().isdigit():
        raise OSError(f"the guard of {record.id} did not start; see {folder / 'guard.log'}")
    pid = int(line)
    return pid, start_time(pid)


def end(guard: tuple[int, str]) -> None:
    """End the guard of a failure that was healed by somebody else."""
    import signal

    pid, since = guard
    if not pid or pid == os.getpid():
        return
    with suppress(OSError):
        descriptor = os.pidfd_open(pid)
        try:
            if start_time(pid) == since:
                signal.pidfd_send_signal(descriptor, signal.SIGTERM)
                select.select([descriptor], [], [], 5.0)
        finally:
            os.close(descriptor)


def wait(folder: Path, record: Record) -> None:
    """Until the time is over, the owner has ended, or there is nothing to heal any more (the cluster was removed)."""
    watched: list[int] = []
    pid, since = record.owner
    if pid:
        try:
            watched = [os.pidfd_open(pid)]
        except OSError:
            return
        if start_time(pid) != since:
            return
    while (left := record.until - time.time()) > 0 and path_of(folder, record.id).exists():
        # A suspended machine's clock may jump: look again now and then.
        if select.select(watched, [], [], min(left, LOOK_SECONDS))[0]:
            return


def heal(folder: Path, id: str) -> None:
    """Until it is healed, by us or by somebody else."""
    from halab import backends
    from halab.errors import HalabError
    from halab.faults import engine

    delay, give_up = RETRY_SECONDS[0], time.monotonic() + GIVE_UP_SECONDS
    while time.monotonic() < give_up:
        record = load(path_of(folder, id))
        if record is None:
            return
        try:
            engine.heal(backends.connect(record.cluster), id)
            return
        except HalabError as error:
            print(f"{id}: {error}", file=sys.stderr, flush=True)
        time.sleep(delay)
        delay = min(delay * 2, RETRY_SECONDS[1])


def main(folder: Path, id: str) -> None:
    if os.fork():
        os._exit(0)  # whoever started us has no child to wait for
    set_name("halab-guard")
    record = load(path_of(folder, id))
    sys.stdout.write(f"{os.getpid()}\n")
    sys.stdout.flush()
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    os.close(null)
    if record is not None:
        wait(folder, record)
        heal(folder, id)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
