"""Endpoints that somebody wrote by hand, for a Service without a selector, as EndpointSlices: everything that routes reads only those.

https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/#endpointslice-mirroring has the rules.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence

import orjson

from halab.cluster.client import Key
from halab.cluster.controllers.actions import Action, Create, Delete, Update
from halab.cluster.controllers.base import Controller
from halab.cluster.controllers.endpoints import LARGEST_ENDPOINTS, MANAGED_BY, SERVICE_NAME, TRIGGER_TIME
from halab.cluster.controllers.owners import controller_reference
from halab.cluster.controllers.pods import is_deleting, same
from halab.cluster.kube.kinds import ENDPOINT_SLICES, ENDPOINTS, SERVICES
from halab.cluster.kube.types import Obj

MANAGER = "endpointslicemirroring-controller.k8s.io"
SKIP = "endpointslice.kubernetes.io/skip-mirror"
LEADER = "control-plane.alpha.kubernetes.io/leader"  # Endpoints that once served as a lock
NOT_COPIED = {TRIGGER_TIME, "kubectl.kubernetes.io/last-applied-configuration"}

Group = tuple[str, bytes]  # address type, and the ports as text


def is_mirrored(endpoints: Obj | None, service: Obj | None) -> bool:
    """Only of a Service that has no selector: the others' Endpoints are written by their own controller."""
    if endpoints is None or service is None or is_deleting(endpoints) or service["spec"].get("selector"):
        return False
    meta = endpoints["metadata"]
    return (meta.get("labels") or {}).get(SKIP) != "true" and LEADER not in (meta.get("annotations") or {})


def _endpoint(address: Obj, ready: bool) -> Obj:
    made: Obj = {"addresses": [address["ip"]], "conditions": {"ready": ready}}
    return made | {key: address[key] for key in ("hostname", "nodeName", "targetRef") if address.get(key)}


def groups_of(endpoints: Obj) -> dict[Group, tuple[list[Obj], list[Obj]]]:
    """(ports, endpoints) of each slice to be."""
    found: dict[Group, tuple[list[Obj], list[Obj]]] = {}
    for subset in endpoints.get("subsets") or ():
        ports = [
            {"name": port.get("name", ""), "protocol": port.get("protocol", "TCP"), **port} for port in subset.get("ports") or ()
        ]
        listed = [(each, True) for each in subset.get("addresses") or ()]
        listed += [(each, False) for each in subset.get("notReadyAddresses") or ()]
        for address, ready in listed[:LARGEST_ENDPOINTS]:
            family = f"IPv{ipaddress.ip_address(address['ip']).version}"
            _, members = found.setdefault((family, _key(ports)), (ports, []))
            members.append(_endpoint(address, ready))
    return found


def _key(ports: Sequence[Obj]) -> bytes:
    return orjson.dumps(sorted(ports, key=str), option=orjson.OPT_SORT_KEYS)


def mirror_plan(endpoints: Obj, existing: Sequence[Obj]) -> list[Action]:
    """Make ``existing`` slices (those this controller manages for the Service) say what ``endpoints`` says."""
    meta = endpoints["metadata"]
    labels = dict(meta.get("labels") or {}) | {SERVICE_NAME: meta["name"], MANAGED_BY: MANAGER}
    annotations = {key: value for key, value in (meta.get("annotations") or {}).items() if key not in NOT_COPIED}
    spare = {(each["addressType"], _key(each.get("ports") or [])): each for each in existing}
    surplus = [each for each in existing if each not in spare.values()]
    actions: list[Action] = []
    for group, (ports, members) in groups_of(endpoints).items():
        old = spare.pop(group, None)
        if old is None:
            actions.append(Create(ENDPOINT_SLICES, _new(endpoints, group[0], labels, annotations, ports, members)))
        elif not _is_as(old, labels, annotations, members):
            changed = {**old["metadata"], "labels": labels, "annotations": annotations}
            actions.append(Update(ENDPOINT_SLICES, {**old, "metadata": changed, "endpoints": members}))
    return [*actions, *(Delete(ENDPOINT_SLICES, each) for each in [*spare.values(), *surplus])]


def _is_as(slice: Obj, labels: Mapping[str, str], annotations: Mapping[str, str], members: Sequence[Obj]) -> bool:
    meta = slice["metadata"]
    return same(slice.get("endpoints"), list(members)) and same(
        [meta.get("labels"), meta.get("annotations")], [labels, annotations]
    )


def _new(
    endpoints: Obj, family: str, labels: dict[str, str], annotations: dict[str, str], ports: list[Obj], members: list[Obj]
) -> Obj:
    meta = endpoints["metadata"]
    made: Obj = {
        "generateName": f"{meta['name']}-",
        "namespace": meta["namespace"],
        "labels": labels,
        "ownerReferences": [controller_reference(endpoints, ENDPOINTS)],
    }
    if annotations:
        made["annotations"] = annotations
    kind = {"apiVersion": ENDPOINT_SLICES.api_version, "kind": ENDPOINT_SLICES.kind}
    return kind | {"metadata": made, "addressType": family, "endpoints": members, "ports": ports}


class EndpointsMirrorController(Controller):
    name = "endpoint-slice-mirroring-controller"

    def setup(self) -> None:
        self.follow(ENDPOINTS)
        self.follow(SERVICES)
        self.slices = self.informers(ENDPOINT_SLICES)
        self.slices.add_handler(self._slice_changed)

    def _slice_changed(self, old: Obj | None, new: Obj | None) -> None:
        meta = (new or old or {})["metadata"]
        labels = meta.get("labels") or {}
        if labels.get(MANAGED_BY) == MANAGER and labels.get(SERVICE_NAME):
            self.queue.add((meta["namespace"], labels[SERVICE_NAME]))

    async def reconcile(self, key: Key) -> None:
        endpoints = self.informers(ENDPOINTS).get(*key)
        wanted = {MANAGED_BY: MANAGER, SERVICE_NAME: key[1]}.items()
        mine = [each for each in self.slices.objects(key[0]) if wanted <= (each["metadata"].get("labels") or {}).items()]
        if endpoints is not None and is_mirrored(endpoints, self.informers(SERVICES).get(*key)):
            await self.apply(mirror_plan(endpoints, mine))
        else:
            await self.apply([Delete(ENDPOINT_SLICES, each) for each in mine])
