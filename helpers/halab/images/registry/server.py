"""The registry's HTTP side: an ASGI application for ``halab.aio.http`` (plain HTTP on loopback, which every client takes as insecure-but-local).

Storage does small file operations in place; hashing a finished upload runs in a thread. A request without a place in the protocol gets a readable
error, as all failures do: ``{"errors": [{"code", "message", "detail"}]}``.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from halab.aio.http import Receive, Scope, Send
from halab.images.registry.storage import RegistryError, Storage

log = logging.getLogger("halab.registry")

_CHUNK = 1 << 18
_MANIFEST_LIMIT = 4 * 1024 * 1024
_ROUTES = (
    (re.compile(r"/v2/(?P<name>.+)/blobs/uploads/?\Z"), "uploads"),
    (re.compile(r"/v2/(?P<name>.+)/blobs/uploads/(?P<ident>[^/]+)\Z"), "upload"),
    (re.compile(r"/v2/(?P<name>.+)/blobs/(?P<digest>[^/]+)\Z"), "blob"),
    (re.compile(r"/v2/(?P<name>.+)/manifests/(?P<reference>[^/]+)\Z"), "manifest"),
    (re.compile(r"/v2/(?P<name>.+)/tags/list\Z"), "tags"),
    (re.compile(r"/v2/(?P<name>.+)/referrers/(?P<digest>[^/]+)\Z"), "referrers"),
    (re.compile(r"/v2/_catalog\Z"), "catalog"),
    (re.compile(r"/v2/?\Z"), "base"),
)


class Registry:
    """``await registry(scope, receive, send)``. ``root`` keeps everything; two servers must not share it."""

    def __init__(self, root: Path) -> None:
        self.storage = Storage(root)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        try:
            await self._route(request)
        except RegistryError as error:
            body = (
                json.dumps({"errors": [{"code": error.code, "message": error.message, "detail": error.detail}]}).encode() + b"\n"
            )
            await request.drain()
            await request.answer(error.status, body, {"content-type": "application/json"})
        log.info("%s %s %s", request.method, request.path, request.status)

    async def _route(self, request: Request) -> None:
        for pattern, name in _ROUTES:
            if match := pattern.match(request.path):
                handler: Callable[..., Awaitable[None]] = getattr(self, f"_{name}")
                await handler(request, **match.groupdict())
                return
        raise RegistryError(404, "UNSUPPORTED", f"there is nothing at {request.path}: this is an OCI registry, see /v2/_catalog")

    def _allow(self, request: Request, *methods: str) -> None:
        if request.method not in methods:
            raise RegistryError(405, "UNSUPPORTED", f"{request.method} is not supported here; use {' or '.join(methods)}")

    async def _base(self, request: Request) -> None:
        self._allow(request, "GET", "HEAD")
        await request.json(200, {})

    async def _catalog(self, request: Request) -> None:
        self._allow(request, "GET")
        await request.json(200, {"repositories": self.storage.catalog()})

    async def _tags(self, request: Request, name: str) -> None:
        self._allow(request, "GET")
        tags = self.storage.tags(name)
        last = request.query.get("last", "")
        tags = [tag for tag in tags if tag > last]
        if request.query.get("n", "").isdigit():
            tags = tags[: int(request.query["n"])]
        await request.json(200, {"name": name, "tags": tags})

    async def _referrers(self, request: Request, name: str, digest: str) -> None:
        self._allow(request, "GET")
        del name, digest
        await request.json(200, {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []})

    async def _manifest(self, request: Request, name: str, reference: str) -> None:
        self._allow(request, "GET", "HEAD", "PUT", "DELETE")
        if request.method == "PUT":
            data = b""
            async for part in request.body():
                data += part
                if len(data) > _MANIFEST_LIMIT:
                    raise RegistryError(413, "MANIFEST_INVALID", "the manifest is larger than 4 MiB")
            kind = request.headers.get("content-type", "").partition(";")[0]
            manifest = self.storage.put_manifest(name, reference, data, kind)
            location = {"location": f"/v2/{name}/manifests/{manifest.digest}", "docker-content-digest": manifest.digest}
            await request.answer(201, b"", location)
        elif request.method == "DELETE":
            self.storage.delete_manifest(name, reference)
            await request.answer(202, b"")
        else:
            manifest = self.storage.manifest(name, reference)
            headers = {
                "content-type": manifest.media_type,
                "docker-content-digest": manifest.digest,
                "etag": f'"{manifest.digest}"',
            }
            await request.answer(200, manifest.data, headers)

    async def _blob(self, request: Request, name: str, digest: str) -> None:
        self._allow(request, "GET", "HEAD", "DELETE")
        path = self.storage.blob(name, digest)
        if request.method == "DELETE":
            raise RegistryError(405, "UNSUPPORTED", "blobs are kept as long as the registry: delete the manifest")
        size = path.stat().st_size
        headers = {"content-type": "application/octet-stream", "docker-content-digest": digest, "accept-ranges": "bytes"}
        first, last, status = 0, size - 1, 200
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
        if wanted and size:
            first, last, status = int(wanted[1]), min(int(wanted[2] or last), last), 206
            if first > last:
                raise RegistryError(416, "SIZE_INVALID", f"the blob has {size} bytes")
            headers["content-range"] = f"bytes {first}-{last}/{size}"
        await request.file(status, path, first, last - first + 1, headers)

    async def _uploads(self, request: Request, name: str) -> None:
        self._allow(request, "POST")
        source, digest = request.query.get("from", ""), request.query.get("mount", "")
        if digest and source and self.storage.mount(name, digest, source):
            await request.answer(201, b"", {"location": f"/v2/{name}/blobs/{digest}", "docker-content-digest": digest})
            return
        ident = self.storage.begin(name)
        if request.query.get("digest"):
            await self._receive(request, ident)
            await self._finish(request, name, ident)
            return
        await request.drain()
        headers = {"location": f"/v2/{name}/blobs/uploads/{ident}", "docker-upload-uuid": ident, "range": "0-0"}
        await request.answer(202, b"", headers)

    async def _upload(self, request: Request, name: str, ident: str) -> None:
        self._allow(request, "PATCH", "PUT", "GET", "DELETE")
        path = self.storage.upload(ident)
        location = {"location": f"/v2/{name}/blobs/uploads/{ident}", "docker-upload-uuid": ident}
        if request.method == "DELETE":
            path.unlink()
            await request.answer(204, b"")
        elif request.method == "PUT":
            await self._receive(request, ident)
            await self._finish(request, name, ident)
        else:
            if request.method == "PATCH":
                await self._receive(request, ident)
            size = path.stat().st_size
            await request.answer(202 if request.method == "PATCH" else 204, b"", location | {"range": f"0-{max(size - 1, 0)}"})

    async def _receive(self, request: Request, ident: str) -> None:
        """Append the body to the upload; a chunk must continue where the last one ended."""
        path = self.storage.upload(ident)
        begin = re.match(r"(\d+)-", request.headers.get("content-range", "").removeprefix("bytes "))
        if begin and int(begin[1]) != path.stat().st_size:
            raise RegistryError(
                416, "BLOB_UPLOAD_INVALID", f"the chunk begins at {begin[1]}, the upload has {path.stat().st_size} bytes"
            )
        with path.open("ab") as out:
            async for part in request.body():
                out.write(part)

    async def _finish(self, request: Request, name: str, ident: str) -> None:
        digest = request.query.get("digest", "")
        await asyncio.to_thread(self.storage.finish, name, ident, digest)
        await request.answer(201, b"", {"location": f"/v2/{name}/blobs/{digest}", "docker-content-digest": digest})


class Request:
    """One exchange, over ASGI's callables."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query = {key: values[-1] for key, values in parse_qs(scope.get("query_string", b"").decode()).items()}
        self.headers = {key.decode().lower(): value.decode("latin-1") for key, value in scope["headers"]}
        self.status = 0
        self._receive, self._send = receive, send
        self._done = False

    async def body(self) -> Any:
        while not self._done:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ConnectionResetError("the client is gone")
            self._done = not message.get("more_body", False)
            if message.get("body"):
                yield message["body"]

    async def drain(self) -> None:
        async for _ in self.body():
            pass

    async def _start(self, status: int, size: int, headers: dict[str, str]) -> None:
        self.status = status
        complete = {"docker-distribution-api-version": "registry/2.0", "content-length": str(size)} | headers
        pairs = [(key.encode(), value.encode()) for key, value in complete.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": pairs})

    async def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        await self._start(status, len(body), headers or {})
        await self._send({"type": "http.response.body", "body": b"" if self.method == "HEAD" else body})

    async def json(self, status: int, value: Any) -> None:
        await self.answer(status, json.dumps(value).encode() + b"\n", {"content-type": "application/json"})

    async def file(self, status: int, path: Path, first: int, size: int, headers: dict[str, str]) -> None:
        await self._start(status, size, headers)
        if self.method == "HEAD":
            await self._send({"type": "http.response.body", "body": b""})
            return
        with path.open("rb") as source:
            source.seek(first)
            left = size
            while left > 0:
                data = source.read(min(_CHUNK, left))
                left -= len(data)
                await self._send({"type": "http.response.body", "body": data, "more_body": left > 0})
        if not size:
            await self._send({"type": "http.response.body", "body": b""})
