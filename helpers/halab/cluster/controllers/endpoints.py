"""EndpointSlices and Endpoints: which addresses serve a Service.

``slices_plan`` and ``endpoints_plan`` are pure. A pod counts from the moment it has an address until it is finished; one that is being
deleted is still listed in slices, as terminating. Slices follow https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence

import orjson

from halab.cluster.client import Key
from halab.cluster.controllers.actions import Action, Create, Delete, Update
from halab.cluster.controllers.base import Controller
from halab.cluster.controllers.owners import controller_reference
from halab.cluster.controllers.pods import condition, is_deleting, is_finished, is_ready, same
from halab.cluster.kube.kinds import ENDPOINT_SLICES, ENDPOINTS, NODES, PODS, SERVICES
from halab.cluster.kube.types import Obj

MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"
SERVICE_NAME = "kubernetes.io/service-name"
HEADLESS = "service.kubernetes.io/headless"
TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time"
ZONE = "topology.kubernetes.io/zone"
LARGEST_SLICE = 100
LARGEST_ENDPOINTS = 1000
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
RESERVED_LABELS = {MANAGED_BY, SERVICE_NAME, HEADLESS}


def has_selector(service: Obj) -> bool:
    return bool(service["spec"].get("selector")) and service["spec"].get("type") != "ExternalName"


def is_headless(service: Obj) -> bool:
    return bool(service["spec"].get("clusterIP") == "None")


def selects(service: Obj, pod: Obj) -> bool:
    labels = pod["metadata"].get("labels") or {}
    return all(labels.get(key) == value for key, value in service["spec"]["selector"].items())


def _find_port(pod: Obj, port: Obj) -> int | None:
    """The number that a service port leads to in this pod."""
    target = port.get("targetPort", port["port"])
    if isinstance(target, int):
        return target or int(port["port"])
    sidecars = [each for each in pod["spec"].get("initContainers") or () if each.get("restartPolicy") == "Always"]
    for container in [*pod["spec"].get("containers", ()), *sidecars]:
        for declared in container.get("ports") or ():
            if declared.get("name") == target and declared.get("protocol", "TCP") == port.get("protocol", "TCP"):
                return int(declared["containerPort"])
    return None


def _ports(service: Obj, pod: Obj) -> list[Obj]:
    found = []
    for port in service["spec"].get("ports") or ():
        number = _find_port(pod, port)
        if number is None:
            continue
        made: Obj = {"name": port.get("name", ""), "protocol": port.get("protocol", "TCP"), "port": number}
        if port.get("appProtocol"):
            made["appProtocol"] = port["appProtocol"]
        found.append(made)
    return found


def _addresses(pod: Obj, family: str) -> list[str]:
    status = pod.get("status") or {}
    listed = [entry["ip"] for entry in status.get("podIPs") or ()] or ([status["podIP"]] if status.get("podIP") else [])
    version = 6 if family == "IPv6" else 4
    return [ip for ip in listed if ipaddress.ip_address(ip).version == version][:1]


def _reference(pod: Obj) -> Obj:
    meta = pod["metadata"]
    return {"kind": "Pod", "namespace": meta["namespace"], "name": meta["name"], "uid": meta["uid"]}


def _has_hostname(service: Obj, pod: Obj) -> bool:
    return bool(pod["spec"].get("hostname")) and pod["spec"].get("subdomain") == service["metadata"]["name"]


def endpoint(service: Obj, pod: Obj, node: Obj | None, family: str) -> Obj | None:
    """The endpoint of one pod, None if it has no address of that family."""
    addresses = _addresses(pod, family)
    if not addresses:
        return None
    serving, terminating = is_ready(pod), is_deleting(pod)
    ready = bool(service["spec"].get("publishNotReadyAddresses")) or (serving and not terminating)
    made: Obj = {
        "addresses": addresses,
        "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
        "targetRef": _reference(pod),
    }
    if _has_hostname(service, pod):
        made["hostname"] = pod["spec"]["hostname"]
    if pod["spec"].get("nodeName"):
        made["nodeName"] = pod["spec"]["nodeName"]
    if node and (zone := (node["metadata"].get("labels") or {}).get(ZONE)):
        made["zone"] = zone
    if ready and (hints := _hints(service, made)):
        made["hints"] = hints
    return made


def _hints(service: Obj, endpoint: Obj) -> Obj:
    """Where the endpoint's traffic should come from, as the Service's trafficDistribution asks."""
    wish = service["spec"].get("trafficDistribution")
    hints: Obj = {}
    if wish in ("PreferClose", "PreferSameZone", "PreferSameNode") and "zone" in endpoint:
        hints["forZones"] = [{"name": endpoint["zone"]}]
    if wish == "PreferSameNode" and "nodeName" in endpoint:
        hints["forNodes"] = [{"name": endpoint["nodeName"]}]
    return hints


def _trigger_time(service: Obj, pods: Iterable[Obj]) -> str:
    """When the last change that concerns the endpoints happened: of the service or of a pod's readiness."""
    times = [service["metadata"].get("creationTimestamp") or ""]
    times += [(condition(pod, "Ready") or {}).get("lastTransitionTime") or "" for pod in pods]
    return max(times)


