"""What is served beside resources: discovery, version, health, OpenAPI, metrics."""

from __future__ import annotations

import asyncio
import hashlib
import platform
import time
from collections.abc import Callable, Iterable
from typing import Any

import orjson

from halab.cluster.apiserver import health, render
from halab.cluster.apiserver.aggregation import Aggregator
from halab.cluster.apiserver.context import Context, UnknownPath
from halab.cluster.apiserver.request import TEXT, Request
from halab.cluster.apiserver.tokens import ISSUER
from halab.cluster.kube import discovery, status
from halab.cluster.kube.kinds import Kind
from halab.settings import API_PORT, KUBERNETES_MINOR, KUBERNETES_VERSION

_IMMUTABLE = [(b"cache-control", b"public, immutable, max-age=31536000")]  # a URL with a hash never means anything else


class Documents:
    """Answers the paths that are no resources. Documents are kept until the kinds change."""

    def __init__(self, context: Context, aggregator: Aggregator) -> None:
        self.context = context
        self.aggregator = aggregator
        self._kept: dict[Any, bytes] = {}
        self._generation = (-1, -1)

    def _kinds(self) -> list[Kind]:
        """Everything that discovery names: what is served here, and what aggregated servers serve."""
        others = self.aggregator.kinds()
        taken = {(kind.group, kind.version) for kind in others}
        return [kind for kind in self.context.registry.all() if (kind.group, kind.version) not in taken] + others

    async def answer(self, request: Request) -> None:
        """Raises UnknownPath."""
        path = request.path.rstrip("/") or "/"
        if request.method not in ("GET", "HEAD"):
            if path == "/" or path.startswith(("/api", "/version", "/openapi")):
                raise status.method_not_allowed()
            raise UnknownPath
        if path == "/version":
            await request.answer(200, self._json("version", _version), b"application/json")
        elif path in ("/healthz", "/livez", "/readyz") or path.startswith(("/healthz/", "/livez/", "/readyz/")):
            await self._health(request, path)
        elif path == "/":
            await request.answer_json(200, {"paths": self._paths()})
        elif path == "/api" or path == "/apis" or path.startswith(("/api/", "/apis/")):
            await self._discovery(request, path)
        elif path.startswith("/openapi"):
            await self._openapi(request, path)
        elif path == "/openid/v1/jwks":
            await request.answer_json(
                200, {"keys": [self.context.authenticator.tokens.public_jwk()]}, b"application/jwk-set+json"
            )
        elif path == "/.well-known/openid-configuration":
            await request.answer_json(200, self._issuer())
        elif path == "/metrics":
            await request.answer(200, await asyncio.to_thread(self._metrics), b"text/plain; version=0.0.4; charset=utf-8")
        else:
            raise UnknownPath

    # -- keeping

    def _json(self, key: Any, make: Callable[[], Any]) -> bytes:
        generation = (self.context.registry.generation, self.aggregator.generation)
        if self._generation != generation:
            self._kept.clear()
            self._generation = generation
        body = self._kept.get(key)
        if body is None:
            made = make()
            if made is None:
                raise UnknownPath
            body = self._kept[key] = orjson.dumps(made) + b"\n"
        return body

    # -- discovery

    async def _discovery(self, request: Request, path: str) -> None:
        kinds = self._kinds
        parts = path.strip("/").split("/")
        if len(parts) == 1:
            wanted = _aggregated(request)
            if wanted is not None:
                version, content_type = wanted
                core = parts[0] == "api"
                body = self._json(("all", core, version), lambda: discovery.aggregated(kinds(), core=core, version=version))
                await _tagged(request, body, content_type.encode(), _tag(body), [(b"vary", b"Accept")])
                return
        form = render.negotiate(request)
        server = f"{self.context.config.addresses.api}:{API_PORT}"
        match parts:
            case ["api"]:
                body = self._json("api", lambda: discovery.api_versions(server))
            case ["apis"]:
                body = self._json("apis", lambda: discovery.group_list(kinds()))
            case ["api", version]:
                body = self._json(("", version), lambda: discovery.resource_list(kinds(), "", version))
            case ["apis", group]:
                body = self._json(("group", group), lambda: discovery.group(kinds(), group))
            case ["apis", group, version]:
                body = self._json((group, version), lambda: discovery.resource_list(kinds(), group, version))
            case _:
                raise UnknownPath
        if form.yaml or form.pretty:
            await request.answer(200, *render.finish(body, form))
        else:
            await request.answer(200, body, b"application/json", [(b"vary", b"Accept")] if len(parts) == 1 else ())

    def _paths(self) -> list[str]:
        groups = {(kind.group, kind.version) for kind in self._kinds()}
        named = {f"/apis/{group}" for group, _ in groups if group} | {
            f"/apis/{group}/{version}" for group, version in groups if group
        }
        return sorted(
            {"/api", "/api/v1", "/apis", "/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/readyz", "/version"}
            | named
        )

    def _issuer(self) -> dict[str, Any]:
        return {
            "issuer": ISSUER,
            "jwks_uri": f"{self.context.config.server}/openid/v1/jwks",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        }

    # -- OpenAPI

    async def _openapi(self, request: Request, path: str) -> None:
        from halab.cluster.kube import openapi

        kinds = self.context.registry.all()
        if path == "/openapi/v2":
            protobuf = b"proto-openapi" in request.headers.get(b"accept", b"")
            body, content_type = await asyncio.to_thread(openapi.v2, kinds, protobuf)
            await _tagged(request, body, content_type, await asyncio.to_thread(_tag, body))
        elif path == "/openapi/v3":
            body = self._json("openapi", lambda: self._index(openapi.index(kinds)))
            await _tagged(request, body, TEXT, _tag(body))
        elif path.startswith("/openapi/v3/"):
            await self._group_document(request, path.removeprefix("/openapi/v3/"))
        else:
            raise UnknownPath

    def _index(self, own: dict[str, Any]) -> dict[str, Any]:
        """The index of the OpenAPI documents, with those of aggregated servers."""
        for remote in self.aggregator.remotes():
            if remote.openapi:
                path = f"apis/{remote.group}/{remote.version}"
                own["paths"][path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={_tag(remote.openapi)}"}
        return own

    async def _group_document(self, request: Request, group: str) -> None:
        """The document of one version of a group. A URL with the hash of another content leads to the one of today."""
        from halab.cluster.kube import openapi

        kinds = self.context.registry.all()
        for remote in self.aggregator.remotes():
            if remote.openapi and group == f"apis/{remote.group}/{remote.version}":
                await _tagged(request, remote.openapi, b"application/json", _tag(remote.openapi))
                return
        place = orjson.loads(self._json("openapi", lambda: self._index(openapi.index(kinds))))["paths"].get(group)
        if place is None:
            raise UnknownPath
        url: str = place["serverRelativeURL"]
        tag, asked = url.partition("hash=")[2], request.param("hash")
        if asked and asked != tag:
            text = f'<a href="{url}">Moved Permanently</a>.\n\n'
            await request.answer(301, text.encode(), b"text/html; charset=utf-8", [(b"location", url.encode())])
            return
        body = await asyncio.to_thread(openapi.document, kinds, group)
        if body is None:
            raise UnknownPath
        await _tagged(request, body, b"application/json", tag, _IMMUTABLE if asked else ())

    # -- health and metrics

    async def _health(self, request: Request, path: str) -> None:
        endpoint, _, name = path.strip("/").partition("/")
        self.context.store.sync()
        if name and name not in health.checks(endpoint):
            raise UnknownPath
        body = b"ok"
        if not name and "verbose" in request.params:
            body = health.report(endpoint, request.params.get("exclude", [])).encode()
        await request.answer(200, body, TEXT, [(b"x-content-type-options", b"nosniff")])

    def _metrics(self) -> bytes:
        context = self.context
        lines = ["# HELP apiserver_request_total Counter of apiserver requests by verb, group, version, resource and code.",
                 "# TYPE apiserver_request_total counter"]  # fmt: skip
        for (verb, group, version, resource, code), count in sorted(context.counts.items()):
            lines.append(
                f'apiserver_request_total{{code="{code}",group="{group}",resource="{resource}",verb="{verb}",version="{version}"}} {count}'
            )
        lines += ["# HELP apiserver_storage_objects Number of stored objects.", "# TYPE apiserver_storage_objects gauge"]
        for resource, number in sorted(context.store.sizes().items()):
            lines.append(f'apiserver_storage_objects{{resource="{resource}"}} {number}')
        lines += ["# TYPE process_start_time_seconds gauge", f"process_start_time_seconds {context.started:.3f}"]
        lines += ["# TYPE process_cpu_seconds_total counter", f"process_cpu_seconds_total {time.process_time():.3f}", ""]
        return "\n".join(lines).encode()


def _tag(body: bytes) -> str:
    return hashlib.sha512(body).hexdigest().upper()


async def _tagged(request: Request, body: bytes, content_type: bytes, tag: str, more: Iterable[tuple[bytes, bytes]] = ()) -> None:
    """Answer with an ETag; a client that has this content already is told so (304)."""
    quoted = f'"{tag}"'
    headers = [(b"etag", quoted.encode()), *more]
    known = [part.strip().removeprefix("W/") for part in request.header(b"if-none-match").split(",")]
    if quoted in known or "*" in known:
        await request.answer(304, b"", b"", headers)
        return
    await request.answer(200, body, content_type, headers)


def _aggregated(request: Request) -> tuple[str, str] | None:
    """(version, content type) of aggregated discovery, if the client prefers it."""
    for clause in request.header(b"accept").split(","):
        parts = {part.strip() for part in clause.split(";")}
        if "as=APIGroupDiscoveryList" in parts and "g=apidiscovery.k8s.io" in parts and "application/json" in parts:
            if "v=v2" in parts:
                return "v2", discovery.AGGREGATED_V2
            if "v=v2beta1" in parts:
                return "v2beta1", discovery.AGGREGATED_V2BETA1
        elif parts == {"application/json"}:
            return None
    return None


def _version() -> dict[str, str]:
    major, _, minor = KUBERNETES_MINOR.partition(".")
    return {
        "major": major,
        "minor": minor,
        "emulationMajor": major,
        "emulationMinor": minor,
        "minCompatibilityMajor": major,
        "minCompatibilityMinor": str(int(minor) - 1),
        "gitVersion": KUBERNETES_VERSION,
        "gitCommit": "halab",
        "gitTreeState": "clean",
        "buildDate": "2026-01-01T00:00:00Z",
        "goVersion": f"python{platform.python_version()}",
        "compiler": "cpython",
        "platform": f"linux/{ {'x86_64': 'amd64', 'aarch64': 'arm64'}.get(platform.machine(), platform.machine()) }",
    }
