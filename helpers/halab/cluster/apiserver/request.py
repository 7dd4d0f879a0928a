"""One request as the handlers see it: what is asked for (Kubernetes' RequestInfo), by whom, and the answer's value."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

import orjson

from halab.aio.http import Message, Receive, Scope, Send
from halab.cluster.apiserver.admission.reviews import Reviews
from halab.cluster.apiserver.names import new_uid
from halab.cluster.kube import status
from halab.cluster.kube.kinds import Kind

MAX_BODY = 3 * 1024 * 1024  # Kubernetes' limit of a request body, bytes
PIECE = (
    256 * 1024
)  # a long answer is written in pieces, each waiting for room, so that one reader does not hold it all in buffers

JSON = b"application/json"
TEXT = b"text/plain; charset=utf-8"


@dataclass(slots=True)
class User:
    """Who asks. ``extra`` holds lists of strings (credential ids, the pod of a bound token)."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: dict[str, list[str]] = field(default_factory=dict)


def _nothing() -> None:
    return


ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))


class PlainError(Exception):
    """A failure that Kubernetes answers in plain text."""

    def __init__(self, code: int, text: str) -> None:
        self.code = code
        super().__init__(text)


class Request:
    """``verb`` is Kubernetes' (get, list, watch, create, update, patch, delete, deletecollection), or the lower-case HTTP method for a
    path that is no resource. ``kind`` is None until the registry knows it."""

    __slots__ = (
        "_params",
        "audit_id",
        "audit_object",
        "body",
        "detached",
        "finished",
        "flow",
        "group",
        "headers",
        "is_resource",
        "kind",
        "method",
        "name",
        "namespace",
        "path",
        "receive",
        "resource",
        "reviews",
        "scope",
        "send",
        "status",
        "subpath",
        "subresource",
        "user",
        "verb",
        "version",
        "warnings",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.receive = receive
        self.send = send
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.audit_id = self.headers.get(b"audit-id") or new_uid().encode()
        self.user = ANONYMOUS
        self.is_resource = False
        self.group = self.version = self.resource = self.namespace = self.name = self.subresource = self.subpath = ""
        self.verb = self.method.lower()
        self.kind: Kind | None = None
        self.body = b""
        self.warnings: list[str] = []
        self.status = 0
        self.audit_object: Any = None
        self.detached = False  # the answer goes on though the handler has returned
        self.finished: Callable[[], None] = _nothing  # to be called at the end of a detached answer
        self.reviews = Reviews()
        self.flow: tuple[tuple[bytes, bytes], ...] = ()  # headers that name the request's flow
        self._params: dict[str, list[str]] | None = None

    # -- parameters and headers

    @property
    def params(self) -> dict[str, list[str]]:
        """All query parameters."""
        if self._params is None:
            found: dict[str, list[str]] = {}
            query = self.scope["query_string"].decode("utf-8", "replace")
            for name, value in parse_qsl(query, keep_blank_values=True, errors="replace"):
                found.setdefault(name, []).append(value)
            self._params = found
        return self._params

    def param(self, name: str, default: str = "") -> str:
        """The first value of a query parameter."""
        if not self.scope["query_string"]:
            return default
        values = self.params.get(name)
        return values[0] if values else default

    def flag(self, name: str) -> bool:
        """A boolean parameter as Kubernetes reads it: absent, "false" and "0" are false, anything else is true."""
        values = self.params.get(name)
        return bool(values) and values is not None and values[0].lower() not in ("false", "0")

    def integer(self, name: str) -> int | None:
        """A number parameter; None if absent or empty. Raises a 400."""
        text = self.param(name)
        if not text:
            return None
        try:
            return int(text)
        except ValueError:
            raise status.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None

    def header(self, name: bytes) -> str:
        return self.headers.get(name, b"").decode("utf-8", "replace")

    def header_values(self, name: bytes) -> list[str]:
        return [value.decode("utf-8", "replace") for key, value in self.scope["headers"] if key == name]

    # -- what it is about

    def route(self) -> None:
        """Read verb, group, version, namespace, resource, name and subresource from method and path."""
        raw: bytes = self.scope["raw_path"]
        parts = [unquote(part) for part in raw.decode("latin-1").split("/") if part]
        if len(parts) >= 3 and parts[0] == "api":
            self.group, self.version, rest = "", parts[1], parts[2:]
        elif len(parts) >= 4 and parts[0] == "apis":
            self.group, self.version, rest = parts[1], parts[2], parts[3:]
        else:
            return
        self.is_resource = True
        watch = False
        if rest[0] in ("watch", "proxy") and len(rest) > 1:  # the deprecated prefix
            watch = rest[0] == "watch"
            rest = rest[1:]
        if rest[0] == "namespaces" and len(rest) > 1:
            self.namespace = rest[1]
            if len(rest) > 2 and rest[2] not in ("status", "finalize"):
                rest = rest[2:]
        elif rest[0] == "namespaces":
            pass
        self.resource = rest[0]
        self.name = rest[1] if len(rest) > 1 else ""
        self.subresource = rest[2] if len(rest) > 2 else ""
        self.subpath = "/".join(rest[3:])
        self.verb = {"POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}.get(
            self.method, self.method.lower()
        )
        if not self.name:
            if self.verb == "get":
                self.verb = "watch" if watch or self.flag("watch") else "list"
            elif self.verb == "delete":
                self.verb = "deletecollection"
        elif watch:
            self.verb = "watch"

    def slim(self) -> None:
        """Let go of all but what the audit log asks for at the end: an idle watch should cost little."""
        self.headers = {b"user-agent": self.headers.get(b"user-agent", b"")}
        self.scope = {"query_string": self.scope["query_string"], "client": self.scope["client"], "headers": ()}
        self._params = None
        del self.receive, self.send

    # -- the body

    async def read_body(self) -> bytes:
        """The whole body. Raises 413 beyond MAX_BODY and ConnectionResetError if the client left."""
        pieces: list[bytes] = []
        size = 0
        if int(self.headers.get(b"content-length") or 0) > MAX_BODY:
            raise status.too_large(f"limit is {MAX_BODY}")
        while True:
            message: Message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ConnectionResetError("the client left")
            size += len(message["body"])
            if size > MAX_BODY:
                raise status.too_large(f"limit is {MAX_BODY}")
            pieces.append(message["body"])
            if not message["more_body"]:
                self.body = b"".join(pieces) if len(pieces) > 1 else pieces[0]
                return self.body

    # -- the answer

    def start(
        self, code: int, content_type: bytes, length: int | None = None, more: Iterable[tuple[bytes, bytes]] = ()
    ) -> Message:
        headers = [(b"audit-id", self.audit_id), (b"cache-control", b"no-cache, private"), *self.flow, *more]
        if content_type:
            headers.insert(0, (b"content-type", content_type))
        if length is not None:
            headers.append((b"content-length", b"%d" % length))
        for warning in self.warnings:
            text = warning.replace("\\", "\\\\").replace('"', '\\"')
            headers.append((b"warning", f'299 - "{text}"'.encode()))
        self.status = code
        return {"type": "http.response.start", "status": code, "headers": headers}

    async def answer(self, code: int, body: bytes, content_type: bytes = JSON, more: Iterable[tuple[bytes, bytes]] = ()) -> None:
        await self.send(self.start(code, content_type, len(body), more))
        if len(body) <= PIECE:
            await self.send({"type": "http.response.body", "body": body})
            return
        view = memoryview(body)
        for at in range(0, len(body), PIECE):
            await self.send(
                {"type": "http.response.body", "body": bytes(view[at : at + PIECE]), "more_body": at + PIECE < len(body)}
            )

    async def answer_json(self, code: int, value: Any, content_type: bytes = JSON) -> None:
        await self.answer(code, orjson.dumps(value) + b"\n", content_type)

    async def answer_error(self, error: status.ApiError) -> None:
        more = [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]
        await self.answer(error.code, orjson.dumps(error.status()) + b"\n", JSON, more)
