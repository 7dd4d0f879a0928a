"""Calling admission webhooks: one HTTPS request each, with the configuration's own certificate authority.

The requests run in threads with the standard library's client: they are few, may be slow, and have nothing of the API server's loop.
"""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import socket
import ssl
from typing import Any
from urllib.parse import urlsplit

from halab.aio.tls import client_context
from halab.cluster.apiserver.admission.reviews import Answer, Call
from halab.cluster.kube import kinds
from halab.cluster.store.store import Store

Obj = dict[str, Any]
DEFAULT_SECONDS = 10
_LARGEST = 8 * 1024 * 1024  # bytes of an answer


async def ask(store: Store, call: Call) -> Answer:
    """What the webhook says. Never raises: a failure is an answer without response."""
    hook = call.hook
    seconds = hook.get("timeoutSeconds") or DEFAULT_SECONDS
    versions = hook.get("admissionReviewVersions") or ["v1"]
    version = next((v for v in versions if v in ("v1", "v1beta1")), "v1")
    review = {"kind": "AdmissionReview", "apiVersion": f"admission.k8s.io/{version}", "request": call.request}
    url, address = _target(store, hook.get("clientConfig") or {})
    url += f"?timeout={seconds}s"
    if address is None:
        return Answer(None, f'Post "{url}": {_missing(hook["clientConfig"])}')
    try:
        context = _context(hook["clientConfig"].get("caBundle"))
        given = await asyncio.wait_for(
            asyncio.to_thread(_post, url, address, context, json.dumps(review).encode(), float(seconds)), seconds + 1
        )
    except TimeoutError:
        return Answer(None, f'Post "{url}": context deadline exceeded')
    except ssl.SSLError as error:
        return Answer(None, f'Post "{url}": tls: failed to verify certificate: {error.reason or error}')
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Answer(None, f'Post "{url}": {_network_text(error, address)}')
    return _answer(given, call, version)


def _answer(given: tuple[int, bytes], call: Call, version: str) -> Answer:
    code, body = given
    if code != 200:
        return Answer(
            None,
            f"the server rejected our request for an unknown reason ({code})"
            if code < 500
            else f"an error on the server ({code})",
        )
    try:
        review = json.loads(body)
        response = review["response"]
    except (ValueError, KeyError, TypeError):
        return Answer(None, "webhook response is no AdmissionReview")
    if not isinstance(response, dict):
        return Answer(None, "webhook response attribute is nil")
    wanted = f"admission.k8s.io/{version}"
    if review.get("apiVersion") != wanted or review.get("kind") != "AdmissionReview":
        found = f"{review.get('apiVersion', '')}, Kind={review.get('kind', '')}"
        return Answer(
            None, f"received invalid webhook response: expected webhook response of {wanted}, Kind=AdmissionReview, got {found}"
        )
    if version == "v1" and response.get("uid") != call.request["uid"]:
        expected = f'expected response.uid="{call.request["uid"]}", got "{response.get("uid", "")}"'
        return Answer(None, f"received invalid webhook response: {expected}")
    return Answer(response)


def _target(store: Store, client: Obj) -> tuple[str, tuple[str, int] | None]:
    """(the URL that errors name, where to connect to; None if the service is not there)."""
    if url := client.get("url"):
        parts = urlsplit(url)
        return url, (parts.hostname or "", parts.port or 443)
    service = client.get("service") or {}
    name, namespace, port = service.get("name", ""), service.get("namespace", ""), service.get("port") or 443
    path = service.get("path") or "/"
    url = f"https://{name}.{namespace}.svc:{port}{path if path.startswith('/') else '/' + path}"
    entry = store.get(kinds.SERVICES.storage, namespace, name)
    spec = (entry.obj().get("spec") or {}) if entry else {}
    address = spec.get("clusterIP") or ""
    if not address or address == "None":
        return url, None
    return url, (address, port)


def _missing(client: Obj) -> str:
    return f'service "{(client.get("service") or {}).get("name", "")}" not found'


def _context(bundle: str | None) -> ssl.SSLContext:
    return client_context(cadata=base64.b64decode(bundle).decode() if bundle else None)


def _post(url: str, address: tuple[str, int], context: ssl.SSLContext, body: bytes, seconds: float) -> tuple[int, bytes]:
    parts = urlsplit(url)
    with (
        socket.create_connection(address, seconds) as plain,
        context.wrap_socket(plain, server_hostname=parts.hostname) as secure,
    ):
        secure.settimeout(seconds)
        connection = http.client.HTTPConnection(parts.netloc, timeout=seconds)
        connection.sock = secure
        connection.request(
            "POST", f"{parts.path}?{parts.query}", body, {"Content-Type": "application/json", "Accept": "application/json"}
        )
        response = connection.getresponse()
        return response.status, response.read(_LARGEST)


def _network_text(error: Exception, address: tuple[str, int]) -> str:
    where = f"dial tcp {address[0]}:{address[1]}"
    if isinstance(error, ConnectionRefusedError):
        return f"{where}: connect: connection refused"
    if isinstance(error, socket.gaierror):
        return f"dial tcp: lookup {address[0]}: no such host"
    return "EOF" if isinstance(error, http.client.RemoteDisconnected) else str(error)
