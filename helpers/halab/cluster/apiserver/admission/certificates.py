"""CertificateSigningRequests: who asked is written by the server; who may approve and sign is a right of its own."""

from __future__ import annotations

from typing import Any

from halab.cluster.apiserver.admission.attributes import Attributes
from halab.cluster.apiserver.names import now
from halab.cluster.kube import kinds
from halab.cluster.kube.validation.certificates import parse

Obj = dict[str, Any]
CLIENT = "kubernetes.io/kube-apiserver-client"
MASTERS = "system:masters"


def mutate(attributes: Attributes) -> None:
    if attributes.kind is not kinds.CERTIFICATE_SIGNING_REQUESTS:
        return
    if attributes.operation == "CREATE":
        user, spec = attributes.user, attributes.obj.setdefault("spec", {})
        for field in ("uid", "extra"):
            spec.pop(field, None)
        spec |= {"username": user.name, "groups": list(user.groups)}
        if user.uid:
            spec["uid"] = user.uid
        if user.extra:
            spec["extra"] = user.extra
    for condition in (attributes.obj.get("status") or {}).get("conditions") or ():
        for field in ("lastUpdateTime", "lastTransitionTime"):
            if not condition.get(field):
                condition[field] = now()


def validate(attributes: Attributes) -> None:
    """Raises a 403."""
    if attributes.kind is not kinds.CERTIFICATE_SIGNING_REQUESTS:
        return
    spec = attributes.obj.get("spec") or {}
    signer = spec.get("signerName", "")
    if attributes.operation == "CREATE" and signer == CLIENT:
        try:
            subject = parse(spec.get("request") or "").subject
        except ValueError:
            return  # validation says so
        if any(part.value == MASTERS for part in subject if part.rfc4514_attribute_name == "O"):
            raise attributes.forbidden(f"use of {CLIENT} signer with {MASTERS} group is not allowed")
    elif attributes.operation == "UPDATE" and attributes.subresource == "approval":
        _may(attributes, "approve", signer)
    elif attributes.operation == "UPDATE" and attributes.subresource == "status":
        before, after = (attributes.old or {}).get("status") or {}, attributes.obj.get("status") or {}
        if before.get("certificate") != after.get("certificate"):
            _may(attributes, "sign", signer)


def _may(attributes: Attributes, verb: str, signer: str) -> None:
    if MASTERS in attributes.user.groups:
        return
    for name in (signer, signer.partition("/")[0] + "/*"):
        question = {"verb": verb, "group": "certificates.k8s.io", "resource": "signers", "name": name}
        if attributes.decide(question)[0]:
            return
    raise attributes.forbidden(f'user not permitted to {verb} requests with signerName "{signer}"')
