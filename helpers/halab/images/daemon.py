"""Starting a process that outlives its caller, and hearing from it once: ready, or why not. Containers' monitors and registries are such."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from halab.errors import ImageError

START_SECONDS = 30.0


def start(subject: str, module: str, arguments: Sequence[str], log: Path, home: Path) -> None:
    """Run ``python -m module ARGUMENTS READY_FD`` as a daemon; returns once it has written ``ok``. The module calls ``detach`` first.

    Raises ImageError with what it wrote instead, with the last line of its log if it died, or when it says nothing for 30 s.
    """
    read, write = os.pipe()
    try:
        with log.open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments, str(write)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd="/",
                start_new_session=True,
                pass_fds=(write,),
                env=os.environ | {"HALAB_HOME": str(home)},
            )
    except BaseException:
        os.close(read)
        raise
    finally:
        os.close(write)
    try:
        answer = b""
        while not answer.endswith(b"\n"):
            if not select.select([read], [], [], START_SECONDS)[0]:
                process.kill()
                raise ImageError(subject, f"its process did not answer within {START_SECONDS:.0f} s", f"see {log}")
            data = os.read(read, 4096)
            if not data:
                process.wait()
                said = log.read_text(errors="replace").strip().splitlines()
                raise ImageError(subject, f"its process ended: {said[-1] if said else 'no message'}", f"see {log}")
            answer += data
    finally:
        os.close(read)
    process.wait()
    text = answer.decode(errors="replace").strip()
    if text != "ok":
        raise ImageError(subject, text.removeprefix("error "))


def detach() -> None:
    """Leave the caller: the process it started ends, a child goes on, so that nobody has to reap it."""
    if os.fork():
        os._exit(0)


def tell(ready: int, text: str) -> None:
    """The daemon's one word to whoever started it."""
    try:
        os.write(ready, text.encode() + b"\n")
        os.close(ready)
    except OSError:
        pass  # nobody listens any more
