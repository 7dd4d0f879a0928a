"""Certificates from Secrets of type ``kubernetes.io/tls``, checked before Envoy sees them: one bad Secret would cost a whole listener."""

from __future__ import annotations

import base64
import binascii
import os
import ssl
from collections.abc import Callable

from halab.cluster.dataplane.model import Mutual
from halab.cluster.kube.types import Obj

Pair = tuple[str, str]


def pair_of(secret: Obj) -> Pair | None:
    """PEM chain and key, or None where they are missing, malformed or do not belong together."""
    data = secret.get("data") or {}
    try:
        chain = base64.b64decode(data.get("tls.crt") or "").decode()
        key = base64.b64decode(data.get("tls.key") or "").decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (chain, key) if chain and key and belongs(chain, key) else None


def belongs(chain: str, key: str) -> bool:
    """Whether OpenSSL takes the two as a pair. They are shown to it in memory: no key touches the disk here."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    descriptor = os.memfd_create("pair", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, f"{chain}\n{key}\n".encode())
        context.load_cert_chain(f"/proc/self/fd/{descriptor}", password=lambda: "")
    except (ssl.SSLError, OSError):
        return False
    finally:
        os.close(descriptor)
    return True


def authority_of(secret: Obj) -> str:
    """The PEM certificates of ``ca.crt``, empty where there is none or OpenSSL does not take them."""
    try:
        text = base64.b64decode((secret.get("data") or {}).get("ca.crt") or "").decode()
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=text or " ")
    except (binascii.Error, UnicodeDecodeError, ssl.SSLError, ValueError):
        return ""
    return text


class Certificates:
    """Pairs by Secret, each checked once a version. ``secret`` looks one up in the informer's cache."""

    def __init__(self, secret: Callable[[str, str], Obj | None]) -> None:
        self._secret = secret
        self._checked: dict[tuple[str, str], tuple[str, Pair | None]] = {}

    def get(self, namespace: str, name: str) -> Pair | None:
        secret = self._secret(namespace, name)
        if secret is None:
            self._checked.pop((namespace, name), None)
            return None
        version = secret["metadata"].get("resourceVersion", "")
        known = self._checked.get((namespace, name))
        if known is None or known[0] != version:
            known = self._checked[(namespace, name)] = (version, pair_of(secret))
        return known[1]

    def mutual(self, namespace: str, name: str) -> Mutual | None:
        """The pair and the authority (``ca.crt``) of a Secret, None while any of the three is missing or unusable."""
        pair, secret = self.get(namespace, name), self._secret(namespace, name)
        authority = authority_of(secret) if secret is not None else ""
        return Mutual(*pair, authority) if pair is not None and authority else None
