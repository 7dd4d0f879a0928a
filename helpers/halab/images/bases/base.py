"""What a built-in base image is: a name, the tags it answers to, and how its layers are made from this machine."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from halab.images.borrow import SYSTEM_PATH
from halab.images.layers import Entry

PATH_VARIABLE = f"PATH={SYSTEM_PATH}"


@dataclass(frozen=True, slots=True)
class Content:
    """What a base consists of. ``borrowed`` repeats files of the machine at their own paths; ``own`` is everything else.

    ``config`` is the inner "config" object of an OCI image (Env, Cmd, Entrypoint, ...), ``borrows`` names programs with versions,
    ``created`` (seconds) is when the youngest borrowed program was made, so that the same machine always gives the same digest.
    """

    config: dict[str, Any]
    own: list[Entry]
    borrowed: list[Entry] = field(default_factory=list)
    borrows: str = ""
    hides: tuple[str, ...] = ()
    created: float = 0.0


@dataclass(frozen=True, slots=True)
class Base:
    """``tags`` must match the whole tag; ``offers`` says the same to people. ``programs`` are what the machine must have.

    ``sources`` are the files whose replacement makes the base stale; ``make(tag)`` reads the machine (milliseconds to some tenths of a second).
    """

    name: str
    tags: str
    offers: str
    note: str
    missing: Callable[[], str]  # "" or what the machine lacks, with how to get it
    sources: Callable[[], list[Path | None]]
    make: Callable[[str], Content]

    def answers(self, tag: str) -> bool:
        return re.fullmatch(self.tags, tag) is not None


def newest(paths: list[Path | None]) -> float:
    return max((path.stat().st_mtime for path in paths if path and path.exists()), default=0.0)
