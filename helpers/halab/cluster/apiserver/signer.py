"""Signs approved certificate signing requests for clients of the API, as the controller manager's signers do.

Signer names that are not Kubernetes' own are somebody else's business. The authority's key is the cluster's; it is read when the first
certificate is to be signed.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from halab.cluster.apiserver.names import now
from halab.cluster.kube import kinds
from halab.cluster.kube.validation.certificates import parse
from halab.cluster.store.cache import Event
from halab.cluster.store.store import Store, Transaction
from halab.settings import ClusterConfig

Obj = dict[str, Any]
log = logging.getLogger("halab.signer")
RESOURCE = kinds.CERTIFICATE_SIGNING_REQUESTS.storage
CLIENT = "kubernetes.io/kube-apiserver-client"
KUBELET = "kubernetes.io/kube-apiserver-client-kubelet"
ALLOWED = frozenset({"digital signature", "key encipherment", "client auth"})
YEAR = 365 * 24 * 3600
BACKDATED = timedelta(minutes=5)


class Signer:
    """Follows the stored requests."""

    def __init__(self, store: Store, config: ClusterConfig) -> None:
        self.store = store
        self.config = config
        collection = store.collection(RESOURCE)
        self._stop = collection.watch("", self._changed)
        for entry in collection.select():
            self._look(entry.name, entry.obj())

    def close(self) -> None:
        self._stop()

    def _changed(self, event: Event) -> None:
        if not event.deleted:
            self._look(event.new.name, event.new.obj())

    def _look(self, name: str, request: Obj) -> None:
        if _waits(request):
            asyncio.get_running_loop().call_soon(self._sign, name)

    def _sign(self, name: str) -> None:
        def work(tx: Transaction) -> None:
            entry = tx.get(RESOURCE, "", name)
            request = entry.obj() if entry else {}
            if not _waits(request):
                return
            state = request.setdefault("status", {})
            try:
                state["certificate"] = base64.b64encode(self.certificate(request["spec"])).decode()
            except ValueError as error:
                failed = {"type": "Failed", "status": "True", "reason": "SignerValidationFailure", "message": str(error)}
                failed |= {"lastUpdateTime": now(), "lastTransitionTime": now()}
                state["conditions"] = [*(state.get("conditions") or ()), failed]
            tx.put(RESOURCE, "", name, request)

        try:
            self.store.transact(work)
        except Exception:  # the next change of the request brings it here again
            log.exception("certificate signing request %s", name)

    def certificate(self, spec: Obj) -> bytes:
        """The certificate (PEM) that a request's spec asks for. Raises ValueError."""
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.x509.oid import ExtendedKeyUsageOID

        usages = set(spec.get("usages") or ())
        if not usages <= ALLOWED or "client auth" not in usages:
            raise ValueError(f"usages did not match {sorted(ALLOWED)}")
        asked = parse(spec.get("request") or "")
        directory = self.config.ca_file.parent
        key: Any = serialization.load_pem_private_key((directory / "ca.key").read_bytes(), None)
        authority = x509.load_pem_x509_certificate(self.config.ca_file.read_bytes())
        start = datetime.now(UTC)
        seconds = min(spec.get("expirationSeconds") or YEAR, YEAR)
        encipherment = "key encipherment" in usages
        certificate = (
            x509.CertificateBuilder()
            .subject_name(asked.subject)
            .issuer_name(authority.subject)
            .public_key(asked.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start - BACKDATED)
            .not_valid_after(start + timedelta(seconds=seconds))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                x509.KeyUsage(
                    digital_signature=True, key_encipherment=encipherment, content_commitment=False, data_encipherment=False,
                    key_agreement=False, key_cert_sign=False, crl_sign=False, encipher_only=False, decipher_only=False,
                ),
                critical=True,
            )
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )  # fmt: skip
        return bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _waits(request: Obj) -> bool:
    """Approved, not refused, not signed yet, and ours to sign."""
    state = request.get("status") or {}
    found = {condition["type"] for condition in state.get("conditions") or () if condition.get("status") == "True"}
    ours = (request.get("spec") or {}).get("signerName") in (CLIENT, KUBELET)
    return ours and "Approved" in found and not found & {"Denied", "Failed"} and not state.get("certificate")
