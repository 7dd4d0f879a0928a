"""What a build tells while it runs, and how that reads as text: the lines of ``docker build``'s classic builder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["context", "step", "cached", "running", "output", "done", "warning", "built", "tagged"]


@dataclass(frozen=True, slots=True)
class Event:
    """``text`` is the context's size, the instruction, a line of output, an image id ... by ``kind``; ``seconds`` of a finished step."""

    kind: Kind
    text: str
    step: int = 0
    steps: int = 0
    seconds: float = 0.0
    error: bool = False  # output on standard error


Listener = Callable[[Event], None]


def line(event: Event) -> str:
    """One line of text without line end; Docker's words."""
    match event.kind:
        case "context":
            return f"Sending build context to builder  {event.text}"
        case "step":
            return f"Step {event.step}/{event.steps} : {event.text}"
        case "cached":
            return " ---> Using cache"
        case "running":
            return f" ---> Running in {event.text}"
        case "done":
            return f" ---> {event.text}" + (f"  ({event.seconds:.1f} s)" if event.seconds >= 0.1 else "")
        case "warning":
            return f" ! {event.text}"
        case "built":
            return f"Successfully built {event.text}"
        case "tagged":
            return f"Successfully tagged {event.text}"
        case _:
            return event.text


def size(count: float) -> str:
    """``2.048kB``, ``13.4MB``: decimal units, as Docker prints them."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.4g}{unit}"
        count /= 1000
    return ""
