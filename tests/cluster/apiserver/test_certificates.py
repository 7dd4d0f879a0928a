"""A client that shows a certificate which the cluster signed is who the certificate says."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cluster.api_process import Server
from halab.cluster.client.client import Client
from halab.cluster.kube import kinds
from halab.settings import API_PORT

CSR = kinds.CERTIFICATE_SIGNING_REQUESTS


async def _who(server: Server, context: ssl.SSLContext) -> Any:
    reader, writer = await asyncio.open_connection(server.config.addresses.api, API_PORT, ssl=context)
    body = b'{"kind":"SelfSubjectReview","apiVersion":"authentication.k8s.io/v1"}'
    head = f"POST /apis/authentication.k8s.io/v1/selfsubjectreviews HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    writer.write(head.encode() + b"Connection: close\r\n\r\n" + body)
    answer = await reader.read()
    writer.close()
    return json.loads(answer.partition(b"\r\n\r\n")[2])


async def test_an_approved_request_becomes_a_certificate_that_authenticates(
    client: Client, server: Server, tmp_path: Path
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [x509.NameAttribute(x509.NameOID.COMMON_NAME, "ann"), x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "ops")]
    )
    asked = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(name)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    spec = {
        "request": base64.b64encode(asked).decode(),
        "signerName": "kubernetes.io/kube-apiserver-client",
        "usages": ["client auth"],
    }
    made = await client.create(CSR, {"metadata": {"name": "ann"}, "spec": spec})
    assert made["spec"]["username"] == "kubernetes-admin" and made["status"] == {}
    made["status"] = {"conditions": [{"type": "Approved", "status": "True", "reason": "Test", "message": "yes"}]}
    await client.update(CSR, made, subresource="approval")
    async with asyncio.timeout(10):
        async for _, obj in client.watch(CSR, field_selector="metadata.name=ann"):
            if certificate := obj["status"].get("certificate"):
                break
    pem = tmp_path / "ann.pem"
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    pem.write_bytes(base64.b64decode(certificate) + private)
    context = ssl.create_default_context(cafile=str(server.config.ca_file))
    context.load_cert_chain(pem)
    user = (await _who(server, context))["status"]["userInfo"]
    assert (user["username"], user["groups"]) == ("ann", ["ops", "system:authenticated"])
    assert user["extra"]["authentication.kubernetes.io/credential-id"][0].startswith("X509SHA256=")
