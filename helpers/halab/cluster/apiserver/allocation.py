"""ClusterIPs and NodePorts: given at creation, inside the transaction, so no two Services get the same.

What is taken is read off the stored Services themselves; there is no second book to keep in step.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from ipaddress import IPv4Network, ip_address
from typing import Any

from halab.cluster.kube import kinds, status
from halab.cluster.kube.status import ApiError, FieldError
from halab.cluster.kube.validation import services
from halab.cluster.store.store import Transaction
from halab.settings import Addresses

Obj = dict[str, Any]
NODE_PORTS = range(30000, 32768)
STATIC_PORTS = 86  # the lower ports and addresses are left to those who ask for a particular one
STATIC_ADDRESSES = 256
TRIES = 64


class Allocator:
    """For the Services of one cluster."""

    def __init__(self, addresses: Addresses) -> None:
        self.network = IPv4Network(addresses.service_cidr)
        self.reserved = {addresses.dns}

    def create(self, tx: Transaction, service: Obj) -> None:
        """Fill in what a new Service lacks. Raises a 422 for an address or port that is taken or outside the range."""
        self._assign(tx, service, None)

    def update(self, tx: Transaction, service: Obj, old: Obj) -> None:
        """The same for a changed Service: a change of type gives or takes addresses and ports."""
        self._assign(tx, service, old)

    def _assign(self, tx: Transaction, service: Obj, old: Obj | None) -> None:
        spec = service["spec"]
        meta = service["metadata"]
        others = [
            entry.obj()["spec"]
            for entry in tx.list(kinds.SERVICES.storage)
            if (entry.namespace, entry.name) != (meta.get("namespace"), meta.get("name"))
        ]
        before = (old or {}).get("spec") or {}
        kind = spec.get("type", "ClusterIP")
        if kind != "ExternalName":
            self._check_families(service, spec)
            self._address(service, spec, before, others)
        if kind in ("NodePort", "LoadBalancer"):
            self._ports(service, spec, before, others)

    # -- addresses

    def _address(self, service: Obj, spec: Obj, before: Obj, others: Iterable[Obj]) -> None:
        wanted = (spec.get("clusterIPs") or [spec.get("clusterIP") or ""])[0]
        if wanted == "None":
            spec["clusterIP"], spec["clusterIPs"] = "None", ["None"]
        elif not wanted:
            wanted = self._free_address({other.get("clusterIP") for other in others})
            spec["clusterIP"], spec["clusterIPs"] = wanted, [wanted]
        else:
            spec.setdefault("clusterIPs", [wanted])
            spec["clusterIP"] = wanted
            if wanted != before.get("clusterIP"):
                self._check_address(service, wanted, {other.get("clusterIP") for other in others})
        self._families(spec)

    @staticmethod
    def _check_families(service: Obj, spec: Obj) -> None:
        """What cannot be asked of a cluster of one family (IPv4). Comes before validation, as in Kubernetes' allocator."""
        faults: list[FieldError] = []
        if "clusterIP" in spec and not spec.get("clusterIPs"):
            spec["clusterIPs"] = [spec["clusterIP"]] if spec["clusterIP"] else []
        services.cluster_ips(faults, spec)
        families, addresses = spec.get("ipFamilies") or [], spec.get("clusterIPs") or []
        policy = spec.get("ipFamilyPolicy") or "SingleStack"
        if not faults and policy == "SingleStack":
            dual = "must be 'RequireDualStack' or 'PreferDualStack' when multiple {} are specified"
            if len(addresses) == 2:
                faults.append(status.invalid_value("spec.ipFamilyPolicy", policy, dual.format("cluster IPs")))
            if len(families) == 2:
                faults.append(status.invalid_value("spec.ipFamilyPolicy", policy, dual.format("IP families")))
        if not faults:
            for index, address in enumerate(addresses):
                if index >= len(families) and ":" in address:
                    detail = "IPv6 is not configured on this cluster"
                    faults.append(status.invalid_value(f"spec.clusterIPs[{index}]", addresses, detail))
        free = spec.get("clusterIP") == "None" and not spec.get("selector")  # headless and without selector: anything goes
        if not faults and not free:
            if policy == "RequireDualStack":
                detail = "this cluster is not configured for dual-stack services"
                faults.append(status.invalid_value("spec.ipFamilyPolicy", policy, detail))
            for index, family in enumerate(families):
                if family != "IPv4":
                    faults.append(status.invalid_value(f"spec.ipFamilies[{index}]", family, "not configured on this cluster"))
        if faults:
            raise status.invalid(kinds.SERVICES, service["metadata"].get("name", ""), faults)

    @staticmethod
    def _families(spec: Obj) -> None:
        if spec.get("clusterIP") == "None" and not spec.get("selector"):
            spec.setdefault("ipFamilyPolicy", "RequireDualStack")
            if not spec.get("ipFamilies"):
                spec["ipFamilies"] = ["IPv4", "IPv6"]
            elif len(spec["ipFamilies"]) == 1 and spec["ipFamilyPolicy"] == "RequireDualStack":
                spec["ipFamilies"] = [*spec["ipFamilies"], "IPv6"]
            return
        spec.setdefault("ipFamilyPolicy", "SingleStack")
        if not spec.get("ipFamilies"):
            spec["ipFamilies"] = ["IPv4"]

    def _free_address(self, taken: set[Any]) -> str:
        size = self.network.num_addresses
        base = int(self.network.network_address)
        for low in (STATIC_ADDRESSES, 1):
            for _ in range(TRIES):
                address = str(ip_address(base + random.randrange(low, size - 1)))
                if address not in taken and address not in self.reserved:
                    return address
        for number in range(1, size - 1):
            address = str(ip_address(base + number))
            if address not in taken and address not in self.reserved:
                return address
        raise status.internal("failed to allocate a serviceIP: range is full")

    def _check_address(self, service: Obj, wanted: str, taken: set[Any]) -> None:
        try:
            inside = ip_address(wanted) in self.network
        except ValueError:
            return  # validation says what is wrong with it
        name = service["metadata"].get("name", "")
        if not inside:
            raise _invalid(
                name,
                "spec.clusterIPs",
                [wanted],
                f"failed to allocate IP {wanted}: the provided IP ({wanted}) is not in the valid range. The range of valid IPs is {self.network}",
            )
        if wanted in taken:
            raise _invalid(name, "spec.clusterIPs", [wanted], f"failed to allocate IP {wanted}: provided IP is already allocated")

    # -- ports

    def _ports(self, service: Obj, spec: Obj, before: Obj, others: Iterable[Obj]) -> None:
        taken = {
            (port["nodePort"], port.get("protocol", "TCP"))
            for other in others
            for port in other.get("ports") or ()
            if port.get("nodePort")
        }
        had = {(port.get("nodePort"), port.get("protocol", "TCP")) for port in before.get("ports") or ()}
        mine: set[tuple[int, str]] = set()
        name = service["metadata"].get("name", "")
        wants_ports = spec.get("type") == "NodePort" or spec.get("allocateLoadBalancerNodePorts") is not False
        ports = spec.get("ports") or ()
        for index, port in enumerate(ports):
            number, protocol = port.get("nodePort") or 0, port.get("protocol", "TCP")
            if not number:
                continue
            if (number, protocol) not in had:
                path = f"spec.ports[{index}].nodePort"
                if number not in NODE_PORTS:
                    raise _invalid(
                        name, path, number, "provided port is not in the valid range. The range of valid ports is 30000-32767"
                    )
                if (number, protocol) in taken or (number, protocol) in mine:
                    raise _invalid(name, path, number, "provided port is already allocated")
            mine.add((number, protocol))
        for port in ports:
            if not port.get("nodePort") and wants_ports:
                protocol = port.get("protocol", "TCP")
                shared = next((number for number, other in mine if other != protocol and (number, protocol) not in taken | mine
                               and self._same_port(ports, port, number)), None)  # fmt: skip
                port["nodePort"] = shared or self._free_port(taken | mine)
                mine.add((port["nodePort"], protocol))
        if (
            spec.get("type") == "LoadBalancer"
            and spec.get("externalTrafficPolicy") == "Local"
            and not spec.get("healthCheckNodePort")
        ):
            spec["healthCheckNodePort"] = self._free_port(taken | mine)

    @staticmethod
    def _same_port(ports: Iterable[Obj], port: Obj, number: int) -> bool:
        """TCP and UDP of the same port share a node port (DNS)."""
        return any(other.get("nodePort") == number and other.get("port") == port.get("port") for other in ports)

    @staticmethod
    def _free_port(taken: set[tuple[int, str]]) -> int:
        numbers = {number for number, _ in taken}
        for low in (NODE_PORTS.start + STATIC_PORTS, NODE_PORTS.start):
            for _ in range(TRIES):
                number = random.randrange(low, NODE_PORTS.stop)
                if number not in numbers:
                    return number
        free = [number for number in NODE_PORTS if number not in numbers]
        if not free:
            raise status.internal("failed to allocate a nodePort: range is full")
        return free[0]


def _invalid(name: str, path: str, value: Any, detail: str) -> ApiError:
    return status.invalid(kinds.SERVICES, name, [status.invalid_value(path, value, detail)])
