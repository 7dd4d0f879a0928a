"""``proxy`` of pods, services and nodes: HTTP to what runs there, through the API server (``kubectl proxy``, ``kubectl get --raw``)."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from halab.cluster.apiserver import forward
from halab.cluster.apiserver.context import Context
from halab.cluster.apiserver.forward import Answer, Target
from halab.cluster.apiserver.nodes import node_target
from halab.cluster.apiserver.request import Request
from halab.cluster.apiserver.subresources.rewriting import CORS, rewritten, rewritten_page
from halab.cluster.kube import kinds, status
from halab.cluster.kube.kinds import Kind

Obj = dict[str, Any]


async def proxy(context: Context, request: Request, kind: Kind) -> None:
    context.store.sync()
    scheme, name, port = _split(request.name)
    match kind:
        case kinds.PODS:
            target = _pod(context, request.namespace, name, port)
        case kinds.SERVICES:
            target = service_target(context, request.namespace, name, port, request.name)
        case _:
            target = node_target(context.store, context.config, name)
    if scheme == "https" and kind is not kinds.NODES:
        target = replace(target, tls=_unverified())
    target = replace(target, service=True)
    raw: bytes = request.scope["raw_path"]
    before = 6 if kind is kinds.NODES else 8  # /api/v1/nodes/NAME/proxy/..., /api/v1/namespaces/NAMESPACE/pods/NAME/proxy/...
    parts = raw.split(b"/", before)
    prefix = b"/".join(parts[:before]).decode("latin-1")
    query = f"?{request.scope['query_string'].decode('latin-1')}" if request.scope["query_string"] else ""
    path = f"/{parts[before].decode('latin-1')}" if len(parts) > before else "/"
    if "halab.upgrade" in request.scope["extensions"]:
        await forward.tunnel(request, target, path + query)
        return
    if len(parts) <= before and request.method in ("GET", "HEAD"):  # so that a page's relative links lead somewhere
        await request.answer(301, b"", b"", [(b"location", f"{prefix}/{query}".encode("latin-1"))])
        return
    body = body_of(request) if b"content-length" in request.headers or b"transfer-encoding" in request.headers else None
    answer = await forward.stream(target, request.method, path + query, _headers(request, prefix + path), body)
    _rewrite(answer, prefix, frozenset({f"{target.host}:{target.port}", request.header(b"host")}))
    await forward.copy_answer(request, answer)


def _headers(request: Request, path: str) -> list[tuple[bytes, bytes]]:
    """What the client sent, and what a proxy adds to it."""
    dropped = (b"x-forwarded-uri", b"x-forwarded-for")
    headers = [
        (key, value) for key, value in request.scope["headers"] if not key.startswith(b"impersonate-") and key not in dropped
    ]
    headers.append((b"x-forwarded-uri", path.encode("latin-1")))
    client = request.scope.get("client")
    way = [*request.header_values(b"x-forwarded-for"), *([client[0]] if client else [])]
    if way:
        headers.append((b"x-forwarded-for", ", ".join(way).encode("latin-1")))
    return headers


def _rewrite(answer: Answer, prefix: str, hosts: frozenset[str]) -> None:
    """Let redirects and a page's links lead through the proxy again."""
    answer.headers = [(name, value) for name, value in answer.headers if name not in CORS]
    if location := answer.header(b"location"):
        place = rewritten(location.decode("latin-1"), prefix, hosts).encode("latin-1")
        answer.headers = [(name, place if name == b"location" else value) for name, value in answer.headers]
    elif answer.header(b"content-type").partition(b";")[0].strip() == b"text/html" and not answer.header(b"content-encoding"):
        answer.pieces = rewritten_page(answer.pieces, prefix, hosts)


async def body_of(request: Request) -> AsyncIterator[bytes]:
    """The client's body as it comes."""
    more = True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ConnectionResetError("the client left")  # half a body must not pass for a whole one
        yield message["body"]
        more = message["more_body"]


def _split(name: str) -> tuple[str, str, str]:
    """``scheme:name:port``, ``name:port`` or ``name``. Raises a 400."""
    parts = name.split(":")
    match len(parts):
        case 1:
            return "", parts[0], ""
        case 2:
            return "", parts[0], parts[1]
        case 3 if parts[0] in ("http", "https", ""):
            return parts[0], parts[1], parts[2]
    raise status.bad_request(f'invalid service request "{name}"')


def _unverified() -> ssl.SSLContext:
    """What runs in pods has certificates of its own; Kubernetes does not check them here either."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _pod(context: Context, namespace: str, name: str, port: str) -> Target:
    entry = context.store.get(kinds.PODS.storage, namespace, name)
    if entry is None:
        raise status.not_found(kinds.PODS, name)
    pod = entry.obj()
    address = (pod.get("status") or {}).get("podIP")
    if not address:
        raise status.bad_request("address not allowed")
    ports = [p for container in pod["spec"].get("containers") or () for p in container.get("ports") or ()]
    number: int | None = None
    if not port:
        number = ports[0]["containerPort"] if ports else 80
    elif port.isdigit():
        number = int(port)
    else:
        number = next((p["containerPort"] for p in ports if p.get("name") == port), None)
    if number is None:
        raise status.bad_request(f'no such port "{port}" in pod {name}')
    return Target(address, context.config.port(number))


def service_target(context: Context, namespace: str, name: str, port: str, shown: str = "") -> Target:
    """A ready endpoint of the service's port (by name, or by the service's own number). Raises a 404 or a 503."""
    entry = context.store.get(kinds.SERVICES.storage, namespace, name)
    if entry is None:
        raise status.not_found(kinds.SERVICES, name)
    ports = entry.obj()["spec"].get("ports") or []
    if port.isdigit():
        chosen = next((p for p in ports if p["port"] == int(port)), None)
        if chosen is None:
            raise status.service_unavailable(f'no service port {port} found for service "{name}"')
        port = chosen.get("name", "")
    any_endpoint = False
    for slice_ in context.store.collection(kinds.ENDPOINT_SLICES.storage).select(namespace):
        if (slice_.labels or {}).get("kubernetes.io/service-name") != name:
            continue
        obj = slice_.obj()
        number = next((p["port"] for p in obj.get("ports") or () if p.get("name", "") == port), None)
        for endpoint in obj.get("endpoints") or ():
            any_endpoint = True
            if number is not None and (endpoint.get("conditions") or {}).get("ready") is not False:
                return Target(endpoint["addresses"][0], context.config.port(number))
    raise status.service_unavailable(f'no endpoints available for service "{shown or name if any_endpoint else name}"')
