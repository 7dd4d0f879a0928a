"""Reads a kubeconfig: where the API server is and how to prove who one is.

Supported: a bearer token (``token``, ``tokenFile``), client certificates, a CA or ``insecure-skip-tls-verify``. Exec plug-ins and
auth providers are refused with the way out, since halab starts no foreign program on its own.
"""

from __future__ import annotations

import base64
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from halab.errors import UsageError


@dataclass(frozen=True)
class Access:
    """``server`` is a URL, ``tls`` None for plain HTTP, ``ca`` the PEM text of the cluster's CA (empty if not given)."""

    server: str
    token: str
    tls: ssl.SSLContext | None
    ca: str = ""
    namespace: str = "default"


def tls_context(ca_file: Path | str | None = None, ca_data: str = "", *, verify: bool = True) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None, cadata=ca_data or None)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _named(entries: list[dict[str, Any]], name: str, what: str, path: Path) -> dict[str, Any]:
    for entry in entries or []:
        if entry.get("name") == name:
            found: dict[str, Any] = entry.get(what) or {}
            return found
    raise UsageError(f"kubeconfig {path}", f"has no {what} named {name!r}", "look at: kubectl config view")


def _bytes(entry: dict[str, Any], key: str, folder: Path) -> bytes:
    """The value of ``key-data`` (base64), else the content of the file ``key`` (relative to the kubeconfig's folder)."""
    if data := entry.get(f"{key}-data"):
        return base64.b64decode(data)
    if name := entry.get(key):
        return (folder / str(name)).read_bytes()
    return b""


def load(path: Path | str, context: str | None = None) -> Access:
    """The server and credentials of ``context`` (default: the current one). Raises UsageError."""
    path = Path(path)
    try:
        document: dict[str, Any] = yaml.safe_load(path.read_text()) or {}
    except OSError as exc:
        raise UsageError(f"kubeconfig {path}", f"cannot be read: {exc.strerror}", "give another --kubeconfig") from exc
    chosen = _named(document.get("contexts", []), context or document.get("current-context", ""), "context", path)
    cluster = _named(document.get("clusters", []), chosen.get("cluster", ""), "cluster", path)
    user = _named(document.get("users", []), chosen.get("user", ""), "user", path)
    for plugin in ("exec", "auth-provider"):
        if plugin in user:
            raise UsageError(
                f"kubeconfig {path}",
                f"user {chosen.get('user')!r} needs the {plugin} plug-in",
                "use a token or a client certificate",
            )
    token = str(user.get("token") or "")
    if not token and user.get("tokenFile"):
        token = (path.parent / user["tokenFile"]).read_text().strip()
    server = str(cluster.get("server", "http://localhost:8080"))
    tls, ca = None, b""
    if server.startswith("https:"):
        ca = _bytes(cluster, "certificate-authority", path.parent)
        tls = tls_context(ca_data=ca.decode(), verify=not cluster.get("insecure-skip-tls-verify"))
        if certificate := _bytes(user, "client-certificate", path.parent):
            _load_client_certificate(tls, certificate + b"\n" + _bytes(user, "client-key", path.parent))
    return Access(server, token, tls, ca.decode(), chosen.get("namespace") or "default")


def _load_client_certificate(tls: ssl.SSLContext, pem: bytes) -> None:
    """The ssl module reads certificates from files only; the file is private and lives for this call."""
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        file.write(pem)
        file.flush()
        tls.load_cert_chain(file.name)
