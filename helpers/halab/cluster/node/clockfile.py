"""By how much a node's clock is wrong, in a file that every program of its containers has mapped (sandbox/src/clock.c)."""

from __future__ import annotations

import os
import struct
from pathlib import Path

NANOSECONDS = 1_000_000_000


def of(directory: Path) -> Path:
    """Where a node with this directory keeps it."""
    return directory / "clock"


def write(directory: Path, ahead: float) -> None:
    """``ahead`` seconds (negative: behind). The file is never replaced: programs that run have this one open."""
    descriptor = os.open(of(directory), os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644)
    try:
        os.fchmod(descriptor, 0o644)  # read by programs of any user
        os.pwrite(descriptor, struct.pack("=q", round(ahead * NANOSECONDS)), 0)
    finally:
        os.close(descriptor)
