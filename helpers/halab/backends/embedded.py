"""The embedded cluster as a backend: plain processes on loopback addresses, which this machine reaches directly."""

from __future__ import annotations

from pathlib import Path

from halab.backends import features, provided
from halab.backends.access import Api, ApiError, Obj
from halab.backends.base import Address, Report, Summary
from halab.backends.embedded_controls import EmbeddedControls
from halab.cluster.supervisor import manage
from halab.errors import ClusterError
from halab.images import api
from halab.images.types import Engine
from halab.settings import ClusterConfig


class Embedded:
    """Cluster ``name``. Low ports are shifted where this machine does not let ordinary users bind them (``ClusterConfig.port``)."""

    def __init__(self, name: str = "default") -> None:
        self.name = name
        self._api: Api | None = None
        self._known: ClusterConfig | None = None

    def up(self, report: Report) -> Summary:
        found = manage.status(self.name)
        if found.state != "running":
            found = manage.up(self.name, report=report)
        self._known = found.config
        return self._summary(found)

    def summary(self) -> Summary:
        return self._summary(manage.status(self.name))

    def _summary(self, found: manage.Status) -> Summary:
        return Summary(self.name, "embedded", found.state, len(found.nodes))

    def features(self) -> frozenset[str]:
        config = self._config()
        found = {features.OWN, features.REGISTRIES, features.POD_SECURITY, features.METRICS, features.SECOND}
        if "dataplane" in config.without:
            return frozenset(found)
        found |= {features.INGRESS, features.GATEWAY, features.MESH}
        return frozenset(found if config.no_firewall.exists() else found | {features.POLICY})

    def _config(self) -> ClusterConfig:
        if self._known is None:
            self._known = manage.status(self.name).config
        if self._known is None:
            raise ClusterError(f"cluster {self.name}", "does not exist", manage.start_it(self.name))
        return self._known

    def _client(self) -> Api:
        if self._api is None:
            self._api = Api(self.kubeconfig())
        return self._api

    def kubeconfig(self) -> Path:
        return self._config().kubeconfig

    def namespace(self, wanted: str) -> str:
        return wanted

    def provide_image(self, reference: str, folder: Path, report: Report) -> None:
        engine = self.images()
        if not provided.is_current(engine, reference, folder):
            report(f"building {reference}")
            engine.build(provided.request(engine, reference, folder), lambda _event: None)

    def images(self) -> Engine:
        return api.engine("embedded")

    def service(self, namespace: str, name: str, port: int) -> Address:
        found = self._get("services", name, namespace)
        address = found["spec"].get("clusterIP") or "None"
        if address == "None":
            raise ClusterError(
                f"service {namespace}/{name}", "has no address of its own (it is headless)", "ask its pods instead"
            )
        return address, self._config().port(port)

    def pod(self, namespace: str, name: str, port: int) -> Address:
        found = self._get("pods", name, namespace)
        address = found.get("status", {}).get("podIP")
        if not address:
            raise ClusterError(
                f"pod {namespace}/{name}", "has no address yet", f"kubectl -n {namespace} describe pod {name} says why"
            )
        return address, self._config().port(port)

    def pod_beside_the_api(self, namespace: str, name: str, port: int) -> Address:
        return self.pod(namespace, name, port)

    def node_port(self, node: str, port: int) -> Address:
        for item in self._get("nodes", node, None).get("status", {}).get("addresses", []):
            if item["type"] == "InternalIP":
                return item["address"], port
        raise ClusterError(f"node {node}", "reports no address", "kubectl get nodes -o wide")

    def ingress(self, *, tls: bool = False) -> Address:
        return self._config().addresses.ingress, self._config().port(443 if tls else 80)

    def controls(self) -> EmbeddedControls:
        self._known = manage.configuration(self.name)  # nodes may have come since
        return EmbeddedControls(self._config())

    def _get(self, kind: str, name: str, namespace: str | None) -> Obj:
        try:
            return self._client().get(kind, name, namespace)
        except ApiError as error:
            raise ClusterError(f"{kind} {name}", str(error)) from error
