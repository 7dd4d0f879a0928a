"""Whose containers, networks and volumes are whose: labels, and the one way in which anything is ever removed.

Everything that a cluster makes carries its directory, which names a cluster on the whole machine (names and numbers may come again in
another ``$HALAB_HOME``). Nothing is stopped, removed or entered that was not found by that label, and the label is looked at again in what
the engine returns before anything is touched.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from halab.engine.client import Engine
from halab.settings import ClusterConfig

CLUSTER, NAME, NODE, ROLE = "io.halab.directory", "io.halab.cluster", "io.halab.node", "io.halab.role"
AT_ONCE = 8


def labels(config: ClusterConfig, role: str, node: str = "") -> dict[str, str]:
    """``role`` is network, gateway, envoy, sandbox, container or tool."""
    return {CLUSTER: str(config.directory), NAME: config.name, ROLE: role} | ({NODE: node} if node else {})


def wanted(directory: str, node: str = "") -> dict[str, list[str]]:
    """The engine's filter for what a cluster (or one node of it) owns."""
    return {"label": [f"{CLUSTER}={directory}", *([f"{NODE}={node}"] if node else [])]}


def is_ours(item: dict[str, Any], directory: str, node: str = "") -> bool:
    found = item.get("Labels") or {}
    return found.get(CLUSTER) == directory and (not node or found.get(NODE) == node)


def containers(client: Engine, directory: str, node: str = "") -> list[dict[str, Any]]:
    """Running or not, as the engine lists them."""
    found = client.containers(all=True, filters=wanted(directory, node))
    return [item for item in found if is_ours(item, directory, node)]


def remove_containers(client: Engine, identities: Iterable[str]) -> None:
    """End and remove them, several at a time. What is gone already is what was wanted."""
    from docker.errors import APIError

    def remove(identity: str) -> None:
        with suppress(APIError):
            client.remove_container(identity, force=True, v=True)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(remove, identities))


def sweep(client: Engine, directory: str, node: str = "") -> int:
    """Remove every container of the cluster, or of one node of it; how many there were. Sandboxes go last: the others live in them."""
    found = containers(client, directory, node)
    for last in (False, True):
        remove_containers(client, [item["Id"] for item in found if (item["Labels"].get(ROLE) in ("sandbox", "gateway")) is last])
    return len(found)


def sweep_all(client: Engine, directory: str) -> int:
    """Containers, then networks and volumes: afterwards the engine knows nothing of the cluster. How many things there were."""
    from docker.errors import APIError

    count = sweep(client, directory)
    for network in client.networks(filters=wanted(directory)):
        if is_ours(network, directory):
            for identity in client.inspect_network(network["Id"]).get("Containers") or {}:
                with suppress(APIError):  # somebody's own container that looked in: it is let go, and lives on
                    client.disconnect_container_from_network(identity, network["Id"], force=True)
            with suppress(APIError):
                client.remove_network(network["Id"])
                count += 1
    for volume in client.volumes(filters=wanted(directory)).get("Volumes") or ():
        if is_ours(volume, directory):
            with suppress(APIError):
                client.remove_volume(volume["Name"])
                count += 1
    return count
