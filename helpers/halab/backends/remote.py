"""What a cluster that is known by a kubeconfig alone has in common, whoever made it: its API, and ways into it."""

from __future__ import annotations

from pathlib import Path

from halab.backends import features, ways
from halab.backends.access import Api, ApiError, Obj
from halab.backends.base import Address
from halab.backends.choice import folder_of
from halab.backends.doors import Doors
from halab.backends.gateway import NAMESPACE as GATEWAY_NAMESPACE
from halab.backends.gateway import SERVICE as GATEWAY_SERVICE
from halab.cluster.supervisor.manage import start_it
from halab.errors import ClusterError

FEW = 3  # addresses that are tried before the API server's way is taken


class Remote:
    """The base of ``Kind`` and ``Existing``. ``all_namespaces`` is whether Services of other namespaces may be looked at."""

    all_namespaces = True

    def __init__(self, name: str) -> None:
        self.name = name
        self.folder = folder_of(name)
        self._api: Api | None = None
        self._doors: Doors | None = None

    def kubeconfig(self) -> Path:
        path = self.folder / "kubeconfig"
        if not path.exists():
            raise ClusterError(f"cluster {self.name}", "was not brought up", start_it(self.name))
        return path

    def api(self) -> Api:
        if self._api is None:
            self._api = Api(self.kubeconfig())
        return self._api

    def doors(self) -> Doors:
        if self._doors is None:
            self._doors = Doors(self.kubeconfig())
        return self._doors

    def _reset(self) -> None:
        """The kubeconfig changed."""
        self._api = self._doors = None

    def service(self, namespace: str, name: str, port: int) -> Address:
        found = self._get("services", name, namespace)
        if (found["spec"].get("clusterIP") or "None") == "None":
            raise ClusterError(
                f"service {namespace}/{name}", "has no address of its own (it is headless)", "ask its pods instead"
            )
        wanted = next((item for item in found["spec"].get("ports") or () if item["port"] == port), None)
        if wanted is None:
            have = ", ".join(str(item["port"]) for item in found["spec"].get("ports") or ())
            raise ClusterError(f"service {namespace}/{name}", f"has no port {port}", f"it has: {have}")
        if ways.inside(self.api().client.server):
            return str(found["spec"]["clusterIP"]), port
        return self._outside(found, wanted) or self.doors().service(found, wanted)

    def _outside(self, service: Obj, port: Obj) -> Address | None:
        """An address that takes connections now. One that does not, for whatever reason, is left for the way through the API server."""
        if service["spec"].get("type") not in ("NodePort", "LoadBalancer"):
            return None
        try:
            nodes = self.api().list("nodes")
        except ApiError:
            nodes = []  # a learner need not be allowed to look at them
        places = ways.outside(service, port, nodes)[:FEW]
        return next((place for place in places if ways.taken(*place)), None)

    def pod(self, namespace: str, name: str, port: int) -> Address:
        found = self._get("pods", name, namespace)
        own = found.get("status", {}).get("podIP")
        if own and ways.inside(self.api().client.server):
            return str(own), port
        return self.doors().pod(found, port)

    def pod_beside_the_api(self, namespace: str, name: str, port: int) -> Address:
        raise ClusterError(f"cluster {self.name}", "is reached through its API server alone", features.ELSEWHERE)

    def node_port(self, node: str, port: int) -> Address:
        """The node's own address where this machine can dial it; else the Service with that NodePort, through the API server."""
        for host in ways.hosts_of(self._get("nodes", node, None)):
            if ways.taken(host, port):
                return host, port
        for service in self._services():
            for entry in service["spec"].get("ports") or ():
                if entry.get("nodePort") == port:
                    return self.doors().service(service, entry)
        raise ClusterError(f"node {node}, port {port}", "is no Service's NodePort", "kubectl get services")

    def _services(self) -> list[Obj]:
        if self.all_namespaces:
            namespaces = [item["metadata"]["name"] for item in self.api().list("namespaces")]
            return [item for namespace in namespaces for item in self.api().list("services", namespace=namespace)]
        return self.api().list("services")

    def _gateway(self, tls: bool) -> Address:
        """The project's own gateway inside the cluster, through the API server."""
        try:
            found = self.api().find("services", GATEWAY_SERVICE, GATEWAY_NAMESPACE)
        except ApiError as error:
            raise ClusterError(
                f"cluster {self.name}", f"its gateway cannot be looked at: {error}", "halab up --ingress HOST:PORT"
            ) from error
        if found is None:
            fact = "has no gateway of halab's, and no other address for Ingress is known"
            raise ClusterError(f"cluster {self.name}", fact, "halab up --gateway installs one; --ingress HOST:PORT names another")
        wanted = "https" if tls else "http"
        return self.doors().service(found, next(item for item in found["spec"]["ports"] if item.get("name") == wanted))

    def _get(self, kind: str, name: str, namespace: str | None) -> Obj:
        try:
            return self.api().get(kind, name, namespace)
        except ApiError as error:
            raise ClusterError(f"{kind} {name}", str(error)) from error