def _slice_labels(service: Obj, existing: Mapping[str, str] | None = None) -> dict[str, str]:
    own = {key: value for key, value in (service["metadata"].get("labels") or {}).items() if key not in RESERVED_LABELS}
    labels = own | {SERVICE_NAME: service["metadata"]["name"], MANAGED_BY: MANAGER}
    if is_headless(service):
        labels[HEADLESS] = ""
    return labels


def slices_plan(service: Obj, pods: Sequence[Obj], nodes: Mapping[str, Obj], existing: Sequence[Obj]) -> list[Action]:
    """Make ``existing`` slices (those this controller manages for the service) hold the service's pods. ``nodes`` by name."""
    actions: list[Action] = []
    families = service["spec"].get("ipFamilies") or ["IPv4"]
    for family in families:
        mine = [each for each in existing if each["addressType"] == family and not is_deleting(each)]
        actions += _family_plan(service, pods, nodes, mine, family)
    actions += [Delete(ENDPOINT_SLICES, each) for each in existing if each["addressType"] not in families]
    return actions


def _family_plan(
    service: Obj, pods: Sequence[Obj], nodes: Mapping[str, Obj], existing: Sequence[Obj], family: str
) -> list[Action]:
    wanted: dict[bytes, dict[str, Obj]] = {}  # by ports, then by pod uid
    ports_of: dict[bytes, list[Obj]] = {}
    published = service["spec"].get("publishNotReadyAddresses")
    for pod in pods:
        node = nodes.get(pod["spec"].get("nodeName", ""))
        if is_finished(pod) or (node is None and not published):
            continue
        made = endpoint(service, pod, node, family)
        if made is None:
            continue
        ports = _ports(service, pod)
        key = _ports_key(ports)
        ports_of[key] = ports
        wanted.setdefault(key, {})[pod["metadata"]["uid"]] = made
    results: list[tuple[Obj | None, list[Obj], list[Obj]]] = []  # existing slice or None, ports, endpoints
    spare: list[Obj] = []
    by_ports: dict[bytes, list[Obj]] = {}
    for each in existing:
        by_ports.setdefault(_ports_key(each.get("ports") or []), []).append(each)
    for key, slices in by_ports.items():
        left = wanted.get(key)
        if left is None:
            spare += slices
            continue
        keep: list[tuple[Obj, list[Obj]]] = []
        for each in slices:
            uids = [(entry.get("targetRef") or {}).get("uid", "") for entry in each.get("endpoints") or ()]
            keep.append((each, [left.pop(uid) for uid in uids if uid in left]))
        rest = list(left.values())
        left.clear()
        for each, endpoints in keep:
            room = LARGEST_SLICE - len(endpoints)
            endpoints += rest[:room]
            rest = rest[room:]
            if endpoints:
                results.append((each, ports_of[key], endpoints))
            else:
                spare.append(each)
        while rest:
            results.append((None, ports_of[key], rest[:LARGEST_SLICE]))
            rest = rest[LARGEST_SLICE:]
    for key, left in wanted.items():
        rest = list(left.values())
        while rest:
            results.append((None, ports_of[key], rest[:LARGEST_SLICE]))
            rest = rest[LARGEST_SLICE:]
    if not results:
        results.append((None, [], []))  # a service without pods has one empty slice
    return _slice_actions(service, family, results, spare, _trigger_time(service, pods))


