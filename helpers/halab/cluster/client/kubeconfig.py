"""Reads a kubeconfig: where the API server is and how to prove who one is.

Supported: a bearer token (``token``, ``tokenFile``), client certificates, programs that give credentials (``exec``), a CA,
``insecure-skip-tls-verify``, ``tls-server-name``. Refused with the way out: auth providers (gone from Kubernetes since 1.26), passwords
(since 1.19), proxies, impersonation. Neighbours: ``kubeconfig_files`` finds and merges the files, ``credentials`` holds what changes.
"""

from __future__ import annotations

import base64
import binascii
import ssl
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from halab.aio.tls import client_context
from halab.cluster.client import kubeconfig_files
from halab.cluster.client.credentials import Credential, Source, TokenFile, plugin_of
from halab.errors import UsageError

Document = dict[str, Any]
REFUSED = {
    "auth-provider": "the auth-provider plug-in, which Kubernetes gave up: renew the kubeconfig with the cloud's program (an exec entry)",
    "username": "a password, which API servers have not taken since 1.19: use a token or a client certificate",
    "as": "impersonation, which halab does not do: use credentials of your own",
}


@dataclass(frozen=True)
class Access:
    """``server`` is a URL, ``tls`` None for plain HTTP, ``ca`` the PEM text of the cluster's CA (empty if not given).

    ``token`` and ``tls`` are what is used where there is no ``source`` of credentials that change; ``login`` gives what is to be used now.
    """

    server: str
    token: str
    tls: ssl.SSLContext | None
    ca: str = ""
    namespace: str = "default"
    server_name: str = ""
    source: Source | None = None
    _made: dict[Credential, ssl.SSLContext] = field(default_factory=dict, compare=False, repr=False)
    _verify: bool = True

    async def login(self) -> tuple[Credential, ssl.SSLContext | None]:
        """Raises HalabError where no credential is to be had."""
        if self.source is None:
            return Credential(self.token), self.tls
        credential = await self.source.current()
        return credential, self.context_for(credential)

    def context_for(self, credential: Credential) -> ssl.SSLContext | None:
        """A TLS context with the credential's certificate: the same one for the same credential, so that connections can be kept."""
        if self.tls is None or not credential.certificate:
            return self.tls
        if credential not in self._made:
            self._made.clear()
            context = tls_context(ca_data=self.ca, verify=self._verify)
            _load_client_certificate(context, credential.certificate)
            self._made[credential] = context
        return self._made[credential]


def tls_context(ca_file: Path | str | None = None, ca_data: str = "", *, verify: bool = True) -> ssl.SSLContext:
    context = client_context(cafile=ca_file, cadata=ca_data)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _bytes(entry: Document, key: str) -> bytes:
    """The value of ``key-data`` (base64), else the content of the file ``key``."""
    if data := entry.get(f"{key}-data"):
        try:
            return base64.b64decode(data, validate=False)
        except binascii.Error as error:
            raise UsageError("kubeconfig", f"{key}-data is not base64", "look at: kubectl config view --raw") from error
    return kubeconfig_files.content(str(entry[key])) if entry.get(key) else b""


def load(path: Path | str = "", context: str | None = None) -> Access:
    """The server and credentials of ``context`` (default: the current one); ``path`` as in ``kubeconfig_files.read``. Raises UsageError."""
    return access_of(kubeconfig_files.read(path), context or "")


def access_of(document: Document, context: str = "") -> Access:
    _, chosen = kubeconfig_files.context_of(document, context)
    name = str(chosen.get("user") or "")
    cluster = kubeconfig_files.entry_of(document, "clusters", str(chosen.get("cluster") or ""))
    user = kubeconfig_files.entry_of(document, "users", name) if name else {}
    for key, why in REFUSED.items():
        if user.get(key):
            raise UsageError("kubeconfig", f"user {name!r} needs {why}")
    server = str(cluster.get("server") or "http://localhost:8080")
    if cluster.get("proxy-url"):
        fact = f"reaches {server} through the proxy {cluster['proxy-url']}, which halab does not"
        raise UsageError("kubeconfig", fact, "use one without proxy-url, or forward the port: ssh -L")
    tls, ca, verify = None, b"", not cluster.get("insecure-skip-tls-verify")
    certificate = _certificate(user)
    if server.startswith("https:"):
        ca = _bytes(cluster, "certificate-authority")
        try:
            tls = tls_context(ca_data=ca.decode(), verify=verify)
        except (ssl.SSLError, UnicodeDecodeError) as error:
            raise UsageError("kubeconfig", f"its certificate-authority is no certificate: {error}", "get a new one") from error
        if certificate:
            _load_client_certificate(tls, certificate)
    token = str(user.get("token") or "")
    return Access(
        server,
        token,
        tls,
        ca.decode(),
        chosen.get("namespace") or "default",
        str(cluster.get("tls-server-name") or ""),
        _source(name, user, server, cluster, ca),
        _verify=verify,
    )


def _source(name: str, user: Document, server: str, cluster: Document, ca: bytes) -> Source | None:
    """What gives credentials that change. As in kubectl, a token's file wins over a token, and a token over a program."""
    if user.get("tokenFile"):
        file = TokenFile(Path(user["tokenFile"]))
        file.read()
        return file
    if user.get("token") or not user.get("exec"):
        return None
    told: Document = {"server": server}
    if ca:
        told["certificate-authority-data"] = base64.b64encode(ca).decode()
    told |= {key: cluster[key] for key in ("tls-server-name", "insecure-skip-tls-verify") if cluster.get(key)}
    for extension in cluster.get("extensions") or ():
        if extension.get("name") == "client.authentication.k8s.io/exec":
            told["config"] = extension.get("extension")
    return plugin_of(name, user["exec"], told)


def _certificate(user: Document) -> bytes:
    certificate, key = _bytes(user, "client-certificate"), _bytes(user, "client-key")
    if bool(certificate) != bool(key):
        lacks = "client-key" if certificate else "client-certificate"
        raise UsageError("kubeconfig", f"has a client certificate or key, but no {lacks}", "get a new one")
    return certificate + b"\n" + key if certificate else b""


def _load_client_certificate(tls: ssl.SSLContext, pem: bytes) -> None:
    """The ssl module reads certificates from files only; the file is private and lives for this call."""
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        file.write(pem)
        file.flush()
        try:
            tls.load_cert_chain(file.name)
        except ssl.SSLError as error:
            raise UsageError(
                "client certificate", f"cannot be used: {error}", "do certificate and key belong together?"
            ) from error
