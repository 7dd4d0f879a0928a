"""The public face of images, for the command line, notebooks and checks: choose an engine, then call it.

>>> from halab.images import api
>>> engine = api.engine()            # embedded; api.engine("docker") for a real one, "auto" takes Docker where it answers
>>> engine.build(api.Request(Path("."), tags=("my-nginx:1.0",)), lambda event: print(api.line(event)))
"""

from __future__ import annotations

from pathlib import Path

from halab.errors import MachineError, UsageError
from halab.images.build.builder import Request
from halab.images.build.events import Event, line, size
from halab.images.containers.spec import ContainerSpec, Port, Restart, Volume
from halab.images.embedded import EmbeddedEngine
from halab.images.provide import provide
from halab.images.registry.manage import Registries, Running
from halab.images.types import Built, ContainerRow, Engine, HistoryRow

__all__ = [
    "Built",
    "ContainerRow",
    "ContainerSpec",
    "Engine",
    "Event",
    "HistoryRow",
    "Port",
    "Registries",
    "Request",
    "Restart",
    "Running",
    "Volume",
    "engine",
    "line",
    "provide",
    "size",
]


def engine(name: str = "embedded", home: Path | None = None) -> Engine:
    """``embedded``, ``docker``, or ``auto`` (Docker where an engine answers). Raises MachineError when Docker is asked for and absent."""
    if name == "embedded":
        return EmbeddedEngine(home)
    if name not in ("docker", "auto"):
        raise UsageError(f"engine {name!r}", "is unknown", "it is embedded, docker or auto")
    from halab.images.docker_engine import DockerEngine

    try:
        return DockerEngine()
    except MachineError:
        if name == "docker":
            raise
        return EmbeddedEngine(home)
