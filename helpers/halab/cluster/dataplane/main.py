"""The data plane as a component: Envoy, its configuration, the cluster's DNS, and the objects by which they are found."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from halab.cluster.client import Client
from halab.cluster.dataplane.controller import DataPlane, classes
from halab.cluster.dataplane.dns import Server
from halab.cluster.dataplane.model import Fault
from halab.cluster.dataplane.policy_files import Policies
from halab.cluster.dataplane.services import fault_of
from halab.cluster.dataplane.zone import Zone
from halab.cluster.kube.kinds import SERVICES, Kind
from halab.cluster.kube.status import ApiError
from halab.cluster.kube.types import Obj
from halab.settings import ClusterConfig

log = logging.getLogger(__name__)

USER = "halab:dataplane"
DNS_PORT = 53
NAMESPACE, NAME = "kube-system", "kube-dns"


async def run(config: ClusterConfig, *, ready: Callable[[], None]) -> None:
    """Until cancelled. ``ready`` is called when Envoy serves and DNS answers."""
    client = Client.from_config(config, USER)
    config.logs.mkdir(parents=True, exist_ok=True)
    plane = DataPlane(client, config)
    zone = Zone(plane, f"{config.addresses.prefix}.0.0/16")
    place = config.addresses.dns_server or (config.addresses.dns, config.port(DNS_PORT))
    server = Server(zone, *place, lambda: dns_fault(plane))

    async def started() -> None:
        await server.start()
        ready()

    introduction = asyncio.create_task(_introduce(client, config))
    policies = asyncio.create_task(_keep_policies(client, config, plane))
    try:
        await plane.run(started)
    finally:
        introduction.cancel()
        policies.cancel()
        await asyncio.gather(policies, return_exceptions=True)
        server.close()
        client.close()


def dns_fault(plane: DataPlane) -> Fault | None:
    """What the annotation of the DNS Service asks for (the same one that any Service may have)."""
    service = plane.service(NAMESPACE, NAME)
    return fault_of(service) if service is not None else None


async def _keep_policies(client: Client, config: ClusterConfig, plane: DataPlane) -> None:
    if config.no_firewall.exists():
        return
    try:
        await Policies(client, config, plane).run()
    except OSError as error:
        log.error("NetworkPolicies are not enforced: %s", error)


async def _introduce(client: Client, config: ClusterConfig) -> None:
    """Create the IngressClasses, the GatewayClass and the DNS Service, where they do not exist."""
    for kind, obj in [*classes(), (SERVICES, _dns_service(config))]:
        await _ensure(client, kind, obj)


async def _ensure(client: Client, kind: Kind, obj: Obj) -> None:
    try:
        await client.create(kind, obj)
    except ApiError as error:
        if error.code not in (404, 409):
            log.warning("%s %s not created: %s", kind.kind, obj["metadata"]["name"], error)
    except (OSError, TimeoutError) as error:
        log.warning("%s %s not created: %s", kind.kind, obj["metadata"]["name"], error)


def _dns_service(config: ClusterConfig) -> Obj:
    ports = [
        {"name": "dns", "port": DNS_PORT, "protocol": "UDP"},
        {"name": "dns-tcp", "port": DNS_PORT, "protocol": "TCP"},
    ]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": {"k8s-app": "kube-dns"}},
        "spec": {"clusterIP": config.addresses.dns, "ports": ports},
    }


def main() -> None:
    """Stand-alone: ``--config cluster.json``."""
    import argparse
    from pathlib import Path

    parser = argparse.ArgumentParser(prog="python -m halab.cluster.dataplane", description=run.__doc__)
    parser.add_argument("--config", type=Path, required=True, help="cluster.json of an embedded cluster")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname).1s %(name)s %(message)s")
    try:
        asyncio.run(run(ClusterConfig.load(arguments.config.read_text()), ready=lambda: log.info("ready")))
    except KeyboardInterrupt:
        log.info("stopped")
