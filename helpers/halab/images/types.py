"""What the two engines (embedded, Docker) both answer with, and the interface that they share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from halab.images.build.builder import Request
from halab.images.build.events import Listener
from halab.images.containers.spec import ContainerSpec
from halab.images.garbage import Pruned
from halab.images.store import Named

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Built:
    """``image_id`` is the configuration's digest (Docker's image id), ``digest`` the manifest's (empty where Docker has none yet)."""

    image_id: str
    digest: str
    names: tuple[str, ...]
    size: int


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """A step of an image, newest first. ``size`` in bytes; 0 for a step without a layer. ``borrowed`` tells of files of this machine."""

    created: str
    created_by: str
    size: int
    comment: str = ""
    layer: str = ""
    borrowed: bool = False


@dataclass(frozen=True, slots=True)
class ContainerRow:
    """A container as ``ps`` shows it. ``ports`` read ``127.0.0.1:8080->80/tcp``."""

    id: str
    name: str
    image: str
    command: tuple[str, ...]
    created: str
    status: str
    running: bool
    ports: tuple[str, ...]
    exit_code: int
    restarts: int
    address: str
    health: str
    pid: int


class Engine(Protocol):
    """Images and containers, wherever they are. All methods are synchronous and raise ImageError."""

    name: str

    def build(self, request: Request, listen: Listener) -> Built: ...
    def images(self) -> list[Named]: ...
    def history(self, reference: str) -> list[HistoryRow]: ...
    def inspect(self, reference: str) -> dict[str, Any]: ...
    def tag(self, reference: str, new: str) -> None: ...
    def remove(self, reference: str, *, force: bool = False) -> list[str]: ...
    def prune(self, *, cache: bool = False) -> Pruned: ...
    def push(self, reference: str, tell: Tell) -> str: ...
    def pull(self, reference: str, tell: Tell) -> str: ...
    def save(self, references: Sequence[str], path: Path) -> None: ...
    def load(self, path: Path) -> list[str]: ...

    def run(self, spec: ContainerSpec) -> ContainerRow: ...
    def containers(self, *, everything: bool = False) -> list[ContainerRow]: ...
    def container(self, word: str) -> ContainerRow: ...
    def inspect_container(self, word: str) -> dict[str, Any]: ...
    def logs(self, word: str, *, tail: int | None = None, follow: bool = False) -> Iterator[tuple[str, str]]: ...
    def execute(self, word: str, command: Sequence[str]) -> int: ...
    def stop(self, word: str, grace: float = 10.0) -> ContainerRow: ...
    def start(self, word: str) -> ContainerRow: ...
    def kill(self, word: str, signal: str = "KILL") -> ContainerRow: ...
    def remove_container(self, word: str, *, force: bool = False) -> str: ...
    def wait(self, word: str, seconds: float = 600.0) -> ContainerRow: ...
