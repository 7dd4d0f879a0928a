"""One fact about this machine: what ``halab doctor`` prints and what a backend refuses to start on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """``subject`` is what was looked at, ``fact`` what was found, ``remedy`` what to do (empty when all is well)."""

    subject: str
    level: Level
    fact: str
    remedy: str = ""
