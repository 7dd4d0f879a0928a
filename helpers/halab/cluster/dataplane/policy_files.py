"""Keeps the tables of who may connect where, a file for each pod that is limited, and the socket to which forbidden connections go.

A pod that is a process reads its table in the preloaded library; one that is a container has it in its sandbox's firewall (``engine/firewall.c``).

The first NetworkPolicy of a cluster has pods and namespaces followed; without any this costs nothing.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import suppress
from pathlib import Path

from halab.cluster.client import Client, Informer
from halab.cluster.dataplane.controller import DataPlane
from halab.cluster.dataplane.policies import Door, Peer, tables
from halab.cluster.dataplane.services import endpoints_of
from halab.cluster.kube.kinds import ENDPOINT_SLICES, NAMESPACES, NETWORK_POLICIES, PODS, SERVICES, Kind
from halab.cluster.kube.types import Obj
from halab.settings import PROCESS, ClusterConfig

log = logging.getLogger(__name__)

NOWHERE_PORT = 6402  # of the Ingress's address
DNS_PORT = 53


class Nowhere:
    """A port that never answers: its queue of connections is full from the beginning, so the kernel drops every further one, as a firewall does."""

    def __init__(self, address: str) -> None:
        self.address = (address, NOWHERE_PORT)
        self._sockets: list[socket.socket] = []

    def open(self) -> None:
        server = socket.socket()
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(self.address)
        server.listen(0)
        self._sockets.append(server)
        for _ in range(2):
            filler = socket.socket()
            filler.setblocking(False)
            with suppress(BlockingIOError):
                filler.connect(self.address)
            self._sockets.append(filler)
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        datagrams.bind(self.address)
        self._sockets.append(datagrams)

    def close(self) -> None:
        for each in self._sockets:
            each.close()
        self._sockets.clear()


class Policies:
    """``run`` until cancelled. Tables are written in the same turn in which something changed that they depend on."""

    def __init__(self, client: Client, config: ClusterConfig, plane: DataPlane) -> None:
        self.config, self.plane = config, plane
        self.nowhere = Nowhere(config.addresses.ingress) if config.runtime == PROCESS else None  # a kernel's firewall just drops
        self.directory = config.policies
        self._policies = Informer(client, NETWORK_POLICIES)
        self._pods = Informer(client, PODS)
        self._namespaces = Informer(client, NAMESPACES)
        self._followed: dict[Kind, Informer] = {NETWORK_POLICIES: self._policies}
        self._changed = asyncio.Event()
        self._written: dict[str, str] = {}

    async def run(self) -> None:
        prepare(self.directory)
        self._written = {path.name: path.read_text() for path in self.directory.iterdir()}
        if self.nowhere is not None:
            self.nowhere.open()
        self._policies.add_handler(lambda old, new: self._changed.set())
        try:
            await self._policies.start().synced()
            self._changed.set()
            while True:
                await self._changed.wait()
                self._changed.clear()
                if self._policies.cache and PODS not in self._followed:
                    await self._follow_all()
                try:
                    self._write(self._tables())
                except Exception:  # what is written goes on holding
                    log.exception("no new tables of NetworkPolicies")
        finally:
            if self.nowhere is not None:
                self.nowhere.close()
            await asyncio.gather(*(informer.stop() for informer in self._followed.values()), return_exceptions=True)

    async def _follow_all(self) -> None:
        self._followed |= {PODS: self._pods, NAMESPACES: self._namespaces}
        self._pods.add_handler(self._pod_changed)
        for informer in (self._namespaces, self.plane.informer(SERVICES), self.plane.informer(ENDPOINT_SLICES)):
            informer.add_handler(lambda old, new: self._changed.set())
        await asyncio.gather(self._pods.start().synced(), self._namespaces.start().synced())

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        if (Peer.of(old) if old else None) != (Peer.of(new) if new else None):
            self._changed.set()

    def _tables(self) -> dict[str, str]:
        policies = self._policies.objects()
        if not policies:
            return {}
        peers = [peer for pod in self._pods.objects() if (peer := Peer.of(pod)) is not None]
        dns = self.config.addresses.dns
        named = {("dns", "UDP"): DNS_PORT, ("dns-tcp", "TCP"): DNS_PORT}
        peers.append(Peer(dns, "kube-system", {"k8s-app": "kube-dns"}, named))  # policies know it as the pods that it usually is
        namespaces = {each["metadata"]["name"]: each["metadata"].get("labels") or {} for each in self._namespaces.objects()}
        return tables(policies, peers, namespaces, self._doors(), self.nowhere.address if self.nowhere is not None else None)

    def _doors(self) -> list[Door]:
        shift, own = self.config.port_shift, f"{self.config.addresses.prefix}."
        found: list[Door] = []
        for service in self.plane.informer(SERVICES).objects():
            meta, spec = service["metadata"], service["spec"]
            if (spec.get("clusterIP") or "None") == "None":
                continue
            slices = self.plane.slices(meta["namespace"], meta["name"])
            for port in spec.get("ports") or ():
                dialled = endpoints_of(self.config, slices, port)
                endpoints = tuple(
                    (host, number - shift if shift and shift <= number < shift + 1024 and host.startswith(own) else number)
                    for host, number in dialled
                )
                found.append(Door(spec["clusterIP"], port.get("protocol") or "TCP", port["port"], endpoints))
        return found

    def _write(self, wanted: dict[str, str]) -> None:
        for name in self._written.keys() - wanted.keys():
            (self.directory / name).unlink(missing_ok=True)
        for name, text in wanted.items():
            if self._written.get(name) != text:
                scratch = self.directory / f".{name}"
                scratch.write_text(text)
                scratch.chmod(0o644)
                scratch.rename(self.directory / name)
        self._written = dict(wanted)


def prepare(directory: Path) -> None:
    """The directory that every container is shown. It holds no secrets, and programs of any user must be able to read it."""
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o755)
