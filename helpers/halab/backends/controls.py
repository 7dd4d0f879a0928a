"""What the failure catalogue may do to a cluster beyond its Kubernetes API. A backend grants what it can; ``powers`` says what that is.

``halab.faults`` knows these names and nothing of how a cluster is made.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from halab.errors import ClusterError

API = "api"  # the learner's namespace through the Kubernetes API: every backend
NODES = "nodes"  # Node objects may be changed (cordon, drain)
CONTAINERS = "containers"  # signals and ailments of containers, by the node's agent
COMPONENTS = "components"  # the cluster's own processes may be stopped and started
TRAFFIC = "traffic"  # the data plane heeds the annotation halab.dev/fault of Services
REGISTRY = "registry"  # the registry beside the cluster may be stopped

Answer = dict[str, Any]


class Vanished(ClusterError):
    """What was to be acted upon is not there (any more)."""


class Unreachable(ClusterError):
    """Whoever had to act does not answer now; it may later. ``gone``: its process is not there at all, and what it knew is lost with it."""

    def __init__(self, subject: str, fact: str, remedy: str = "", *, gone: bool = False) -> None:
        super().__init__(subject, fact, remedy)
        self.gone = gone


class Controls(Protocol):
    """All methods raise ``HalabError``: a target that is not there, something that cannot be done here."""

    @property
    def powers(self) -> frozenset[str]: ...

    @property
    def shared(self) -> bool:
        """Others use this cluster too: only the learner's namespace may be touched, and only after a dry run."""
        ...

    def records(self) -> Path:
        """The folder in which the faults that are active are written down."""
        ...

    def component(self, name: str, action: str) -> None:
        """stop, start, kill, pause or resume ``apiserver``, ``controllers``, ``dataplane`` or ``node-agent/NAME``."""
        ...

    def node(self, name: str, request: Answer) -> Answer:
        """Ask the agent of a node for its part in a fault."""
        ...

    def container(self, node: str, namespace: str, pod: str, container: str, request: Answer) -> Answer:
        """The same for one container."""
        ...

    def registry(self, name: str, action: str, address: str = "") -> str:
        """stop or start a registry beside the cluster; the address at which it is (or was) found."""
        ...