def _ports_key(ports: Sequence[Obj]) -> bytes:
    canonical = sorted(
        (port.get("name", ""), port.get("protocol", ""), port.get("port", 0), port.get("appProtocol", "")) for port in ports
    )
    return orjson.dumps(canonical)


def _slice_actions(
    service: Obj, family: str, results: Sequence[tuple[Obj | None, list[Obj], list[Obj]]], spare: list[Obj], trigger: str
) -> list[Action]:
    """Slices that would go are used again for those to be made."""
    actions: list[Action] = []
    labels = _slice_labels(service)
    for slice, ports, endpoints in results:
        if slice is None and spare:
            slice = spare.pop(0)
        if slice is None:
            name = service["metadata"]["name"]
            meta: Obj = {
                "generateName": f"{name}-",
                "namespace": service["metadata"]["namespace"],
                "labels": labels,
                "ownerReferences": [controller_reference(service, SERVICES)],
            }
            if trigger:
                meta["annotations"] = {TRIGGER_TIME: trigger}
            body = {
                "apiVersion": ENDPOINT_SLICES.api_version,
                "kind": ENDPOINT_SLICES.kind,
                "metadata": meta,
                "addressType": family,
            }
            actions.append(Create(ENDPOINT_SLICES, body | {"endpoints": endpoints, "ports": ports}))
            continue
        unchanged = same(slice.get("endpoints"), endpoints) and same(slice.get("ports"), ports)
        if unchanged and slice["metadata"].get("labels") == labels:
            continue
        annotations = (slice["metadata"].get("annotations") or {}) | ({TRIGGER_TIME: trigger} if trigger else {})
        meta = {**slice["metadata"], "labels": labels, "annotations": annotations}
        actions.append(Update(ENDPOINT_SLICES, {**slice, "metadata": meta, "endpoints": endpoints, "ports": ports}))
    return actions + [Delete(ENDPOINT_SLICES, each) for each in spare]


def subsets(service: Obj, pods: Sequence[Obj]) -> list[Obj]:
    """The ``subsets`` of the older Endpoints object: ready and unready addresses grouped by their ports."""
    published = bool(service["spec"].get("publishNotReadyAddresses"))
    groups: dict[bytes, tuple[list[Obj], list[Obj], list[Obj]]] = {}
    family = (service["spec"].get("ipFamilies") or ["IPv4"])[0]
    for pod in sorted(pods, key=lambda pod: str(_addresses(pod, family))):
        addresses = _addresses(pod, family)
        if is_finished(pod) or not addresses or (is_deleting(pod) and not published):
            continue
        address: Obj = {"ip": addresses[0]}
        if _has_hostname(service, pod):
            address["hostname"] = pod["spec"]["hostname"]
        if pod["spec"].get("nodeName"):
            address["nodeName"] = pod["spec"]["nodeName"]
        address["targetRef"] = _reference(pod)
        ports = [{key: value for key, value in port.items() if value != ""} for port in _ports(service, pod)]
        if not ports and not is_headless(service):
            continue
        group = groups.setdefault(_ports_key(ports), (sorted(ports, key=str), [], []))
        group[1 if published or is_ready(pod) else 2].append(address)
    made = []
    for ports, ready, unready in groups.values():
        parts = {
            "addresses": ready[:LARGEST_ENDPOINTS],
            "notReadyAddresses": unready[: LARGEST_ENDPOINTS - len(ready)],
            "ports": ports,
        }
        made.append({key: value for key, value in parts.items() if value})
    return made


def endpoints_plan(service: Obj, pods: Sequence[Obj], existing: Obj | None) -> list[Action]:
    """Keep the Endpoints object of the service's name."""
    found = subsets(service, pods)
    labels = {key: value for key, value in (service["metadata"].get("labels") or {}).items() if key != HEADLESS}
    labels["endpoints.kubernetes.io/managed-by"] = "endpoint-controller"
    if is_headless(service):
        labels[HEADLESS] = ""
    trigger = _trigger_time(service, pods)
    if existing is None:
        meta = {"name": service["metadata"]["name"], "namespace": service["metadata"]["namespace"], "labels": labels}
        if trigger:
            meta["annotations"] = {TRIGGER_TIME: trigger}
        return [
            Create(ENDPOINTS, {"apiVersion": "v1", "kind": "Endpoints", "metadata": meta} | ({"subsets": found} if found else {}))
        ]
    if same(existing.get("subsets"), found) and existing["metadata"].get("labels") == labels:
        return []
    annotations = (existing["metadata"].get("annotations") or {}) | ({TRIGGER_TIME: trigger} if trigger else {})
    body = {**existing, "metadata": {**existing["metadata"], "labels": labels, "annotations": annotations}}
    body.pop("subsets", None)
    return [Update(ENDPOINTS, body | ({"subsets": found} if found else {}))]


