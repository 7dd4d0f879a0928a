"""What the failure catalogue may do to a cluster beyond its Kubernetes API. A backend grants what it can; ``powers`` says what that is.

``halab.faults`` knows these names and nothing of how a cluster is made.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from halab.errors import ClusterError

API = "api"  # the learner's namespace through the Kubernetes API: every backend
NODES = "nodes"  # Node objects may be changed (cordon, drain)
SIGNALS = "signals"  # a container's processes: ``container({"do": "signal", "signal": "SIGKILL"})``, SIGSTOP, SIGCONT
AILMENTS = "ailments"  # ``{"do": "set", "crash": bool, "probes": [kinds], "slow": seconds, "restart": bool, "wake": bool}``; none set: healthy
PROGRAMS = (
    "programs"  # beside a container's own, within its limits: ``{"do": "run", "argv": [...], "count": n}``, ``{"do": "end"}``
)
DISKS = "disks"  # a volume without free space: ``{"do": "fill", "path": mountPath}``, ``{"do": "unfill", "path": ...}``
POWER = "power"  # ``component("node/NAME", "kill")`` and ``"start"``: a node with all that runs on it
AGENTS = "agents"  # ``component("node-agent/NAME", "pause")`` and ``"resume"``: its kubelet alone
CUT = "cut"  # ``node(NAME, {"cut_off": bool})``: the API server and the node do not reach each other
CLOCK = "clock"  # ``node(NAME, {"skew": seconds})``
TRAFFIC = "traffic"  # the data plane heeds the annotation halab.dev/fault of Services
DNS = "dns"  # so does the DNS server, of its own Service kube-system/kube-dns
REGISTRY = "registry"  # the registry beside the cluster may be stopped
EVERY_NODE = frozenset({SIGNALS, AILMENTS, PROGRAMS, DISKS, POWER, AGENTS, CUT, CLOCK})


def component_power(name: str) -> str:
    """The power to ``stop`` this component, at once and until it is told to ``start``."""
    return f"component {name}"


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
        """stop, start, kill, pause or resume ``apiserver``, ``controllers``, ``dataplane``, ``node/NAME`` or ``node-agent/NAME``."""
        ...

    def node(self, name: str, request: Answer) -> Answer:
        """A node's part in a fault (see ``CUT``, ``CLOCK``)."""
        ...

    def container(self, node: str, namespace: str, pod: str, container: str, request: Answer) -> Answer:
        """A container's part (see ``SIGNALS``, ``AILMENTS``, ``PROGRAMS``, ``DISKS``)."""
        ...

    def registry(self, name: str, action: str, address: str = "") -> str:
        """stop or start a registry beside the cluster; the address at which it is (or was) found."""
        ...
