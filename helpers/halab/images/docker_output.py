"""The text of Docker's classic builder, line by line, as the events of our own. Pure."""

from __future__ import annotations

import re

from halab.images.build.events import Event


def event_of(line: str) -> Event | None:
    """A line of the classic builder's output as an event; None for an empty one."""
    text = line.rstrip("\r\n")
    if not text.strip():
        return None
    if match := re.fullmatch(r"Step (\d+)/(\d+) : (.*)", text):
        return Event("step", match[3], int(match[1]), int(match[2]))
    if text == " ---> Using cache":
        return Event("cached", "")
    if match := re.fullmatch(r" ---> Running in ([0-9a-f]+)", text):
        return Event("running", match[1])
    if match := re.fullmatch(r" ---> ([0-9a-f]+)", text):
        return Event("done", match[1])
    if match := re.fullmatch(r"Successfully built ([0-9a-f]+)", text):
        return Event("built", match[1])
    if match := re.fullmatch(r"Successfully tagged (\S+)", text):
        return Event("tagged", match[1])
    return Event("output", text)
