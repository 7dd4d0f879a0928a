"""How the supervisor tells the process that runs ``up`` what it is doing: JSON lines through a socket that both hold.

The socket also tells the other way: when it closes early, whoever wanted the cluster is gone.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress

from halab.errors import HalabError


class Reporter:
    """Writes events: ``{"event": "step", "text"}``, ``{"event": "busy"}``, ``{"event": "done"}``, ``{"event": "error", ...}``."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def step(self, text: str) -> None:
        self._write({"event": "step", "text": text})

    def busy(self) -> None:
        self._write({"event": "busy"})
        self.close()

    def done(self) -> None:
        self._write({"event": "done"})
        self.close()

    def error(self, error: HalabError) -> None:
        kind = type(error).__name__
        self._write({"event": "error", "kind": kind, "subject": error.subject, "fact": error.fact, "remedy": error.remedy})
        self.close()

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def _write(self, event: dict[str, object]) -> None:
        if self.descriptor >= 0:
            with suppress(OSError):
                os.write(self.descriptor, json.dumps(event).encode() + b"\n")
