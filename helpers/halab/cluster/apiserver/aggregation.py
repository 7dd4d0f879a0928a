"""Aggregated API servers: the groups that somebody else's server serves, as its APIService says.

A request for such a group's version is carried on to the APIService's Service, with the user in headers and this server's own client
certificate. Whether the other side answers is asked when the APIService, its Service or its endpoints change, and every half minute; its answer is
the condition ``Available``, and the discovery that clients get of the group.
https://kubernetes.io/docs/concepts/extend-kubernetes/api-extension/apiserver-aggregation/
"""

from __future__ import annotations

import asyncio
import base64
import logging
import sqlite3
import ssl
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

import orjson

from halab.aio.tls import client_context
from halab.cluster.apiserver import forward
from halab.cluster.apiserver.context import Context
from halab.cluster.apiserver.forward import Target
from halab.cluster.apiserver.names import now
from halab.cluster.apiserver.request import PlainError, Request, User
from halab.cluster.apiserver.subresources.proxy import body_of, service_target
from halab.cluster.kube import kinds
from halab.cluster.kube.kinds import Kind, Subresource
from halab.cluster.kube.status import ApiError
from halab.cluster.store.cache import Event
from halab.cluster.store.store import Contended, Transaction

Obj = dict[str, Any]
log = logging.getLogger("halab.aggregation")
RESOURCE = kinds.API_SERVICES.storage
AGAIN_SECONDS = 30.0  # between two looks at a server that is well
RETRY_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)  # and at one that is not
TIMEOUT_SECONDS = 5.0
SELF = User("system:kube-aggregator", ("system:masters",))


@dataclass(slots=True, eq=False)
class Remote:
    """One version of a group at another server. ``resources`` is its own discovery document, ``openapi`` its OpenAPI v3 document."""

    name: str
    spec: Obj
    available: bool = False
    resources: list[Obj] = field(default_factory=list)
    openapi: bytes = b""
    failures: int = 0
    task: asyncio.Task[None] | None = None
    look: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def group(self) -> str:
        return str(self.spec.get("group") or "")

    @property
    def version(self) -> str:
        return str(self.spec["version"])


