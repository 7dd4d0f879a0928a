"""What kube-apiserver's allocator shows of its work: an IPAddress for each address of a Service, and ServiceCIDRs that say that they are ready.

The API server here allocates by itself; these objects tell of it, and are kept in step with the Services.
(https://kubernetes.io/docs/tasks/network/extend-service-ip-ranges/)
"""

from __future__ import annotations

from collections.abc import Iterable

from halab.cluster.client import Key, rfc3339
from halab.cluster.controllers.base import Controller
from halab.cluster.kube.kinds import IP_ADDRESSES, SERVICE_CIDRS, SERVICES
from halab.cluster.kube.status import ApiError
from halab.cluster.kube.types import Obj

MANAGED_BY, MANAGER = "ipaddress.kubernetes.io/managed-by", "ipallocator.k8s.io"
FAMILY = "ipaddress.kubernetes.io/ip-family"
FINALIZER = "networking.k8s.io/service-cidr-finalizer"
DEFAULT = "kubernetes"
AGAIN_SECONDS = 1.0


def addresses_of(service: Obj | None) -> set[str]:
    """The cluster addresses that a Service has."""
    spec = (service or {}).get("spec") or {}
    return {address for address in spec.get("clusterIPs") or () if address and address != "None"}


def ip_address(address: str, key: Key) -> Obj:
    parent = {"group": "", "resource": "services", "namespace": key[0], "name": key[1]}
    labels = {FAMILY: "IPv6" if ":" in address else "IPv4", MANAGED_BY: MANAGER}
    return {"metadata": {"name": address, "labels": labels}, "spec": {"parentRef": parent}}


def _parent(address: Obj) -> Key | None:
    """The Service of an IPAddress that is the allocator's own."""
    parent = (address.get("spec") or {}).get("parentRef") or {}
    own = (address["metadata"].get("labels") or {}).get(MANAGED_BY) == MANAGER and parent.get("resource") == "services"
    return (parent.get("namespace", ""), parent.get("name", "")) if own else None


def _index(address: Obj) -> Iterable[str]:
    key = _parent(address)
    return ["/".join(key)] if key else []


class AddressController(Controller):
    """Keys with a namespace are Services, those without are ServiceCIDRs."""

    name = "service-cidr-controller"
    workers = 1

    def setup(self) -> None:
        self.services, self.addresses = self.informers(SERVICES), self.informers(IP_ADDRESSES)
        self.addresses.add_index("service", _index)
        self.follow(SERVICES)
        self.follow(SERVICE_CIDRS)
        self.addresses.add_handler(self._address_changed)

    def _address_changed(self, old: Obj | None, new: Obj | None) -> None:
        for each in (old, new):
            if each is not None and (key := _parent(each)) is not None:
                self.queue.add(key)

    async def run(self) -> None:
        if self.context.config is not None:  # another API server shows its own
            await super().run()

    async def reconcile(self, key: Key) -> None:
        if not key[0]:
            await self._network(key)
            return
        wanted = addresses_of(self.services.get(*key))
        there = {each["metadata"]["name"]: each for each in self.addresses.indexed("service", "/".join(key))}
        for address in sorted(there.keys() - wanted):
            await self.context.delete(IP_ADDRESSES, there[address])
        for address in sorted(wanted - there.keys()):
            try:
                await self.context.create(IP_ADDRESSES, ip_address(address, key))
            except ApiError as exc:
                if exc.reason != "AlreadyExists":
                    raise
                found = self.addresses.get("", address)
                if found is None or _parent(found) is not None:  # a former Service's, about to go
                    self.queue.add_after(key, AGAIN_SECONDS)

    async def _network(self, key: Key) -> None:
        found = self.informers(SERVICE_CIDRS).get(*key)
        if found is None:
            return
        meta = found["metadata"]
        finalizers: list[str] = meta.get("finalizers") or []
        deleting = bool(meta.get("deletionTimestamp"))
        if deleting == (FINALIZER in finalizers):
            kept = [each for each in finalizers if each != FINALIZER] if deleting else [*finalizers, FINALIZER]
            change = {"metadata": {"resourceVersion": meta["resourceVersion"], "finalizers": kept or None}}
            await self.context.patch(SERVICE_CIDRS, None, meta["name"], change)
        if deleting or any(each["type"] == "Ready" for each in (found.get("status") or {}).get("conditions") or ()):
            return
        which = "default " if meta["name"] == DEFAULT else ""
        ready = {"type": "Ready", "status": "True", "reason": "", "message": f"Kubernetes {which}Service CIDR is ready"}
        status = {"status": {"conditions": [ready | {"lastTransitionTime": rfc3339()}]}}
        await self.context.patch(SERVICE_CIDRS, None, meta["name"], status, subresource="status")
