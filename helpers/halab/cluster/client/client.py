"""The Kubernetes API in Python's terms: kinds, objects (plain dicts), watches, and ``ApiError`` for a Status that says no.

Used by every component of the cluster. It knows nothing of caches (``informer.py``) or of what objects mean.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, urlencode, urlsplit

import orjson

from halab.cluster.client import kubeconfig
from halab.cluster.client.credentials import Credential
from halab.cluster.client.transport import Pool, Stream
from halab.cluster.kube.kinds import Kind
from halab.cluster.kube.status import ApiError, from_status
from halab.cluster.kube.types import Obj
from halab.settings import KUBERNETES_VERSION, ClusterConfig

PatchType = Literal["merge", "strategic", "json", "apply"]
PATCH_CONTENT_TYPES: dict[PatchType, str] = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",
}
JSON = "application/json"
WATCH_SECONDS = (300, 600)  # like client-go: each watch asks for a random length, so that not all reconnect at once
# The names under which the real components write; they are the managers in managedFields.
USER_AGENTS = {"system:kube-controller-manager": "kube-controller-manager", "system:kube-scheduler": "kube-scheduler"}


def user_agent_of(user: str) -> str:
    name = "kubelet" if user.startswith("system:node:") else USER_AGENTS.get(user, user.replace(":", "-"))
    return f"{name}/{KUBERNETES_VERSION} (halab)"


class Client:
    """An API client of one user.

    ``server`` is a URL. Methods raise ``ApiError`` for an answer of 400 or more and OSError or TimeoutError when there is no answer.
    ``namespace`` is left out (or None) for cluster-scoped kinds; for objects given whole, it is read from their metadata.
    """

    def __init__(
        self,
        server: str,
        token: str = "",
        ca_file: Path | str | None = None,
        *,
        user_agent: str = f"halab/{KUBERNETES_VERSION}",
        tls: Any = None,
        access: kubeconfig.Access | None = None,
    ) -> None:
        url = urlsplit(server)
        if url.scheme == "https" and tls is None:
            tls = kubeconfig.tls_context(ca_file)
        self.server = server
        self._prefix = url.path.rstrip("/")
        self.pool = Pool(
            url.hostname or "localhost",
            url.port or (443 if url.scheme == "https" else 80),
            tls if url.scheme == "https" else None,
            server_name=access.server_name if access is not None else "",
        )
        self._access = access if access is not None and access.source is not None else None
        self._headers = {"Accept": JSON, "User-Agent": user_agent}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"

    def use_token(self, token: str) -> None:
        """From the next request on: a pod's token is renewed while it runs."""
        self._headers["Authorization"] = f"Bearer {token}"

    @classmethod
    def from_config(cls, config: ClusterConfig, user: str) -> Client:
        """The client of ``user`` (a key of ``config.tokens``) of the embedded cluster."""
        return cls(config.server, config.tokens[user], config.ca_file, user_agent=user_agent_of(user))

    @classmethod
    def from_kubeconfig(
        cls, path: Path | str, context: str | None = None, *, user_agent: str = f"halab/{KUBERNETES_VERSION}"
    ) -> Client:
        return cls.from_access(kubeconfig.load(path, context), user_agent=user_agent)

    @classmethod
    def from_access(cls, access: kubeconfig.Access, *, user_agent: str = f"halab/{KUBERNETES_VERSION}") -> Client:
        return cls(access.server, access.token, user_agent=user_agent, tls=access.tls, access=access)

    # Requests

    async def _renewed(self, used: Credential | None = None) -> Credential | None:
        """The credential that the next request is sent with; ``used`` was refused. None where it never changes."""
        if self._access is None or self._access.source is None:
            return None
        if used is not None:
            self._access.source.refused(used)
        credential, tls = await self._access.login()
        if credential.token:
            self.use_token(credential.token)
        self.pool.use_tls(tls)
        return credential

    def _target(self, path: str, query: Mapping[str, Any] | None) -> str:
        pairs = {key: _text(value) for key, value in (query or {}).items() if value is not None}
        return self._prefix + path + (f"?{urlencode(pairs, quote_via=quote)}" if pairs else "")

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: bytes | Obj | list[Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 60.0,
    ) -> tuple[int, dict[str, str], bytes]:
        """Any request; the answer as it is, whatever its status. A dict or list is sent as JSON."""
        credential = await self._renewed() if self._access is not None else None
        extra: dict[str, str] = {}
        if body is not None and not isinstance(body, bytes):
            body = orjson.dumps(body)
            extra["Content-Type"] = "application/json"
        if headers:
            extra.update(headers)
        target = self._target(path, query)
        answer = await self.pool.request(method, target, {**self._headers, **extra}, body or b"", timeout=timeout)
        if answer[0] == 401 and credential is not None and await self._renewed(credential) != credential:
            return await self.pool.request(method, target, {**self._headers, **extra}, body or b"", timeout=timeout)
        return answer

    async def stream(
        self, method: str, path: str, *, query: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> Stream:
        """An answer that is read as it comes (logs, watches). Raises ApiError if it is refused."""
        credential = await self._renewed() if self._access is not None else None
        stream = await self.pool.stream(method, self._target(path, query), {**self._headers, **(headers or {})})
        if stream.status == 401 and credential is not None:  # whoever streams asks again by itself
            await self._renewed(credential)
        if stream.status >= 400:
            async with stream:
                raise error_of(stream.status, await stream.read())
        return stream

    async def _json(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Obj:
        status, _, data = await self.request(method, path, query=query, body=body, headers=headers)
        if status >= 400:
            raise error_of(status, data)
        answer: Obj = orjson.loads(data)
        return answer

    # Verbs

    async def get(self, kind: Kind, name: str, namespace: str | None = None, *, subresource: str | None = None) -> Obj:
        return await self._json("GET", kind.path(namespace, name, subresource))

    async def list(
        self,
        kind: Kind,
        namespace: str | None = None,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
        resource_version: str | None = None,
        metadata_only: bool = False,
    ) -> tuple[list[Obj], str]:
        """All objects (of one namespace, or of all) and the resourceVersion to watch from. Items get apiVersion and kind if they lack them."""
        query = {"labelSelector": label_selector, "fieldSelector": field_selector, "resourceVersion": resource_version}
        headers = (
            {"Accept": f"application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,{JSON}"} if metadata_only else None
        )
        answer = await self._json("GET", kind.path(namespace), query=query, headers=headers)
        items: list[Obj] = answer.get("items") or []
        if not metadata_only:
            for item in items:
                item.setdefault("apiVersion", kind.api_version)
                item.setdefault("kind", kind.kind)
        return items, answer["metadata"].get("resourceVersion", "")

    async def create(
        self, kind: Kind, obj: Obj, namespace: str | None = None, *, name: str | None = None, subresource: str | None = None
    ) -> Obj:
        """Create ``obj``; with ``name`` and ``subresource``, post to that subresource (binding, eviction, token)."""
        namespace = namespace or obj.get("metadata", {}).get("namespace")
        return await self._json("POST", kind.path(namespace, name, subresource), body=obj)

    async def update(self, kind: Kind, obj: Obj, *, subresource: str | None = None) -> Obj:
        meta = obj["metadata"]
        return await self._json("PUT", kind.path(meta.get("namespace"), meta["name"], subresource), body=obj)

    async def patch(
        self,
        kind: Kind,
        name: str,
        namespace: str | None,
        patch: Any,
        *,
        type: PatchType = "merge",
        subresource: str | None = None,
        field_manager: str | None = None,
        force: bool | None = None,
    ) -> Obj:
        return await self._json(
            "PATCH",
            kind.path(namespace, name, subresource),
            query={"fieldManager": field_manager, "force": force},
            body=orjson.dumps(patch),
            headers={"Content-Type": PATCH_CONTENT_TYPES[type]},
        )

    async def delete(
        self,
        kind: Kind,
        name: str,
        namespace: str | None = None,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
        grace_period_seconds: int | None = None,
        propagation_policy: Literal["Background", "Foreground", "Orphan"] | None = None,
    ) -> Obj:
        """Delete one object. With ``uid``, only if it is still that one (409 otherwise)."""
        options: Obj = {"apiVersion": "v1", "kind": "DeleteOptions"}
        preconditions = {key: value for key, value in (("uid", uid), ("resourceVersion", resource_version)) if value}
        if preconditions:
            options["preconditions"] = preconditions
        if grace_period_seconds is not None:
            options["gracePeriodSeconds"] = grace_period_seconds
        if propagation_policy:
            options["propagationPolicy"] = propagation_policy
        return await self._json("DELETE", kind.path(namespace, name), body=options)

    async def watch(
        self,
        kind: Kind,
        namespace: str | None = None,
        resource_version: str = "",
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
        metadata_only: bool = False,
    ) -> AsyncIterator[tuple[str, Obj]]:
        """Events (type, object) after ``resource_version`` until the server ends the watch. BOOKMARK events are passed on.

        Raises ApiError for an ERROR event (410 when the version is too old), OSError when the connection breaks.
        """
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": random.randint(*WATCH_SECONDS),
            "labelSelector": label_selector,
            "fieldSelector": field_selector,
        }
        headers = {"Accept": f"application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,{JSON}"} if metadata_only else None
        async with await self.stream("GET", kind.path(namespace), query=query, headers=headers) as stream:
            rest = b""
            async for data in stream.chunks():
                lines = (rest + data if rest else data).split(b"\n")
                rest = lines.pop()
                for line in lines:
                    if not line:
                        continue
                    event = orjson.loads(line)
                    if event["type"] == "ERROR":
                        raise error_of(int(event["object"].get("code") or 500), orjson.dumps(event["object"]))
                    yield event["type"], event["object"]

    def close(self) -> None:
        """Close the kept connections. Requests under way end on their own."""
        self.pool.close()


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def error_of(code: int, body: bytes) -> ApiError:
    """The ApiError that a server's answer stands for: its Status if it sent one, else one made of the plain text."""
    try:
        status = orjson.loads(body)
    except orjson.JSONDecodeError:
        status = None
    if not isinstance(status, dict):
        status = {"message": body.decode("utf-8", "replace").strip()}
    return from_status(status, code)