class Aggregator:
    def __init__(self, context: Context) -> None:
        self.context = context
        self._remotes: dict[tuple[str, str], Remote] = {}
        self.generation = 0  # raised whenever discovery changed
        store = context.store
        services = store.collection(RESOURCE)
        for entry in services.select():
            self._put(entry.name, entry.obj())
        self._stop = [
            services.watch("", self._changed),
            store.collection(kinds.SERVICES.storage).watch("", self._moved),
            store.collection(kinds.ENDPOINT_SLICES.storage).watch("", self._moved),
        ]

    def close(self) -> None:
        for stop in self._stop:
            stop()
        for remote in self._remotes.values():
            if remote.task is not None:
                remote.task.cancel()

    def find(self, group: str, version: str) -> Remote | None:
        return self._remotes.get((group, version)) if self._remotes else None

    def remotes(self) -> list[Remote]:
        """Those that said what they serve, in the order of their priority."""
        known = [remote for remote in self._remotes.values() if remote.resources]
        return sorted(
            known,
            key=lambda remote: (
                -(remote.spec.get("groupPriorityMinimum") or 0),
                remote.group,
                -(remote.spec.get("versionPriority") or 0),
            ),
        )

    def kinds(self) -> list[Kind]:
        """What others serve, for discovery."""
        return [kind for remote in self.remotes() for kind in _kinds(remote)]

    # -- following

    def _changed(self, event: Event) -> None:
        if event.deleted:
            self._drop(event.new.name)
        else:
            self._put(event.new.name, event.new.obj())

    def _put(self, name: str, obj: Obj) -> None:
        spec = obj["spec"]
        present = next((remote for remote in self._remotes.values() if remote.name == name), None)
        if "service" not in spec:
            if present is not None:
                self._drop(name)
            return
        if present is not None and present.spec == spec:
            present.available = _is_available(obj)
            return
        if present is not None:
            self._drop(name)
        remote = self._remotes[str(spec.get("group") or ""), spec["version"]] = Remote(name, spec, _is_available(obj))
        remote.task = asyncio.get_running_loop().create_task(self._follow(remote))

    def _drop(self, name: str) -> None:
        for key, remote in list(self._remotes.items()):
            if remote.name == name:
                del self._remotes[key]
                if remote.task is not None:
                    remote.task.cancel()
                self.generation += 1

    def _moved(self, event: Event) -> None:
        """A Service, or a slice of one, that an APIService names."""
        name = (event.new.labels or {}).get("kubernetes.io/service-name", event.new.name)
        for remote in self._remotes.values():
            service = remote.spec["service"]
            if (service.get("namespace"), service.get("name")) in (
                (event.new.namespace, name),
                (event.new.namespace, event.new.name),
            ):
                remote.look.set()

    async def _follow(self, remote: Remote) -> None:
        while True:
            remote.look.clear()
            reason, message = await self._examine(remote)
            well = reason == "Passed"
            remote.failures = 0 if well else remote.failures + 1
            remote.available = well
            self._tell(remote.name, well, reason, message)
            delay = AGAIN_SECONDS if well else RETRY_SECONDS[min(remote.failures, len(RETRY_SECONDS)) - 1]
            with suppress(TimeoutError):
                await asyncio.wait_for(remote.look.wait(), delay)

    async def _examine(self, remote: Remote) -> tuple[str, str]:
        """(reason, message) of the condition, in the aggregator's words; ``Passed`` if all is well."""
        service = remote.spec["service"]
        namespace, name, port = service.get("namespace", ""), service.get("name", ""), service.get("port") or 443
        entry = self.context.store.get(kinds.SERVICES.storage, namespace, name)
        where = f'service/{name} in "{namespace}"'
        if entry is None:
            return "ServiceNotFound", f"{where} is not present"
        spec = entry.obj()["spec"]
        if spec.get("type") == "ClusterIP":
            chosen = next((each for each in spec.get("ports") or () if each["port"] == port), None)
            if chosen is None:
                return "ServicePortError", f"{where} is not listening on port {port}"
            slices = [
                each.obj()
                for each in self.context.store.collection(kinds.ENDPOINT_SLICES.storage).select(namespace)
                if (each.labels or {}).get("kubernetes.io/service-name") == name
            ]
            if not slices:
                return "EndpointsNotFound", f"cannot find endpointslices for {where}"
            if not any(_serves(each, chosen.get("name", "")) for each in slices):
                return (
                    "MissingEndpoints",
                    f'endpointslices for {where} have no addresses with port name "{chosen.get("name", "")}"',
                )
        return await self._discover(remote, f"https://{spec.get('clusterIP') or spec.get('externalName')}:{port}")

    async def _discover(self, remote: Remote, base: str) -> tuple[str, str]:
        path = f"/apis/{remote.group}/{remote.version}" if remote.group else f"/api/{remote.version}"
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                code, body = await self._ask(remote, path)
        except TimeoutError:
            return (
                "FailedDiscoveryCheck",
                f'failing or missing response from {base}{path}: Get "{base}{path}": context deadline exceeded',
            )
        except (ApiError, OSError) as error:
            text = error.message if isinstance(error, ApiError) else str(error)
            reason = text.removeprefix("error trying to reach service: ")
            return "FailedDiscoveryCheck", f'failing or missing response from {base}{path}: Get "{base}{path}": {reason}'
        if not 200 <= code < 300:
            return "FailedDiscoveryCheck", f"failing or missing response from {base}{path}: bad status from {base}{path}: {code}"
        try:
            resources = [each for each in orjson.loads(body).get("resources") or () if isinstance(each.get("name"), str)]
        except (orjson.JSONDecodeError, AttributeError, TypeError):
            resources = []
        document = b""
        with suppress(TimeoutError, ApiError, OSError):
            async with asyncio.timeout(TIMEOUT_SECONDS):
                code, body = await self._ask(remote, f"/openapi/v3{path}")
                document = body if code == 200 else b""
        if resources != remote.resources or document != remote.openapi:
            remote.resources, remote.openapi = resources, document
            self.generation += 1
        return "Passed", "all checks passed"

    async def _ask(self, remote: Remote, path: str) -> tuple[int, bytes]:
        headers = [*_identity(SELF), (b"accept", b"application/json")]
        answer = await forward.stream(self._target(remote, verified=False), "GET", path, headers)
        return answer.status, await answer.read()

    def _tell(self, name: str, well: bool, reason: str, message: str) -> None:
        wanted = {"type": "Available", "status": "True" if well else "False", "reason": reason, "message": message}

        def work(tx: Transaction) -> None:
            entry = tx.get(RESOURCE, "", name)
            obj = entry.obj() if entry else {}
            if "service" not in obj.get("spec", {}):
                return
            conditions = (obj.get("status") or {}).get("conditions") or []
            present: Obj = next((each for each in conditions if each["type"] == "Available"), {})
            if {key: present.get(key) for key in wanted} == wanted:
                return
            since = present.get("lastTransitionTime") if present.get("status") == wanted["status"] else now()
            rest = [each for each in conditions if each["type"] != "Available"]
            obj["status"] = {"conditions": [*rest, {**wanted, "lastTransitionTime": since}]}
            tx.put(RESOURCE, "", name, obj)

        try:
            self.context.store.transact(work)
        except (ApiError, Contended, sqlite3.Error) as error:
            log.warning("%s: %s", name, error)

    # -- carrying on

    def _target(self, remote: Remote, verified: bool = True) -> Target:
        """Raises a 404 or a 503 for a Service without endpoints."""
        service = remote.spec["service"]
        namespace, name, port = service.get("namespace", ""), service.get("name", ""), service.get("port") or 443
        entry = self.context.store.get(kinds.SERVICES.storage, namespace, name)
        spec = entry.obj()["spec"] if entry else {}
        if spec.get("type") == "ExternalName":
            target = Target(spec.get("externalName") or "", port)
        else:
            target = service_target(self.context, namespace, name, str(port))
        return replace(target, tls=self._tls(remote, verified), service=True, name=f"{name}.{namespace}.svc")

    def _tls(self, remote: Remote, verified: bool) -> ssl.SSLContext:
        bundle = remote.spec.get("caBundle")
        data = base64.b64decode(bundle).decode() if bundle else None
        context = client_context(cadata=data)
        if not verified or remote.spec.get("insecureSkipTLSVerify"):
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        config = self.context.config
        context.load_cert_chain(config.proxy_certificate, config.proxy_key)
        return context

    async def carry(self, request: Request, remote: Remote) -> None:
        """Send a request on to the server that serves it, and its answer back."""
        if not remote.available:
            raise PlainError(503, "service unavailable")
        try:
            target = self._target(remote)
        except ApiError:
            raise PlainError(503, "service unavailable") from None
        query = f"?{request.scope['query_string'].decode('latin-1')}" if request.scope["query_string"] else ""
        path = request.scope["raw_path"].decode("latin-1") + query
        headers = [
            (key, value)
            for key, value in request.scope["headers"]
            if not key.startswith((b"impersonate-", b"x-remote-")) and key != b"authorization"
        ]
        headers += _identity(request.user)
        if "halab.upgrade" in request.scope["extensions"]:
            await forward.tunnel(request, target, path, _identity(request.user))
            return
        body = body_of(request) if b"content-length" in request.headers or b"transfer-encoding" in request.headers else None
        try:
            answer = await forward.stream(target, request.method, path, headers, body)
        except ApiError as error:
            raise PlainError(503, error.message) from None
        await forward.copy_answer(request, answer)


