"""What all pods of a node share: its identity, the API client, caches, the runtime, the images."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from halab.cluster.client import Client, EventRecorder, Informer
from halab.cluster.kube.kinds import CONFIG_MAPS, SECRETS, SERVICE_ACCOUNTS
from halab.cluster.kube.status import ApiError
from halab.cluster.kube.types import Obj
from halab.settings import PROCESS, ClusterConfig

from .ailments import Ailments
from .backoff import Backoff
from .checks import Target
from .projection import VolumeError
from .pulling import Puller
from .runtime import Runtime

LOCAL_OFFSET = 64  # a pod's private localhost is 127.c.(x+64).y for its address 127.c.x.y: no cluster uses that third part


class AddressPool:
    """Pod addresses of one node, handed out in turn so that a freed one is not reused at once."""

    def __init__(self, cidr: str) -> None:
        network = ipaddress.ip_network(cidr)
        self._all = [str(address) for address in list(network.hosts())[1:]]
        self._taken: set[str] = set()
        self._next = 0

    def take(self) -> str:
        for _ in self._all:
            address = self._all[self._next]
            self._next = (self._next + 1) % len(self._all)
            if address not in self._taken:
                self._taken.add(address)
                return address
        raise VolumeError("no pod address is free on this node")

    def give_back(self, address: str) -> None:
        self._taken.discard(address)


def private_localhost(address: str) -> str:
    """The address that stands for 127.0.0.1 inside the pod with this address."""
    parts = [int(part) for part in address.split(".")]
    return f"{parts[0]}.{parts[1]}.{(parts[2] + LOCAL_OFFSET) % 128}.{parts[3]}"


@dataclass(slots=True)
class Node:
    """One node of the cluster, as its agent sees it."""

    config: ClusterConfig
    name: str
    index: int
    client: Client
    runtime: Runtime
    puller: Puller
    events: EventRecorder
    services: Informer
    addresses: AddressPool
    allocatable: dict[str, str] = field(default_factory=dict)
    restarts: Backoff = field(default_factory=Backoff)
    ailments: Ailments = field(default_factory=Ailments)
    pods: Callable[[], list[Obj]] = list  # those that hold a share of the node
    watched: dict[tuple[str, str, str], Watched] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return self.config.addresses.node(self.index)

    @property
    def own_address(self) -> str:
        """Where this process may listen as the node."""
        return self.config.addresses.kubelet(self.index)

    def inside(self, address: str) -> list[str]:
        """The addresses at which this process reaches what a pod serves, its private localhost first where there is one."""
        return [private_localhost(address), address] if self.config.runtime == PROCESS else [address]

    @property
    def directory(self) -> Path:
        return self.config.node_directory(self.name)

    def target(self, address: str) -> Target:
        return Target(address, self.config.port_shift)

    # Configuration for environments and volumes (environment.Lookup, projection.Source)

    async def _get(self, kind: object, namespace: str, name: str) -> Obj | None:
        try:
            return await self.client.get(SECRETS if kind is SECRETS else CONFIG_MAPS, name, namespace)
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    async def config_map(self, namespace: str, name: str) -> Obj | None:
        return await self._get(CONFIG_MAPS, namespace, name)

    async def secret(self, namespace: str, name: str) -> Obj | None:
        return await self._get(SECRETS, namespace, name)

    async def token(self, pod: Obj, audience: str, seconds: int) -> tuple[str, float]:
        """A token bound to the pod, and when it expires. Raises VolumeError."""
        from halab.cluster.client import seconds_of

        meta = pod["metadata"]
        account = pod["spec"].get("serviceAccountName") or "default"
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {
                "audiences": [audience] if audience else None,
                "expirationSeconds": max(600, seconds),
                "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]},
            },
        }
        if not audience:
            del body["spec"]["audiences"]  # type: ignore[attr-defined]
        try:
            answer = await self.client.create(SERVICE_ACCOUNTS, body, meta["namespace"], name=account, subresource="token")
        except ApiError as error:
            raise VolumeError(f"failed to fetch token: {error}") from error
        return answer["status"]["token"], seconds_of(answer["status"].get("expirationTimestamp"))

    # Objects whose changes show in volumes

    def watch_object(self, kind: str, namespace: str, name: str, changed: Callable[[], None]) -> None:
        """Call ``changed`` whenever that ConfigMap or Secret changes; one watch serves all pods that name it."""
        key = (kind, namespace, name)
        watched = self.watched.get(key)
        if watched is None:
            found = CONFIG_MAPS if kind == "configmaps" else SECRETS
            informer = Informer(self.client, found, namespace, field_selector=f"metadata.name={name}")
            watched = self.watched[key] = Watched(informer)
            informer.add_handler(lambda _old, _new: watched.tell())
            informer.start()
        watched.listeners.append(changed)

    async def unwatch_object(self, kind: str, namespace: str, name: str, changed: Callable[[], None]) -> None:
        watched = self.watched.get((kind, namespace, name))
        if watched is None:
            return
        if changed in watched.listeners:
            watched.listeners.remove(changed)
        if not watched.listeners:
            del self.watched[(kind, namespace, name)]
            await watched.informer.stop()


@dataclass(slots=True)
class Watched:
    informer: Informer
    listeners: list[Callable[[], None]] = field(default_factory=list)

    def tell(self) -> None:
        for listener in list(self.listeners):
            listener()
