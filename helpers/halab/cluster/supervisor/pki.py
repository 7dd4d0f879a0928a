"""A certificate authority of its own for each cluster, and one serving certificate for all its components.

Elliptic keys (P-256) because they are made in a millisecond. The authority's key stays in the cluster's directory (0600): it is
the cluster's owner who could misuse it, and the authority is trusted by that owner's kubeconfig alone.
"""

from __future__ import annotations

import datetime
from ipaddress import IPv4Address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from halab.cluster.supervisor.files import private_directory, write_private
from halab.settings import MAX_NODES, ClusterConfig

LIFETIME = datetime.timedelta(days=3650)
BACKDATED = datetime.timedelta(hours=24)  # a machine's clock may step back after the certificate was made


def create(config: ClusterConfig) -> None:
    """Write ``pki/``: ``ca.crt``, ``ca.key``, ``server.crt``, ``server.key``, ``sa.key``, ``kubelet-client.crt``,
    ``kubelet-client.key``, ``front-proxy-ca.crt``, ``front-proxy-client.crt``, ``front-proxy-client.key``. Files that exist are kept."""
    folder = private_directory(config.directory / "pki")
    if not config.service_account_key.exists():
        write_private(config.service_account_key, _pem(_new_key()))
    if not (config.proxy_authority.exists() and config.proxy_certificate.exists() and config.proxy_key.exists()):
        _write_front_proxy(config)
    if config.ca_file.exists() and config.certificate.exists() and config.key.exists():
        if not (config.kubelet_certificate.exists() and config.kubelet_key.exists()):  # made by a version that had none
            authority = x509.load_pem_x509_certificate(config.ca_file.read_bytes())
            authority_key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
            assert isinstance(authority_key, ec.EllipticCurvePrivateKey)
            _write_kubelet_client(config, authority, authority_key)
        return
    authority_key = _new_key()
    authority = _authority(config.name, authority_key)
    key = _new_key()
    certificate = _serving(config, key, authority, authority_key)
    write_private(folder / "ca.key", _pem(authority_key))
    write_private(config.ca_file, authority.public_bytes(serialization.Encoding.PEM))
    _write_kubelet_client(config, authority, authority_key)
    write_private(config.key, _pem(key))
    write_private(config.certificate, certificate.public_bytes(serialization.Encoding.PEM))


def _write_kubelet_client(config: ClusterConfig, authority: x509.Certificate, authority_key: ec.EllipticCurvePrivateKey) -> None:
    key = _new_key()
    subject = x509.Name([
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:masters"),
        x509.NameAttribute(NameOID.COMMON_NAME, "kube-apiserver-kubelet-client"),
    ])  # fmt: skip
    certificate = _leaf(subject, key, authority, authority_key, [ExtendedKeyUsageOID.CLIENT_AUTH]).sign(
        authority_key, hashes.SHA256()
    )
    write_private(config.kubelet_key, _pem(key))
    write_private(config.kubelet_certificate, certificate.public_bytes(serialization.Encoding.PEM))


def _write_front_proxy(config: ClusterConfig) -> None:
    """A certificate of an authority of its own, whose key nobody keeps: nobody else can ever speak for users."""
    authority_key, key = _new_key(), _new_key()
    authority = _authority("front-proxy-ca", authority_key)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "front-proxy-client")])
    certificate = _leaf(subject, key, authority, authority_key, [ExtendedKeyUsageOID.CLIENT_AUTH]).sign(
        authority_key, hashes.SHA256()
    )
    write_private(config.proxy_authority, authority.public_bytes(serialization.Encoding.PEM))
    write_private(config.proxy_key, _pem(key))
    write_private(config.proxy_certificate, certificate.public_bytes(serialization.Encoding.PEM))


def names(config: ClusterConfig) -> tuple[list[str], list[str]]:
    """The DNS names and the addresses that the serving certificate is good for; nodes to come are included."""
    service = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"]
    addresses = config.addresses
    fixed = [addresses.api, addresses.api_in_pods, addresses.ingress, addresses.kubernetes_service, addresses.dns]
    nodes = [place(index) for index in range(MAX_NODES) for place in (addresses.node, addresses.kubelet)]
    return ["localhost", *service], list(dict.fromkeys(fixed + nodes))


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _authority(name: str, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"halab {name}"[:64])])
    return (
        _builder(subject, subject, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )


def _serving(
    config: ClusterConfig, key: ec.EllipticCurvePrivateKey, authority: x509.Certificate, authority_key: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "halab cluster")])
    dns, addresses = names(config)
    alternatives = [x509.DNSName(name) for name in dns] + [x509.IPAddress(IPv4Address(text)) for text in addresses]
    uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    return (
        _leaf(subject, key, authority, authority_key, uses)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .sign(authority_key, hashes.SHA256())
    )


def _leaf(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    uses: list[x509.ObjectIdentifier],
) -> x509.CertificateBuilder:
    return (
        _builder(subject, authority.subject, key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
    )
