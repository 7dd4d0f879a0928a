"""A cluster's network: a bridge of the engine with every address that the cluster has, and the gateway container that answers at Services'.

``10.c.0.0/16`` belongs to cluster number c. The bridge itself, 10.c.0.1, is this machine as pods see it; there the API server listens too.
Pods have addresses 10.c.(1+n).m. The gateway container has 10.c.0.2 and, by routes in its own namespace alone, all addresses of nodes and
Services: they lie in the pods' own subnet, so a pod asks by ARP who has 10.c.128.10, and the gateway says "I". No pod needs a
route or a right, nothing of this machine's own network is changed, and the machine itself reaches Services and pods by the bridge.
"""

from __future__ import annotations

import ipaddress
import socket

from halab.engine import owned
from halab.engine.client import INSTEAD, Engine, reason
from halab.engine.image import PROGRAM, ensure
from halab.errors import MachineError
from halab.settings import MAX_NODES, BridgeAddresses, ClusterConfig


def network_name(config: ClusterConfig) -> str:
    """Of the cluster's name and number: the number is unique on the machine while the cluster runs."""
    return f"halab-{config.name}-{config.number}"


def gateway_name(config: ClusterConfig) -> str:
    return f"{network_name(config)}-gateway"


def ranges(addresses: BridgeAddresses) -> list[str]:
    """What the gateway answers for: the nodes' addresses (NodePorts), and Services'."""
    first, last = (ipaddress.IPv4Address(addresses.node(index)) for index in (0, MAX_NODES - 1))
    return [*(str(each) for each in ipaddress.summarize_address_range(first, last)), addresses.service_cidr]


def create(client: Engine, config: ClusterConfig) -> None:
    """The network and its gateway, made anew: whatever of this cluster is there is from a run that was cut off. Raises MachineError."""
    from docker.errors import APIError
    from docker.types import IPAMConfig, IPAMPool

    addresses = config.addresses
    assert isinstance(addresses, BridgeAddresses)
    owned.sweep_all(client, str(config.directory))
    image = ensure(client)
    pool = IPAMPool(subnet=addresses.subnet, gateway=addresses.bridge)
    try:
        client.create_network(
            network_name(config),
            driver="bridge",
            ipam=IPAMConfig(pool_configs=[pool]),
            labels=owned.labels(config, "network"),
            check_duplicate=True,
        )
    except APIError as error:
        raise MachineError(
            f"network {addresses.subnet}", f"is refused by the engine: {reason(error)}", "docker network ls shows what is there"
        ) from error
    try:
        made = client.create_container(
            image,
            ["hold", *ranges(addresses)],
            name=gateway_name(config),
            hostname="gateway",
            labels=owned.labels(config, "gateway"),
            networking_config=client.create_networking_config(
                {network_name(config): client.create_endpoint_config(ipv4_address=addresses.ingress)}
            ),
            host_config=client.create_host_config(
                network_mode=network_name(config),
                cap_drop=["ALL"],
                cap_add=["NET_ADMIN"],
                read_only=True,
                ipc_mode="shareable",
                sysctls={"net.ipv4.ip_unprivileged_port_start": "0"},
            ),
        )
        client.start(made["Id"])
    except APIError as error:
        why = reason(error)
        if "rlimit" in why:
            why = f"this machine does not let the engine raise limits (CAP_SYS_RESOURCE is missing), as Podman does for every container: {why}"
        raise MachineError("the cluster's gateway", f"does not start: {why}", INSTEAD.removeprefix("or ")) from error
    _require_local(addresses)  # not before: Podman makes a network's bridge with its first container
    config.policies.mkdir(exist_ok=True)  # every pod's sandbox is shown it
    config.policies.chmod(0o755)
    config.no_firewall.unlink(missing_ok=True)
    if obstacle := firewall_obstacle(client, made["Id"]):
        config.no_firewall.write_text(obstacle)


def firewall_obstacle(client: Engine, gateway: str) -> str:
    """Why pods' connections cannot be limited on this machine; empty where they can. Tried in the gateway's namespace, where nothing is left of it."""
    from docker.errors import APIError

    try:
        tried = client.exec_create(gateway, [PROGRAM, "firewall"])["Id"]
        said = client.exec_start(tried).decode(errors="replace").strip()
        return (said or "it failed") if client.exec_inspect(tried)["ExitCode"] else ""
    except APIError as error:
        return reason(error)


def _require_local(addresses: BridgeAddresses) -> None:
    """Rootless engines, Docker Desktop and remote engines have their bridges elsewhere: then nothing here reaches a pod."""
    with socket.socket() as probe:
        try:
            probe.bind((addresses.bridge, 0))
        except OSError as error:
            fact = (
                "runs in a network of its own (rootless, or in a virtual machine), so pods' addresses cannot be reached from here"
            )
            raise MachineError("Docker engine", fact, f"use an engine run by root on this machine, {INSTEAD}") from error
