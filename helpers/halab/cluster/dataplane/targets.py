"""Where an HTTP route leads: a Service's port, several by weight, or nowhere.

Shared by Ingress and HTTPRoutes. ``Targets`` also remembers which clusters the routes need.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from halab.cluster.dataplane import services
from halab.cluster.dataplane.model import Backend, Cluster
from halab.cluster.kube.types import Obj
from halab.settings import ClusterConfig

ServiceKey = tuple[str, str]


@dataclass(slots=True)
class Targets:
    config: ClusterConfig
    services: Mapping[ServiceKey, Obj]
    slices: Mapping[ServiceKey, Sequence[Obj]]
    clusters: dict[str, Cluster] = field(default_factory=dict)

    def service(self, namespace: str, name: str) -> Obj | None:
        return self.services.get((namespace, name))

    def backend(self, namespace: str, name: str, port: Mapping[str, object]) -> Backend | None:
        """The Service's port, or None where the Service or the port does not exist (or is an ExternalName)."""
        service = self.service(namespace, name)
        if service is None or service["spec"].get("type") == "ExternalName":
            return None
        wanted = services.port_of(service, port)
        if wanted is None:
            return None
        return services.backend(self.config, service, wanted, self.slices.get((namespace, name), ()))

    def cluster(self, backend: Backend, *, by_hash: bool = False) -> str:
        """The name of a cluster for the backend, made if it is new. ``by_hash`` chooses endpoints by a hash of the request."""
        name = backend.cluster + ("#" if by_hash else "")
        self.clusters[name] = Cluster(name, backend, by_hash=by_hash or backend.sticky)
        return name
