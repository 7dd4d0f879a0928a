"""Certificate signing requests: what is refused, what an update keeps, how they are listed."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from halab.cluster.kube import kinds
from halab.cluster.kube.strategy import prepare_update
from halab.cluster.kube.table import table
from halab.cluster.kube.validation import certificates


def asked(**subject: str) -> str:
    names = {"CN": x509.NameOID.COMMON_NAME, "O": x509.NameOID.ORGANIZATION_NAME}
    name = x509.Name([x509.NameAttribute(names[key], value) for key, value in subject.items()])
    made = (
        x509.CertificateSigningRequestBuilder().subject_name(name).sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    )
    return base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()


def request(**spec: Any) -> dict[str, Any]:
    sound = {"request": asked(CN="ann"), "signerName": "kubernetes.io/kube-apiserver-client", "usages": ["client auth"]}
    return {"metadata": {"name": "r"}, "spec": {**sound, **spec}, "status": {}}


def faults(obj: dict[str, Any]) -> list[str]:
    errors: list[Any] = []
    certificates.request(errors, obj)
    return [str(error) for error in errors]


def test_a_sound_request_has_no_faults() -> None:
    assert faults(request()) == []


def test_each_fault_is_named() -> None:
    found = faults(request(request="eHg=", signerName="foo", expirationSeconds=5, usages=["client auth", "client auth"]))
    assert found == [
        'spec.request: Invalid value: "eHg=": PEM block type must be CERTIFICATE REQUEST',
        'spec.usages[1]: Duplicate value: "client auth"',
        "spec.signerName: Invalid value: \"foo\": must be a fully qualified domain and path of the form 'example.com/signer-name'",
        "spec.expirationSeconds: Invalid value: 5: may not specify a duration less than 600 seconds (10 minutes)",
    ]


def test_an_approval_changes_decisions_only_and_cannot_be_taken_back() -> None:
    approved = {"type": "Approved", "status": "True"}
    new = request(signerName="other.io/x") | {"status": {"conditions": [approved, {"type": "Failed", "status": "True"}]}}
    prepare_update(kinds.CERTIFICATE_SIGNING_REQUESTS, new, request(), "approval")
    assert new["spec"]["signerName"] == "kubernetes.io/kube-apiserver-client"
    assert new["status"]["conditions"] == [approved]
    errors: list[Any] = []
    certificates.request_update(errors, request(), request() | {"status": {"conditions": [approved]}})
    assert [str(error) for error in errors] == [
        'status.conditions: Forbidden: updates may not remove a condition of type "Approved"'
    ]
    both = request() | {"status": {"conditions": [approved, {"type": "Denied", "status": "True"}]}}
    assert faults(both) == [
        'status.conditions[1].type: Invalid value: "Denied": Approved and Denied conditions are mutually exclusive'
    ]


def test_the_table_tells_how_far_a_request_is() -> None:
    obj = request(expirationSeconds=86400, username="ann")
    obj["status"] = {"conditions": [{"type": "Approved", "status": "True"}], "certificate": "eA=="}
    cells = table(kinds.CERTIFICATE_SIGNING_REQUESTS, [obj], "None", datetime.now(UTC))["rows"][0]["cells"]
    assert cells[2:] == ["kubernetes.io/kube-apiserver-client", "ann", "24h", "Approved,Issued"]
