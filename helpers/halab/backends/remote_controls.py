"""What may be made to fail on a cluster that others use too: the learner's own namespace through the API, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from halab.backends import controls
from halab.backends.controls import Answer
from halab.cluster.supervisor.files import private_directory
from halab.errors import UsageError

OWN_CLUSTER = "do this on a cluster of your own: halab up --backend embedded --name mine"


class SharedControls:
    """Implements ``controls.Controls`` for an existing cluster: every fault that would reach beyond the namespace is refused."""

    shared = True
    powers = frozenset({controls.API})

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def records(self) -> Path:
        return private_directory(self._folder / "faults")

    def component(self, name: str, action: str) -> NoReturn:
        raise UsageError(f"component {name}", f"is not {action}ed: others use this cluster too", OWN_CLUSTER)

    def node(self, name: str, request: Answer) -> NoReturn:
        raise UsageError(f"node {name}", "is not touched: others use this cluster too", OWN_CLUSTER)

    def container(self, node: str, namespace: str, pod: str, container: str, request: Answer) -> NoReturn:
        raise UsageError(f"container {pod}/{container}", "is reached through the API alone here", OWN_CLUSTER)

    def registry(self, name: str, action: str, address: str = "") -> NoReturn:
        raise UsageError(f"registry {name}", "is not this cluster's", OWN_CLUSTER)
