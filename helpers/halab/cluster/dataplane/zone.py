"""The cluster's names (https://github.com/kubernetes/dns/blob/master/docs/specification.md): what each one means, found when it is asked.

Pure: names in, records out, over look-ups that the informers answer. Addresses are IPv4, as the cluster is.
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from halab.cluster.kube.types import Obj

DOMAIN = "cluster.local"
TTL = 5  # seconds, as CoreDNS' kubernetes plugin has it: a pod that is gone should not be remembered
VERSION = "1.1.0"
MOST_CNAMES = 8


class Lookup(Protocol):
    def service(self, namespace: str, name: str) -> Obj | None: ...
    def slices(self, namespace: str, name: str) -> Sequence[Obj]: ...
    def namespace_exists(self, name: str) -> bool: ...
    def services_at(self, address: str) -> Sequence[Obj]: ...
    def slices_at(self, address: str) -> Sequence[Obj]: ...


@dataclass(frozen=True, slots=True)
class Record:
    """``data`` by type: A the address, CNAME and PTR the name, SRV (priority, weight, port, target), TXT the text."""

    name: str
    type: str
    data: str | tuple[int, int, int, str]


@dataclass(slots=True)
class Answer:
    """``code`` is NOERROR, NXDOMAIN or SERVFAIL (a name that is none of the cluster's: nothing is asked elsewhere)."""

    code: str
    records: list[Record] = field(default_factory=list)
    extra: list[Record] = field(default_factory=list)

    @property
    def negative(self) -> bool:
        """Whether a SOA record should say for how long there is nothing."""
        return self.code != "SERVFAIL" and not self.records


NOTHING, ABSENT, ELSEWHERE = "NOERROR", "NXDOMAIN", "SERVFAIL"


@dataclass(frozen=True, slots=True)
class Endpoint:
    host: str  # the label under its Service's name
    address: str
    ports: tuple[tuple[str, str, int], ...]  # name, protocol, port


class Zone:
    """``network`` is the cluster's own range: addresses in it have names or have none, others are none of ours."""

    def __init__(self, lookup: Lookup, network: str) -> None:
        self.lookup = lookup
        self.network = ipaddress.ip_network(network)

    def answer(self, name: str, kind: str) -> Answer:
        """``name`` without the final dot, in any case; ``kind`` is a record type such as A or SRV, or ANY."""
        name = name.lower().rstrip(".")
        if name.endswith(".in-addr.arpa"):
            return self._reverse(name, kind)
        if name == DOMAIN or name.endswith(f".{DOMAIN}"):
            return self._resolve(name, kind, 0)
        return Answer(ABSENT if "." not in name else ELSEWHERE)

    def _resolve(self, name: str, kind: str, depth: int) -> Answer:
        labels = name[: -len(DOMAIN)].rstrip(".").split(".") if name != DOMAIN else []
        if not labels:
            return Answer(NOTHING)
        if labels == ["dns-version"]:
            return Answer(NOTHING, [Record(name, "TXT", VERSION)] if kind in ("TXT", "ANY") else [])
        if labels == ["ns", "dns"] or labels[-1] not in ("svc", "pod"):
            return Answer(ABSENT)
        if labels[-1] == "pod":
            return self._pod(name, labels[:-1], kind)
        return self._service(name, labels[:-1], kind, depth)

    def _pod(self, name: str, labels: list[str], kind: str) -> Answer:
        if not labels or (len(labels) == 1 and self.lookup.namespace_exists(labels[0])):
            return Answer(NOTHING)
        if len(labels) != 2 or not self.lookup.namespace_exists(labels[1]):
            return Answer(ABSENT)
        try:
            address = str(ipaddress.IPv4Address(labels[0].replace("-", ".")))
        except ValueError:
            return Answer(ABSENT)
        return Answer(NOTHING, [Record(name, "A", address)] if kind in ("A", "ANY") else [])

    def _service(self, name: str, labels: list[str], kind: str, depth: int) -> Answer:
        if len(labels) < 2:
            return Answer(NOTHING if not labels or self.lookup.namespace_exists(labels[-1]) else ABSENT)
        service = self.lookup.service(labels[-1], labels[-2])
        rest = labels[:-2]
        if service is None:
            return Answer(ABSENT)
        spec = service["spec"]
        if spec.get("type") == "ExternalName":
            return self._external(name, rest, spec.get("externalName") or "", kind, depth)
        own = f"{labels[-2]}.{labels[-1]}.svc.{DOMAIN}"
        headless = spec.get("clusterIP") == "None"
        if not spec.get("clusterIP"):
            return Answer(ABSENT)
        if len(rest) == 2 and rest[0].startswith("_") and rest[1].startswith("_"):
            return self._ports(name, own, service, rest[0][1:], rest[1][1:].upper(), kind)
        if not rest:
            return self._whole(name, own, service, kind, headless)
        if len(rest) == 1 and headless:
            found = [endpoint for endpoint in self._endpoints(service) if endpoint.host == rest[0]]
            if not found:
                return Answer(ABSENT)
            return Answer(NOTHING, _addresses(name, found) if kind in ("A", "ANY") else [])
        return Answer(ABSENT)

    def _external(self, name: str, rest: list[str], target: str, kind: str, depth: int) -> Answer:
        target = target.rstrip(".").lower()
        if rest or not target:
            return Answer(ABSENT)
        alias = Record(name, "CNAME", target)
        if kind != "CNAME" and depth < MOST_CNAMES and target.endswith(f".{DOMAIN}"):
            further = self._resolve(target, kind, depth + 1)
            return Answer(NOTHING, [alias, *further.records], further.extra)
        return Answer(NOTHING, [alias])

    def _whole(self, name: str, own: str, service: Obj, kind: str, headless: bool) -> Answer:
        endpoints = self._endpoints(service) if headless else []
        if headless and not endpoints:
            # A headless Service without endpoints has no name, as in CoreDNS: a client sees at once that nobody is there.
            return Answer(ABSENT)
        if kind == "SRV":
            return self._ports(name, own, service, None, None, kind)
        if kind not in ("A", "ANY"):
            return Answer(NOTHING)
        if headless:
            return Answer(NOTHING, _addresses(name, endpoints))
        return Answer(
            NOTHING,
            [Record(name, "A", address) for address in service["spec"].get("clusterIPs") or [service["spec"]["clusterIP"]]],
        )

    def _ports(self, name: str, own: str, service: Obj, port: str | None, protocol: str | None, kind: str) -> Answer:
        """SRV records: of one named port, or (both None) of all."""
        found: list[tuple[int, str, str]] = []  # port, target, address
        if service["spec"].get("clusterIP") == "None":
            for endpoint in self._endpoints(service):
                for offered, transport, number in endpoint.ports:
                    if port is None or (offered, transport) == (port, protocol):
                        found.append((number, f"{endpoint.host}.{own}", endpoint.address))
        else:
            for offer in service["spec"].get("ports") or ():
                if port is None or ((offer.get("name") or ""), (offer.get("protocol") or "TCP")) == (port, protocol):
                    found.append((offer["port"], own, service["spec"]["clusterIP"]))
        if not found:
            return Answer(ABSENT)
        if kind not in ("SRV", "ANY"):
            return Answer(NOTHING)
        weight = max(100 // len(found), 1)
        extra = dict.fromkeys(Record(target, "A", address) for _, target, address in found)
        return Answer(NOTHING, [Record(name, "SRV", (0, weight, number, target)) for number, target, _ in found], list(extra))

    def _endpoints(self, service: Obj) -> list[Endpoint]:
        """The ready endpoints of a headless Service in random order, so that clients that take the first spread."""
        meta = service["metadata"]
        found: dict[str, Endpoint] = {}
        for piece in self.lookup.slices(meta["namespace"], meta["name"]):
            if piece.get("addressType") != "IPv4":
                continue
            ports = tuple(
                ((port.get("name") or ""), (port.get("protocol") or "TCP"), port["port"])
                for port in piece.get("ports") or ()
                if port.get("port")
            )
            for endpoint in piece.get("endpoints") or ():
                if (endpoint.get("conditions") or {}).get("ready") is False:
                    continue
                for address in endpoint.get("addresses") or ():
                    host = (endpoint.get("hostname") or address.replace(".", "-")).lower()
                    found[address] = Endpoint(host, address, (*(found[address].ports if address in found else ()), *ports))
        endpoints = list(found.values())
        random.shuffle(endpoints)
        return endpoints

    def _reverse(self, name: str, kind: str) -> Answer:
        labels = name.removesuffix(".in-addr.arpa").split(".")
        try:
            address = ipaddress.IPv4Address(".".join(reversed(labels)))
        except ValueError:
            return Answer(ELSEWHERE)
        if address not in self.network:
            return Answer(ELSEWHERE)
        text = str(address)
        names = [
            f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc.{DOMAIN}"
            for service in self.lookup.services_at(text)
        ]
        for piece in self.lookup.slices_at(text):
            meta = piece["metadata"]
            owner = (meta.get("labels") or {}).get("kubernetes.io/service-name")
            service = self.lookup.service(meta["namespace"], owner or "")
            if service is None or service["spec"].get("clusterIP") != "None":
                continue
            own = f"{owner}.{meta['namespace']}.svc.{DOMAIN}"
            names += [f"{endpoint.host}.{own}" for endpoint in self._endpoints(service) if endpoint.address == text]
        if not names:
            return Answer(ABSENT)
        return Answer(NOTHING, [Record(name, "PTR", each) for each in dict.fromkeys(names)] if kind in ("PTR", "ANY") else [])


def _addresses(name: str, endpoints: Sequence[Endpoint]) -> list[Record]:
    return [Record(name, "A", endpoint.address) for endpoint in endpoints]
