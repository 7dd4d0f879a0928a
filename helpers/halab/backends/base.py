"""What the course needs of a cluster, whatever makes it: a Protocol, and nothing else.

``embedded.py`` is the default; other backends (kind, any kubeconfig) implement the same methods. Labs never see a backend's name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from halab.backends.controls import Controls

if TYPE_CHECKING:
    from halab.images.types import Engine  # which knows all that builds an image: 50 ms of imports

Address = tuple[str, int]  # host, port as really dialled from this machine
Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Summary:
    """A cluster in a line: for the first cell of a notebook and for ``requires``."""

    name: str
    backend: str
    state: str
    nodes: int


class Backend(Protocol):
    """One cluster. Addresses are what this machine dials; a port may differ from Kubernetes' one where low ports cannot be bound."""

    def up(self, report: Report) -> Summary:
        """Bring it up if it is not, and wait until its nodes are Ready. Cheap when it is."""

    def summary(self) -> Summary: ...

    def features(self) -> frozenset[str]:
        """What labs may require: ``ingress``, ``gateway``, ``metrics`` ..."""

    def kubeconfig(self) -> Path: ...

    def namespace(self, wanted: str) -> str:
        """Where a lab that would like the namespace ``wanted`` is played: there, or in the one that the learner was given."""

    def provide_image(self, reference: str, folder: Path, report: Report) -> None:
        """Make ``reference`` available to every node, building it from ``folder``'s Dockerfile if it is not."""

    def images(self) -> Engine:
        """Images and containers beside the cluster, in the store that its nodes take images from."""

    def service(self, namespace: str, name: str, port: int) -> Address: ...

    def pod(self, namespace: str, name: str, port: int) -> Address: ...

    def pod_beside_the_api(self, namespace: str, name: str, port: int) -> Address:
        """The same for users who are near the pod's node, and reach it when the API server does not. Raises ClusterError where there is no such way."""

    def node_port(self, node: str, port: int) -> Address: ...

    def ingress(self, *, tls: bool = False) -> Address: ...

    def controls(self) -> Controls:
        """What may be made to fail here, beyond what the Kubernetes API allows."""
