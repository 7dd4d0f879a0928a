"""Where things live, and which addresses a cluster owns. Pure values; nothing here touches the disk or the network.

State is kept under ``$HALAB_HOME`` (default: ``halab`` in the XDG state directory). Cluster number ``c`` (1-250) owns
127.c.0.0/16, so many clusters share one machine without privileges; ``Addresses`` is the one place that divides that range.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from halab.errors import MachineError

KUBERNETES_MINOR = "1.34"  # what the embedded cluster presents itself as
KUBERNETES_VERSION = "v1.34.9"
LOW_PORT_SHIFT = 20000  # 80 -> 20080 where ports under 1024 cannot be bound
MAX_CLUSTERS = 250
ASTRAY_HEADER = (
    "x-halab-astray"  # in the answer to a request that never got to the cluster, since halab's own way there was broken
)
MAX_NODES = 60


def halab_home() -> Path:
    """``$HALAB_HOME``, else ``$XDG_STATE_HOME/halab``, else ``~/.local/state/halab``. Raises MachineError for a user without a home.

    A relative ``$HALAB_HOME`` is one from here on for this process and all it starts, in whatever folder they work; a relative
    ``$XDG_STATE_HOME`` is ignored, as the XDG specification asks.
    """
    if home := os.environ.get("HALAB_HOME"):
        if not Path(home).is_absolute():
            os.environ["HALAB_HOME"] = home = str(Path(home).absolute())
        return Path(home)
    state = Path(os.environ.get("XDG_STATE_HOME", ""))
    if state.is_absolute():
        return state / "halab"
    try:
        return Path.home() / ".local" / "state" / "halab"
    except RuntimeError as error:
        raise MachineError(
            "HOME", "is not set, and this user has no home directory", "set HALAB_HOME to a directory that you own"
        ) from error


@dataclass(frozen=True, slots=True)
class Addresses:
    """The addresses of cluster number ``number``. Everything is an IPv4 address in 127.number.0.0/16.

    ==================  ======================================
    127.c.0.1:6443      the API server
    127.c.0.1:6400      held by the supervisor: the cluster's lock
    127.c.0.2           Ingress and Gateway (ports 80 and 443, shifted where needed)
    127.c.0.(10+n)      node n; its agent listens on 10250
    127.c.(1+n).0/24    the pods of node n
    127.c.128.0/17      Services; .128.1 is ``kubernetes``, .128.10 the cluster's DNS
    ==================  ======================================
    """

    number: int

    @property
    def prefix(self) -> str:
        return f"127.{self.number}"

    @property
    def api(self) -> str:
        return f"{self.prefix}.0.1"

    @property
    def ingress(self) -> str:
        return f"{self.prefix}.0.2"

    def node(self, index: int) -> str:
        return f"{self.prefix}.0.{10 + index}"

    def pod_cidr(self, index: int) -> str:
        return f"{self.prefix}.{1 + index}.0/24"

    @property
    def service_cidr(self) -> str:
        return f"{self.prefix}.128.0/17"

    @property
    def kubernetes_service(self) -> str:
        return f"{self.prefix}.128.1"

    @property
    def dns(self) -> str:
        return f"{self.prefix}.128.10"

    @property
    def api_in_pods(self) -> str:
        """Where a pod finds the API server: the endpoint of the Service ``kubernetes``."""
        return self.api

    def kubelet(self, index: int) -> str:
        """Where the agent of node ``index`` serves its own port (logs, exec)."""
        return self.node(index)

    @property
    def dns_server(self) -> tuple[str, int] | None:
        """Where the DNS server listens, if the data plane must lead to it; None: at ``dns`` itself."""
        return None


@dataclass(frozen=True, slots=True)
class BridgeAddresses(Addresses):
    """The same plan in 10.number.0.0/16, a network of the Docker engine, for pods that are containers.

    ==================  ======================================
    10.c.0.1            this machine, as pods see it: the API server (6443), the DNS server (20053)
    10.c.0.2            the gateway container: Ingress and Gateway
    10.c.0.(10+n)       node n, for NodePorts: the gateway too
    10.c.(1+n).0/24     the pods of node n
    10.c.128.0/17       Services: the gateway too
    127.c.0.1           the API server and the lock, as above
    127.c.0.(10+n)      the agent of node n
    ==================  ======================================
    """

    @property
    def prefix(self) -> str:
        return f"10.{self.number}"

    @property
    def api(self) -> str:
        return f"127.{self.number}.0.1"

    @property
    def subnet(self) -> str:
        return f"{self.prefix}.0.0/16"

    @property
    def bridge(self) -> str:
        return f"{self.prefix}.0.1"

    @property
    def api_in_pods(self) -> str:
        return self.bridge

    def kubelet(self, index: int) -> str:
        return f"127.{self.number}.0.{10 + index}"

    @property
    def dns_server(self) -> tuple[str, int] | None:
        return self.bridge, DNS_SERVER_PORT


API_PORT = 6443
DNS_SERVER_PORT = 20053  # on the bridge, where ordinary users may not bind 53
PROCESS, DOCKER = "process", "docker"  # what pods are: sandboxed processes, or containers of a Docker engine
LOCK_PORT = 6400
KUBELET_PORT = 10250


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    """What every component of an embedded cluster is told. Written once by the supervisor as ``cluster.json`` (0600).

    ``tokens`` maps a user name (``admin``, ``system:kube-controller-manager``, ``system:kube-scheduler``,
    ``system:node:NAME``, ``halab:dataplane``, ``system:apiserver``) to its bearer token. ``port_shift`` is 0 where ports under 1024
    can be bound, else ``LOW_PORT_SHIFT``: every component that binds or dials a low port of the cluster's own range adds it.
    """

    name: str
    number: int
    directory: Path  # $HALAB_HOME/clusters/NAME
    images: Path  # $HALAB_HOME/images, shared by all clusters
    nodes: tuple[str, ...]
    port_shift: int
    tokens: dict[str, str] = field(default_factory=dict, repr=False)
    without: tuple[str, ...] = ()  # components left out: controllers, scheduler, nodes, dataplane
    runtime: str = PROCESS
    engine: str = ""  # the Docker engine's Unix socket, with the runtime ``docker``

    @property
    def addresses(self) -> Addresses:
        return addresses_of(self.number, self.runtime)

    @property
    def published(self) -> str:
        """Where Ingresses and Gateways are said to be found, if that is not where the data plane listens."""
        return ""

    @property
    def server(self) -> str:
        return f"https://{self.addresses.api}:{API_PORT}"

    @property
    def ca_file(self) -> Path:
        return self.directory / "pki" / "ca.crt"

    @property
    def certificate(self) -> Path:
        """One serving certificate for all components: the API, node, ingress and service names and 127.c addresses they need."""
        return self.directory / "pki" / "server.crt"

    @property
    def key(self) -> Path:
        return self.directory / "pki" / "server.key"

    @property
    def kubelet_certificate(self) -> Path:
        """What the API server proves itself with to node agents of other owners, as kube-apiserver's ``--kubelet-client-certificate``."""
        return self.directory / "pki" / "kubelet-client.crt"

    @property
    def kubelet_key(self) -> Path:
        return self.directory / "pki" / "kubelet-client.key"

    @property
    def proxy_authority(self) -> Path:
        """The authority of ``proxy_certificate`` alone: whoever it signed may say in headers who a user is."""
        return self.directory / "pki" / "front-proxy-ca.crt"

    @property
    def proxy_certificate(self) -> Path:
        """What the API server proves itself with to aggregated API servers."""
        return self.directory / "pki" / "front-proxy-client.crt"

    @property
    def proxy_key(self) -> Path:
        return self.directory / "pki" / "front-proxy-client.key"

    @property
    def service_account_key(self) -> Path:
        """PEM, EC P-256: signs and verifies service account tokens."""
        return self.directory / "pki" / "sa.key"

    @property
    def kubeconfig(self) -> Path:
        return self.directory / "kubeconfig"

    @property
    def database(self) -> Path:
        return self.directory / "state.db"

    @property
    def logs(self) -> Path:
        """Logs of the components: ``apiserver.log``, ``controllers.log``, ``node-NAME.log``, ``envoy.log`` ..."""
        return self.directory / "logs"

    @property
    def policies(self) -> Path:
        """Tables of who may connect where (NetworkPolicy), a file for each limited pod's address; every container is shown them."""
        return self.directory / "policies"

    @property
    def no_firewall(self) -> Path:
        """Exists, with the reason in it, where pods are containers and this kernel cannot keep their NetworkPolicies."""
        return self.directory / "no-firewall"

    def node_directory(self, node: str) -> Path:
        return self.directory / "nodes" / node

    def port(self, port: int) -> int:
        """The port really bound for Kubernetes' ``port`` on this machine."""
        return port + self.port_shift if port < 1024 else port

    def public_port(self, port: int) -> int:
        """The port at which users find the data plane's ``port``: what redirects name."""
        return self.port(port)

    def dump(self) -> str:
        return json.dumps(asdict(self) | {"directory": str(self.directory), "images": str(self.images)}, indent=1)

    @classmethod
    def load(cls, text: str) -> ClusterConfig:
        raw: dict[str, Any] = json.loads(text)
        raw["directory"], raw["images"] = Path(raw["directory"]), Path(raw["images"])
        raw["nodes"], raw["without"] = tuple(raw["nodes"]), tuple(raw["without"])
        return cls(**raw)


def addresses_of(number: int, runtime: str) -> Addresses:
    return BridgeAddresses(number) if runtime == DOCKER else Addresses(number)


def cluster_directory(name: str, home: Path | None = None) -> Path:
    return (home or halab_home()) / "clusters" / name
