"""Everything the data plane knows, turned into everything that Envoy is told: one pure function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from halab.cluster.dataplane import gateway, ingress, services
from halab.cluster.dataplane.envoy import clusters, faults, listeners
from halab.cluster.dataplane.envoy.routes import table
from halab.cluster.dataplane.envoy.types import CLUSTER, typed
from halab.cluster.dataplane.ingress import CertificateOf
from halab.cluster.dataplane.model import Certificate, Frontend
from halab.cluster.dataplane.services import MutualOf, Node
from halab.cluster.dataplane.targets import ServiceKey, Targets
from halab.cluster.kube.types import Obj
from halab.settings import ClusterConfig


@dataclass(slots=True)
class World:
    """The objects that matter for traffic, as the informers have them."""

    services: Mapping[ServiceKey, Obj] = field(default_factory=dict)
    slices: Mapping[ServiceKey, Sequence[Obj]] = field(default_factory=dict)
    nodes: Sequence[Obj] = ()
    ingresses: Sequence[Obj] = ()
    ingress_classes: Mapping[str, Obj] = field(default_factory=dict)
    gateways: Sequence[Obj] = ()
    gateway_classes: Mapping[str, Obj] = field(default_factory=dict)
    routes: Sequence[Obj] = ()
    certificate: CertificateOf = lambda namespace, name: None
    mutual: MutualOf = lambda namespace, name: None
    namespace_labels: gateway.NamespaceLabels = lambda name: {}


@dataclass(slots=True)
class Plan:
    clusters: list[Obj]
    listeners: list[Obj]
    tables: dict[str, Obj]  # by frontend name
    ingresses: list[Obj]  # those that are served
    gateways: gateway.Outcome


def routes_file(directory: Path, frontend: str) -> Path:
    return directory / f"routes-{frontend}.json"


def build(
    config: ClusterConfig, world: World, directory: Path, default_certificate: tuple[str, str], access_log: Path | None
) -> Plan:
    """``directory`` is where the files will be, ``default_certificate`` the PEM chain and key for hosts that bring none."""
    nodes = sorted((node for each in world.nodes if (node := Node.of(each))), key=lambda node: node.name)
    own = () if "services" in config.without else world.services.values()  # in a pod of some cluster, Services are that cluster's
    listens, wanted = services.plan(config, own, world.slices, nodes, world.mutual)
    relays, relayed = services.dns(config)
    listens, wanted = [*listens, *relays], [*wanted, *relayed]
    targets = Targets(config, world.services, world.slices)
    served = [each for each in world.ingresses if ingress.is_ours(each, world.ingress_classes)]
    plain, secure = ingress.frontends(served, targets, world.certificate, default_certificate)
    outcome = gateway.plan(
        world.gateways, world.routes, targets, world.certificate, world.namespace_labels, world.gateway_classes
    )
    frontends = _merged([plain, *([secure] if secure else [])], list(outcome.frontends.values()))
    source = config.addresses.ingress
    found = {cluster.name: cluster for cluster in wanted} | targets.clusters
    return Plan(
        clusters=[_nowhere(), *clusters.clusters(found.values(), source)],
        listeners=listeners.listeners(
            listens,
            [
                listeners.frontend(each, (source, config.port(each.port)), routes_file(directory, each.name), access_log)
                for each in frontends
            ],
        ),
        tables={each.name: table(each) for each in frontends},
        ingresses=served,
        gateways=outcome,
    )


def _nowhere() -> Obj:
    return typed(CLUSTER, name=faults.NOWHERE, type="STATIC", load_assignment={"cluster_name": faults.NOWHERE, "endpoints": []})


def _merged(ingresses: list[Frontend], gateways: list[Frontend]) -> list[Frontend]:
    """One frontend a port. Where Ingress and Gateway want a port with different protocols, Ingress has it."""
    found = {each.port: each for each in ingresses}
    for each in gateways:
        there = found.setdefault(each.port, each)
        if there is not each and there.tls == each.tls:
            there.rules += each.rules
            there.certificates += each.certificates
    for each in found.values():
        default = [certificate for certificate in each.certificates if not certificate.hosts]
        each.certificates = [*ingress.distinct(each.certificates), *_only_one(default)]
    return sorted(found.values(), key=lambda each: each.port)


def _only_one(certificates: list[Certificate]) -> list[Certificate]:
    return certificates[:1]