def _kinds(remote: Remote) -> list[Kind]:
    found: list[Kind] = []
    by_name: dict[str, list[Subresource]] = {}
    for entry in remote.resources:
        parent, slash, name = entry["name"].partition("/")
        if slash:
            types = entry.get("kind", ""), entry.get("group", ""), entry.get("version", "")
            by_name.setdefault(parent, []).append(Subresource(name, tuple(entry.get("verbs") or ()), *types))
    for entry in remote.resources:
        if "/" not in entry["name"]:
            found.append(
                Kind(
                    remote.group,
                    remote.version,
                    entry.get("kind", ""),
                    entry["name"],
                    entry.get("singularName", ""),
                    bool(entry.get("namespaced")),
                    tuple(entry.get("shortNames") or ()),
                    tuple(entry.get("categories") or ()),
                    tuple(entry.get("verbs") or ()),
                    tuple(by_name.get(entry["name"], ())),
                    stored=False,
                )
            )
    return found


def _is_available(obj: Obj) -> bool:
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return any(each["type"] == "Available" and each["status"] == "True" for each in conditions)


def _serves(slice_: Obj, port: str) -> bool:
    ready = any((each.get("conditions") or {}).get("ready") is not False for each in slice_.get("endpoints") or ())
    return ready and any((each.get("name") or "") == port for each in slice_.get("ports") or ())


def _identity(user: User) -> list[tuple[bytes, bytes]]:
    """Who asks, in the headers that ``extension-apiserver-authentication`` names."""
    headers = [(b"x-remote-user", user.name.encode())]
    headers += [(b"x-remote-group", group.encode()) for group in user.groups]
    for key, values in user.extra.items():
        headers += [(b"x-remote-extra-" + quote(key.lower(), safe="").encode(), value.encode()) for value in values]
    return headers
