"""Follow the API, rewrite Envoy's files, say in statuses what became of it.

Every change of a Service, endpoint, Ingress or route leads to one whole new plan in the same turn of the event loop (``plan.build`` takes
a few milliseconds), and only files that differ are written. Envoy follows them by inotify: a pod that becomes ready or leaves is known to it
within milliseconds of the EndpointSlice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from halab.cluster.client import Client, Informer
from halab.cluster.dataplane import gateway, ingress, publish
from halab.cluster.dataplane.certificates import Certificates
from halab.cluster.dataplane.envoy.bootstrap import CLUSTERS_FILE, LISTENERS_FILE, bootstrap
from halab.cluster.dataplane.files import Files
from halab.cluster.dataplane.plan import Plan, World, build, routes_file
from halab.cluster.dataplane.proxy import Proxy
from halab.cluster.dataplane.services import SERVICE_NAME, Node
from halab.cluster.dataplane.targets import ServiceKey
from halab.cluster.kube.kinds import (
    ENDPOINT_SLICES,
    INGRESS_CLASSES,
    INGRESSES,
    NAMESPACES,
    NODES,
    SECRETS,
    SERVICES,
    Kind,
)
from halab.cluster.kube.status import ApiError
from halab.cluster.kube.types import Obj
from halab.settings import DOCKER, ClusterConfig

if TYPE_CHECKING:
    from halab.cluster.dataplane.contained import Contained

log = logging.getLogger(__name__)

GATEWAY_KINDS = (gateway.GATEWAY_CLASSES, gateway.GATEWAYS, gateway.HTTP_ROUTES)
ALWAYS = (SERVICES, ENDPOINT_SLICES, NODES, INGRESSES, INGRESS_CLASSES)
FIRST_RETRY = 0.02  # seconds; at the start the API server is but a moment away
LAST_CLUSTERS_AFTER = 0.5  # seconds: clusters that nothing leads to any more go after the listeners and routes that did
FIRST_RETRY, LAST_RETRY = 1.0, 60.0  # seconds, while Envoy refuses a listener
ACCESS_LOG_BYTES, ACCESS_LOG_CHECK = 8_000_000, 60.0
TLS_SECRETS = "type=kubernetes.io/tls"


def slim(obj: Obj) -> Obj:
    """Without what traffic does not depend on (a node's images and conditions are most of it)."""
    obj["metadata"].pop("managedFields", None)
    if obj.get("kind") == "Node":
        status = obj.get("status") or {}
        ready = [item for item in status.get("conditions") or () if item.get("type") == "Ready"]
        obj["status"] = {"addresses": status.get("addresses"), "conditions": ready}
    return obj


class DataPlane:
    def __init__(self, client: Client, config: ClusterConfig) -> None:
        self.client, self.config = client, config
        self.files = Files(config.directory / "envoy")
        self.access_log = config.logs / "access.log"
        self._informers: dict[Kind, Informer] = {}
        self._certificates = Certificates(self._secret)
        self._default = (config.certificate.read_text(), config.key.read_text())
        self._turn: asyncio.Handle | None = None
        self._late: asyncio.TimerHandle | None = None
        self._synced = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._statuses: asyncio.Queue[tuple[Kind, Obj, Obj]] = asyncio.Queue()
        self._pending: dict[tuple[Kind, str, str], Obj] = {}
        boot = self.files.directory / "bootstrap.json"
        self.files.write(boot, orjson.dumps(bootstrap(self.files.directory, config.name)))
        self._retry: asyncio.TimerHandle | None = None
        self._retries = 0
        self.proxy = Proxy(boot, config.logs / "envoy.log", self._refused, _container(config))

    # Look-ups: the cluster's DNS asks them as well

    def informer(self, kind: Kind) -> Informer:
        informer = self._informers.get(kind)
        if informer is None:
            selector = TLS_SECRETS if kind is SECRETS else None
            informer = self._informers[kind] = Informer(self.client, kind, field_selector=selector, transform=slim)
            if kind is ENDPOINT_SLICES:
                informer.add_index("service", _owner)
                informer.add_index("address", _endpoint_addresses)
            elif kind is SERVICES:
                informer.add_index("address", lambda service: service["spec"].get("clusterIPs") or ())
            informer.add_handler(lambda old, new: self._changed(kind, old, new))
            informer.start()
        return informer

    def service(self, namespace: str, name: str) -> Obj | None:
        return self.informer(SERVICES).get(namespace, name)

    def slices(self, namespace: str, name: str) -> Sequence[Obj]:
        return self.informer(ENDPOINT_SLICES).indexed("service", f"{namespace}/{name}")

    def namespace_exists(self, name: str) -> bool:
        return bool(name)

    def services_at(self, address: str) -> Sequence[Obj]:
        return self.informer(SERVICES).indexed("address", address)

    def slices_at(self, address: str) -> Sequence[Obj]:
        return self.informer(ENDPOINT_SLICES).indexed("address", address)

    def _secret(self, namespace: str, name: str) -> Obj | None:
        return self.informer(SECRETS).get(namespace, name)  # followed from the first Ingress or Gateway with TLS on

    def _namespace_labels(self, name: str) -> dict[str, str]:
        found = self.informer(NAMESPACES).get(None, name)
        return (found or {}).get("metadata", {}).get("labels") or {}

    # Following

    async def run(self, started: Callable[[], Awaitable[None]]) -> None:
        """Until cancelled. ``started`` is awaited once, when Envoy serves the first configuration."""
        kinds = [*ALWAYS, *(GATEWAY_KINDS if await self._has_gateways() else ())]
        for kind in kinds:
            self.informer(kind)
        work = [asyncio.create_task(self._follow(started)), asyncio.create_task(self._write_statuses())]
        work.append(asyncio.create_task(self._bound_access_log()))
        try:
            done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in [*work, *self._tasks]:
                task.cancel()
            await asyncio.gather(*work, *self._tasks, return_exceptions=True)
            await asyncio.gather(*(informer.stop() for informer in self._informers.values()), return_exceptions=True)

    async def _has_gateways(self) -> bool:
        """Whether the API server knows the Gateway API; one that does not answer yet, or not properly, is asked again."""
        delay = FIRST_RETRY
        while True:
            try:
                status, _, _ = await self.client.request("GET", f"/apis/{gateway.GROUP}/v1")
                if status < 500 and status != 429:
                    return status == 200
                log.info("asking for the Gateway API: status %s", status)
            except (OSError, TimeoutError) as error:
                log.info("asking for the Gateway API: %s", error)
            await asyncio.sleep(delay)
            delay = min(delay * 2, 1.0)

    async def _follow(self, started: Callable[[], Awaitable[None]]) -> None:
        await asyncio.gather(*(informer.synced() for informer in list(self._informers.values())))
        self._synced = True
        self._rebuild()
        envoy = asyncio.create_task(self.proxy.run())
        self._tasks.add(envoy)
        ready = asyncio.create_task(self.proxy.ready.wait())
        await asyncio.wait({envoy, ready}, return_when=asyncio.FIRST_COMPLETED)
        if envoy.done():
            ready.cancel()
            envoy.result()
        await started()
        await envoy

    def _changed(self, kind: Kind, old: Obj | None, new: Obj | None) -> None:
        if not self._synced or self._turn is not None:
            return
        if old is not None and new is not None and _irrelevant(kind, old, new):
            return
        self._turn = asyncio.get_running_loop().call_soon(self._rebuild)

    def world(self) -> World:
        slices: dict[ServiceKey, list[Obj]] = {}
        for piece in self.informer(ENDPOINT_SLICES).objects():
            owner = (piece["metadata"].get("labels") or {}).get(SERVICE_NAME)
            if owner:
                slices.setdefault((piece["metadata"]["namespace"], owner), []).append(piece)

        def known(kind: Kind) -> Sequence[Obj]:
            return self._informers[kind].objects() if kind in self._informers else ()

        def by_name(kind: Kind) -> dict[str, Obj]:
            return {obj["metadata"]["name"]: obj for obj in known(kind)}

        return World(
            services=self.informer(SERVICES).cache,
            slices=slices,
            nodes=self.informer(NODES).objects(),
            ingresses=self.informer(INGRESSES).objects(),
            ingress_classes=by_name(INGRESS_CLASSES),
            gateways=known(gateway.GATEWAYS),
            gateway_classes=by_name(gateway.GATEWAY_CLASSES),
            routes=known(gateway.HTTP_ROUTES),
            certificate=self._certificates.get,
            mutual=self._certificates.mutual,
            namespace_labels=self._namespace_labels,
        )

    def _rebuild(self) -> None:
        self._turn = None
        try:
            plan = build(self.config, self.world(), self.files.directory, self._default, self.access_log)
        except Exception:  # the configuration that is there goes on serving
            log.exception("no new configuration")
            return
        self._write(plan)
        self._report(plan)

    def _write(self, plan: Plan) -> None:
        """New clusters first, what leads to them next; clusters that nothing leads to any more go a little later."""
        directory = self.files.directory
        kept = {each["name"] for each in plan.clusters}
        doomed = [each for each in self._clusters_on_disk if each["name"] not in kept]
        changed = self.files.put(directory / CLUSTERS_FILE, [*plan.clusters, *doomed])
        self._clusters_on_disk = [*plan.clusters, *doomed]
        for name, table in plan.tables.items():
            changed = self.files.put(routes_file(directory, name), [table]) or changed
        changed = self.files.put(directory / LISTENERS_FILE, plan.listeners) or changed
        self.files.keep_only({routes_file(directory, name).name for name in plan.tables})
        if self._late is not None:
            self._late.cancel()
            self._late = None
        if doomed:
            self._late = asyncio.get_running_loop().call_later(LAST_CLUSTERS_AFTER, self._sweep, plan.clusters)
        if changed:
            self._retries = 0
            self.proxy.settle()

    _clusters_on_disk: Sequence[Obj] = ()

    def _sweep(self, clusters: list[Obj]) -> None:
        self._late = None
        self._clusters_on_disk = clusters
        self.files.put(self.files.directory / CLUSTERS_FILE, clusters)

    def _refused(self) -> None:
        """Envoy took all but a part. Show it the listeners again after a while: a port that was taken may be free by then."""
        if self._retry is None:
            delay = min(FIRST_RETRY * 2**self._retries, LAST_RETRY)
            self._retries += 1
            self._retry = asyncio.get_running_loop().call_later(delay, self._again)

    def _again(self) -> None:
        self._retry = None
        self.files.touch(self.files.directory / LISTENERS_FILE)

    # Statuses

    def _report(self, plan: Plan) -> None:
        address = self.config.published or self.config.addresses.ingress
        for each in plan.ingresses:
            self._publish(INGRESSES, each, publish.ingress_status(address))
        for kind in (gateway.GATEWAY_CLASSES,) if gateway.GATEWAY_CLASSES in self._informers else ():
            for each in self._informers[kind].objects():
                if each["spec"].get("controllerName") == gateway.CONTROLLER:
                    self._publish(kind, each, publish.class_status(each))
        for key, listeners in plan.gateways.listeners.items():
            if found := self._informers[gateway.GATEWAYS].get(*key):
                self._publish(gateway.GATEWAYS, found, publish.gateway_status(found, listeners, address))
        for key, verdicts in plan.gateways.verdicts.items():
            if found := self._informers[gateway.HTTP_ROUTES].get(*key):
                self._publish(gateway.HTTP_ROUTES, found, publish.route_status(found, verdicts))

    def _publish(self, kind: Kind, obj: Obj, status: Obj) -> None:
        meta = obj["metadata"]
        key = (kind, meta.get("namespace", ""), meta["name"])
        current = obj.get("status") or {}
        if all(current.get(name) == value for name, value in status.items()) or self._pending.get(key) == status:
            return
        self._pending[key] = status
        self._statuses.put_nowait((kind, obj, status))

    async def _write_statuses(self) -> None:
        while True:
            kind, obj, status = await self._statuses.get()
            meta = obj["metadata"]
            try:
                await self.client.patch(kind, meta["name"], meta.get("namespace"), {"status": status}, subresource="status")
            except (ApiError, OSError, TimeoutError) as error:
                log.warning("status of %s %s not written: %s", kind.kind, meta["name"], error)
            finally:
                self._pending.pop((kind, meta.get("namespace", ""), meta["name"]), None)

    async def _bound_access_log(self) -> None:
        """Keep the access log from filling the disk. Envoy appends, so that a truncated file goes on from its new end."""
        while True:
            await asyncio.sleep(ACCESS_LOG_CHECK)
            _truncate(self.access_log)


def _truncate(path: Path) -> None:
    try:
        if path.stat().st_size > ACCESS_LOG_BYTES:
            with open(path, "r+b") as file:
                file.truncate(0)
    except FileNotFoundError:
        pass


def _container(config: ClusterConfig) -> Contained | None:
    """Where pods are containers Envoy is one too: in their network."""
    if config.runtime != DOCKER:
        return None
    from halab.cluster.dataplane.contained import Contained

    return Contained(config)


def _owner(piece: Obj) -> tuple[str, ...]:
    owner = (piece["metadata"].get("labels") or {}).get(SERVICE_NAME)
    return (f"{piece['metadata'].get('namespace', '')}/{owner}",) if owner else ()


def _endpoint_addresses(piece: Obj) -> list[str]:
    return [address for endpoint in piece.get("endpoints") or () for address in endpoint.get("addresses") or ()]


def _irrelevant(kind: Kind, old: Obj, new: Obj) -> bool:
    """Whether a change cannot matter to traffic: heartbeats of nodes, statuses that we wrote ourselves."""
    if kind is NODES:
        return Node.of(old) == Node.of(new)
    if kind in (INGRESSES, *GATEWAY_KINDS):
        meta = ("labels", "annotations", "deletionTimestamp")
        return old["spec"] == new["spec"] and all(old["metadata"].get(name) == new["metadata"].get(name) for name in meta)
    return False


def classes() -> list[tuple[Kind, Obj]]:
    """The objects that tell people by which names the data plane can be used. None is a default class: an Ingress that names none is served
    anyway, and keeps its spec as it was written."""
    found: list[tuple[Kind, Obj]] = []
    for name in ingress.CLASSES:
        meta: Obj = {"name": name}
        body = {"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": meta}
        found.append((INGRESS_CLASSES, body | {"spec": {"controller": ingress.CONTROLLER}}))
    body = {"apiVersion": f"{gateway.GROUP}/v1", "kind": "GatewayClass", "metadata": {"name": gateway.CLASS}}
    found.append((gateway.GATEWAY_CLASSES, body | {"spec": {"controllerName": gateway.CONTROLLER}}))
    return found
