"""What the objects of the API mean for traffic, before it is written in Envoy's words.

A ``Backend`` is one port of one Service and where it leads; ``Listen`` is an address that leads to a backend; a ``Frontend`` is a port
at which HTTP requests are told apart by host and path (``Rule``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from halab.cluster.kube.types import Obj

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is to go wrong with requests for a Service (annotation ``halab.dev/fault``).

    ``delay`` in seconds; percentages are of requests. ``drop`` is the percentage of requests whose connection is cut without an answer.
    """

    delay: float = 0.0
    delay_percent: float = 100.0
    abort: int = 0
    abort_percent: float = 100.0
    drop: float = 0.0


@dataclass(frozen=True, slots=True)
class Traffic:
    """How carefully a Service's endpoints are used (annotation ``halab.dev/traffic``); zero leaves a thing as it is.

    ``eject_after`` failures in a row (5xx answers, refused connections) an endpoint is left out for ``eject_seconds``, at most
    ``eject_percent`` of them at a time. The rest bounds what is open at once: connections, waiting requests, requests.
    """

    eject_after: int = 0
    eject_seconds: float = 30.0
    eject_percent: int = 50
    max_connections: int = 0
    max_pending: int = 0
    max_requests: int = 0


@dataclass(frozen=True, slots=True)
class Mutual:
    """What a Service under mutual TLS shows its clients, and who vouches for theirs (annotation ``halab.dev/mtls``): PEM texts."""

    chain: str
    key: str
    authority: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where an endpoint is, and whose traffic it should get: of which nodes, of which zones (the hints of its slice)."""

    node: str = ""
    for_nodes: tuple[str, ...] = ()
    for_zones: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Backend:
    """The endpoints of one port of a Service, and the place of each, for traffic that must stay or should be near."""

    namespace: str
    service: str
    port: int
    protocol: str = "TCP"
    endpoints: tuple[Address, ...] = ()
    places: tuple[Place, ...] = ()  # of each endpoint
    sticky: bool = False  # sessionAffinity: ClientIP
    http2: bool = False  # appProtocol: kubernetes.io/h2c
    fault: Fault | None = None
    traffic: Traffic = Traffic()

    @property
    def cluster(self) -> str:
        """The name of its Envoy cluster."""
        return f"{self.namespace}/{self.service}:{self.port}" + ("" if self.protocol == "TCP" else f"/{self.protocol}")

    def on(self, node: str) -> Backend:
        """Only the endpoints on one node."""
        return self._where(lambda place: place.node == node)

    def near(self, node: str, zone: str) -> Backend | None:
        """Only the endpoints that are meant for clients on a node, or else in its zone. None: there is no preference that can be kept
        (kube-proxy: topologyModeFromHints)."""
        hinted = [place.for_nodes for place in self.places]
        if all(hinted) and any(node in names for names in hinted):
            return self._where(lambda place: node in place.for_nodes)
        hinted = [place.for_zones for place in self.places]
        if zone and all(hinted) and any(zone in names for names in hinted):
            return self._where(lambda place: zone in place.for_zones)
        return None

    def _where(self, fits: Callable[[Place], bool]) -> Backend:
        kept = [(address, place) for address, place in zip(self.endpoints, self.places, strict=True) if fits(place)]
        return replace(self, endpoints=tuple(address for address, _ in kept), places=tuple(place for _, place in kept))


@dataclass(frozen=True, slots=True)
class Listen:
    """Addresses whose connections go to ``cluster``; those from the source ranges in ``local`` go to clusters of their own, and where that
    is a rule (``strict``) and not a preference, no others are taken."""

    name: str
    addresses: tuple[Address, ...]
    cluster: str
    protocol: str = "TCP"
    sticky: bool = False
    fault: Fault | None = None
    local: tuple[tuple[str, str], ...] = ()  # (source range, cluster)
    strict: bool = True
    mutual: Mutual | None = None


@dataclass(frozen=True, slots=True)
class Cluster:
    """An Envoy cluster to be: a backend, possibly in a variant of its own (on one node, chosen by cookie)."""

    name: str
    backend: Backend
    by_hash: bool = False


@dataclass(slots=True)
class Rule:
    """One route: requests for ``host`` that fit ``match`` get ``action``; ``order`` sorts rules of one host, smallest first.

    ``match`` and ``action`` are fragments of an Envoy route (``RouteMatch``; the rest of ``Route``).
    """

    host: str  # "*", "*.example.com" or a name
    order: tuple[Any, ...]
    match: Obj
    action: Obj
    fault: Fault | None = None


@dataclass(slots=True)
class Certificate:
    """PEM texts of a certificate chain and its key, and the names for which it is presented (none: for all others)."""

    hosts: tuple[str, ...]
    chain: str
    key: str


@dataclass(slots=True)
class Frontend:
    """A port of the ingress address, ``port`` as Kubernetes knows it (before any shift)."""

    port: int
    tls: bool
    rules: list[Rule] = field(default_factory=list)
    certificates: list[Certificate] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{'https' if self.tls else 'http'}-{self.port}"
