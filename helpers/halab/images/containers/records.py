"""Containers on disk: ``containers/ID/`` holds spec.json, state.json, the log and what the container wrote.

The monitor process alone writes state.json (atomically); everybody may read it. A state whose monitor is gone is told as what it is.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from halab.aio.processes import start_time
from halab.errors import ImageError
from halab.images import layers
from halab.images.containers.spec import ContainerSpec, Port

_ADJECTIVES_TEXT = (
    "brave calm clever eager fair gentle happy jolly keen lively mellow neat proud quiet swift tidy vivid warm wise witty"
)
_ADJECTIVES = _ADJECTIVES_TEXT.split()
_NOUNS_TEXT = (
    "badger beaver crane dolphin falcon gecko heron ibis koala lynx marmot otter panda puffin raven seal swan tapir walrus wren"
)
_NOUNS = _NOUNS_TEXT.split()
LAST = "last-run"  # exists in a container's directory once a person has killed it: its next end is not followed by a restart
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*\Z")


@dataclass(slots=True)
class State:
    """``status`` is created, running, restarting, exited or failed; times are RFC 3339; ``health`` is empty without a health check."""

    status: str = "created"
    pid: int = 0
    monitor: int = 0
    monitor_stamp: str = ""
    exit_code: int = 0
    error: str = ""
    restarts: int = 0
    started: str = ""
    finished: str = ""
    address: str = ""
    health: str = ""
    settings: str = ""  # where the sandbox has no mount namespace: the file of its preloaded library's settings
    ports: list[list[Any]] = field(default_factory=list)  # host ip, host port (as really bound), container port


@dataclass(frozen=True, slots=True)
class Container:
    """A container as it is now. ``command`` is what runs in it; ``ports`` are those really bound."""

    id: str
    name: str
    image: str
    image_digest: str
    command: tuple[str, ...]
    created: str
    spec: ContainerSpec
    state: State
    directory: Path

    @property
    def running(self) -> bool:
        return self.state.status in ("running", "restarting")

    @property
    def ports(self) -> tuple[Port, ...]:
        return tuple(Port(*item) for item in self.state.ports)

    @property
    def status(self) -> str:
        """Docker's words: ``Up 5 seconds (healthy)``, ``Exited (137) 2 minutes ago``, ``Restarting (1) 1 second ago``."""
        match self.state.status:
            case "running":
                return f"Up {since(self.state.started)}" + (f" ({self.state.health})" if self.state.health else "")
            case "restarting":
                return f"Restarting ({self.state.exit_code}) {since(self.state.finished)} ago"
            case "created":
                return "Created"
            case _:
                return f"Exited ({self.state.exit_code}) {since(self.state.finished)} ago"


def since(moment: str) -> str:
    if not moment:
        return "0 seconds"
    seconds = max(0, int((datetime.now().astimezone() - datetime.fromisoformat(moment.replace("Z", "+00:00"))).total_seconds()))
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            return f"{seconds // size} {unit}{'s' if seconds // size > 1 else ''}"
    return f"{seconds} second{'' if seconds == 1 else 's'}"


class Records:
    """All containers under ``root`` (``$HALAB_HOME/containers``)."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path in root.glob(".*"):  # half-made or half-removed by a process that was killed
            if time.time() - path.stat().st_mtime > 60:
                layers.remove_tree(path)

    def create(self, spec: ContainerSpec, digest: str, command: tuple[str, ...], created: str) -> Container:
        """A new directory, complete when it appears. Raises ImageError when the name is taken or unusable."""
        taken = {item.name: item.id for item in self.all()}
        name = spec.name
        if name and not _NAME.match(name):
            raise ImageError(f"container name {name!r}", "is not allowed", "use letters, digits, '_', '.', '-'")
        if name in taken:
            raise ImageError(
                f"container {name}",
                f"the name is in use by container {taken[name][:12]}",
                f"remove it first: halab image rm {name}",
            )
        while not name:
            candidate = f"{secrets.choice(_ADJECTIVES)}_{secrets.choice(_NOUNS)}"
            name = candidate if candidate not in taken else ""
        ident = secrets.token_hex(32)
        partial = self.root / f".{ident}"
        (partial / "upper").mkdir(parents=True)
        document = {
            "id": ident,
            "name": name,
            "image_digest": digest,
            "command": list(command),
            "created": created,
            "spec": spec.to_json(),
        }
        (partial / "spec.json").write_text(json.dumps(document))
        (partial / "state.json").write_text(json.dumps(asdict(State())))
        partial.rename(self.root / ident)
        return self.read(self.root / ident)

    def read(self, directory: Path) -> Container:
        raw = json.loads((directory / "spec.json").read_text())
        state = State(**json.loads((directory / "state.json").read_text()))
        alive = state.monitor and start_time(state.monitor) == state.monitor_stamp
        if state.status in ("running", "restarting") and not alive:
            state.status, state.exit_code, state.error = "exited", 137, "its monitor process was killed"
        spec = ContainerSpec.from_json(raw["spec"])
        return Container(
            raw["id"], raw["name"], spec.image, raw["image_digest"], tuple(raw["command"]), raw["created"], spec, state, directory
        )

    def write_state(self, directory: Path, state: State) -> None:
        partial = directory / f".state.{os.getpid()}"
        partial.write_text(json.dumps(asdict(state)))
        partial.replace(directory / "state.json")

    def all(self) -> list[Container]:
        """Newest first."""
        found = []
        for path in self.root.iterdir():
            if path.name.startswith("."):
                continue
            try:
                found.append(self.read(path))
            except (OSError, ValueError, KeyError, TypeError):
                continue  # being removed at this moment
        return sorted(found, key=lambda item: item.created, reverse=True)

    def find(self, word: str) -> Container:
        """By name or by the beginning of the id. Raises ImageError."""
        matches = [item for item in self.all() if word == item.name] or [
            item for item in self.all() if word and item.id.startswith(word)
        ]
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise ImageError(f"container {word}", "several ids begin so", "give more digits")
        raise ImageError(f"container {word}", "No such container", "see: halab image ps -a")

    def remove(self, container: Container) -> None:
        gone = container.directory.with_name(f".{container.id}.removed")
        container.directory.rename(gone)
        layers.remove_tree(gone)
