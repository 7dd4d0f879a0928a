"""Rules of certificate signing requests."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from halab.cluster.kube.status import duplicate, forbidden_field, invalid_value, not_supported, required
from halab.cluster.kube.types import Obj
from halab.cluster.kube.validation import names
from halab.cluster.kube.validation.meta import Errors, metadata, metadata_update

USAGES = (
    "any", "cert sign", "client auth", "code signing", "content commitment", "crl sign", "data encipherment", "decipher only",
    "digital signature", "email protection", "encipher only", "ipsec end system", "ipsec tunnel", "ipsec user", "key agreement",
    "key encipherment", "microsoft sgc", "netscape sgc", "ocsp signing", "s/mime", "server auth", "signing", "timestamping",
)  # fmt: skip
LEGACY = "kubernetes.io/legacy-unknown"
SHORTEST = 600


def _no_rule(name: str) -> tuple[str, ...]:
    return ()


def parse(text: str) -> Any:
    """The PKCS#10 request in the base64 of a PEM block. Raises ValueError with Kubernetes' words."""
    from cryptography import x509

    try:
        pem = base64.b64decode(text)
    except binascii.Error:
        pem = b""
    if b"-----BEGIN CERTIFICATE REQUEST-----" not in pem:
        raise ValueError("PEM block type must be CERTIFICATE REQUEST")
    try:
        found = x509.load_pem_x509_csr(pem)
    except ValueError:
        raise ValueError("asn1: structure error: tags don't match") from None
    if not found.is_signature_valid:
        raise ValueError("x509: ECDSA verification failure")
    return found


def request(errors: Errors, obj: Obj) -> None:
    metadata(errors, obj["metadata"], False, _no_rule)
    spec = obj["spec"]
    try:
        parse(spec.get("request") or "")
    except ValueError as error:
        errors.append(invalid_value("spec.request", spec.get("request") or "", str(error)))
    usages = spec.get("usages") or []
    if not usages:
        errors.append(required("spec.usages"))
    errors += [not_supported(f"spec.usages[{i}]", usage, USAGES) for i, usage in enumerate(usages) if usage not in USAGES]
    errors += [duplicate(f"spec.usages[{i}]", usage) for i, usage in enumerate(usages) if usage in usages[:i]]
    _signer(errors, spec.get("signerName") or "")
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < SHORTEST:
        detail = "may not specify a duration less than 600 seconds (10 minutes)"
        errors.append(invalid_value("spec.expirationSeconds", seconds, detail))
    _conditions(errors, (obj.get("status") or {}).get("conditions") or [])


def _signer(errors: Errors, name: str) -> None:
    path = "spec.signerName"
    if name == LEGACY:
        errors.append(invalid_value(path, name, "the legacy signerName is not allowed via this API version"))
    elif not name:
        errors.append(required(path))
    elif name.count("/") != 1:
        errors.append(
            invalid_value(path, name, "must be a fully qualified domain and path of the form 'example.com/signer-name'")
        )
    else:
        domain, _, rest = name.partition("/")
        if names.subdomain(domain):
            errors.append(invalid_value(path, domain, f"validating label {domain!r}: " + ",".join(names.subdomain(domain))))
        elif "." not in domain:
            errors.append(invalid_value(path, domain, "should be a domain with at least two segments separated by dots"))
        if names.subdomain(rest):
            errors.append(invalid_value(path, rest, ",".join(names.subdomain(rest))))


def _conditions(errors: Errors, conditions: list[Obj]) -> None:
    seen: set[str] = set()
    for index, condition in enumerate(conditions):
        path, kind, state = f"status.conditions[{index}]", condition.get("type") or "", condition.get("status") or ""
        if not kind:
            errors.append(required(f"{path}.type"))
        if not state:
            errors.append(required(f"{path}.status"))
        elif kind in ("Approved", "Denied", "Failed") and state != "True":
            errors.append(not_supported(f"{path}.status", state, ["True"]))
        elif state not in ("True", "False", "Unknown"):
            errors.append(not_supported(f"{path}.status", state, ["False", "True", "Unknown"]))
        if kind in seen:
            errors.append(duplicate(f"{path}.type", kind))
        opposite = {"Approved": "Denied", "Denied": "Approved"}.get(kind)
        if opposite in seen:
            errors.append(invalid_value(f"{path}.type", kind, "Approved and Denied conditions are mutually exclusive"))
        seen.add(kind)


def request_update(errors: Errors, new: Obj, old: Obj) -> None:
    metadata_update(errors, new["metadata"], old["metadata"])
    request(errors, new)
    kept = {condition.get("type") for condition in (new.get("status") or {}).get("conditions") or ()}
    for condition in (old.get("status") or {}).get("conditions") or ():
        kind = condition.get("type")
        if kind in ("Approved", "Denied", "Failed") and kind not in kept:
            errors.append(forbidden_field("status.conditions", f'updates may not remove a condition of type "{kind}"'))