def _aspects(pod: Obj) -> tuple[object, ...]:
    """What of a pod matters to endpoints."""
    meta, spec, status = pod["metadata"], pod["spec"], pod.get("status") or {}
    return (
        meta.get("labels"),
        is_deleting(pod),
        spec.get("nodeName"),
        spec.get("hostname"),
        spec.get("subdomain"),
        status.get("podIPs"),
        status.get("podIP"),
        is_ready(pod),
        is_finished(pod),
    )


class _ServiceController(Controller):
    """Both controllers here are driven by services and the pods they select."""

    def setup(self) -> None:
        self.services, self.pods = self.informers(SERVICES), self.informers(PODS)
        self.follow(SERVICES)
        self.pods.add_handler(self._pod_changed)

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        if old is not None and new is not None and _aspects(old) == _aspects(new):
            return
        for service in self.services.objects((new or old or {})["metadata"]["namespace"]):
            if has_selector(service) and any(pod is not None and selects(service, pod) for pod in (old, new)):
                self.queue.add((service["metadata"]["namespace"], service["metadata"]["name"]))

    def _selected(self, service: Obj) -> list[Obj]:
        return [pod for pod in self.pods.objects(service["metadata"]["namespace"]) if selects(service, pod)]


class EndpointSliceController(_ServiceController):
    name = "endpoint-slice-controller"

    def setup(self) -> None:
        super().setup()
        self.slices, self.nodes = self.informers(ENDPOINT_SLICES), self.informers(NODES)
        self.slices.add_index("service", _service_of)
        self.slices.add_handler(self._slice_changed)
        self.nodes.add_handler(self._node_changed)

    def _slice_changed(self, old: Obj | None, new: Obj | None) -> None:
        for each in (old, new):
            if each is not None and (each["metadata"].get("labels") or {}).get(MANAGED_BY) == MANAGER:
                namespace, _, name = next(iter(_service_of(each)), "/").partition("/")
                if name:
                    self.queue.add((namespace, name))

    def _node_changed(self, old: Obj | None, new: Obj | None) -> None:
        """A node that comes, goes or changes its zone concerns the services of its pods."""
        if old and new and (old["metadata"].get("labels") or {}).get(ZONE) == (new["metadata"].get("labels") or {}).get(ZONE):
            return
        name = (new or old or {})["metadata"]["name"]
        for pod in self.pods.objects():
            if pod["spec"].get("nodeName") == name:
                self._pod_changed(None, pod)

    async def reconcile(self, key: Key) -> None:
        service = self.services.get(*key)
        if service is None or not has_selector(service):
            return
        nodes = {node["metadata"]["name"]: node for node in self.nodes.objects()}
        mine = [
            each
            for each in self.slices.indexed("service", "/".join(key))
            if each["metadata"]["labels"].get(MANAGED_BY) == MANAGER
        ]
        await self.apply(slices_plan(service, self._selected(service), nodes, mine))


def _service_of(slice: Obj) -> Iterable[str]:
    name = (slice["metadata"].get("labels") or {}).get(SERVICE_NAME)
    return [f"{slice['metadata']['namespace']}/{name}"] if name else []


class EndpointsController(_ServiceController):
    """The older Endpoints objects, which old clients (kubectl before 1.30 in ``describe service``) still read."""

    name = "endpoint-controller"

    def setup(self) -> None:
        super().setup()
        self.follow(ENDPOINTS)

    async def reconcile(self, key: Key) -> None:
        service, existing = self.services.get(*key), self.informers(ENDPOINTS).get(*key)
        if service is not None and has_selector(service):
            await self.apply(endpoints_plan(service, self._selected(service), existing))
        elif service is None and existing is not None:
            managed = (existing["metadata"].get("labels") or {}).get("endpoints.kubernetes.io/managed-by")
            if managed == "endpoint-controller":
                await self.apply([Delete(ENDPOINTS, existing)])
