"""The data plane as a pod of any cluster: Ingress and Gateway API only, on unprivileged ports, with its pod's own ServiceAccount.

Services, NodePorts and DNS are that cluster's own business. ``manifests/gateway.yaml`` of the backends runs this module.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from halab.cluster.client import Client
from halab.cluster.dataplane.controller import DataPlane, classes
from halab.cluster.kube.status import ApiError
from halab.settings import Addresses, ClusterConfig

log = logging.getLogger(__name__)

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
SHIFT = 8000  # 80 -> 8080, 443 -> 8443: ports that every user may bind
DAYS = 365


@dataclass(frozen=True, slots=True)
class PodAddresses(Addresses):
    """A pod listens everywhere and dials its cluster's addresses as they are."""

    @property
    def prefix(self) -> str:
        return "-"  # no address of this cluster begins so: none is shifted

    @property
    def ingress(self) -> str:
        return "0.0.0.0"


@dataclass(frozen=True, slots=True)
class PodConfig(ClusterConfig):
    """What the data plane needs of a configuration, for a cluster that has none of ours."""

    public: str = ""
    ports: tuple[tuple[int, int], ...] = ()  # (Kubernetes' port, where users find it)

    @property
    def addresses(self) -> Addresses:
        return PodAddresses(0)

    @property
    def published(self) -> str:
        return self.public

    def public_port(self, port: int) -> int:
        return dict(self.ports).get(port, port)


def config_for(directory: Path, published: str = "", http: int = 80, https: int = 443) -> PodConfig:
    """``published`` is the address that Ingresses and Gateways say they are found at; ``http`` and ``https`` are the ports there."""
    ports = ((80, http), (443, https))
    return PodConfig(
        "gateway", 0, directory, directory / "images", (), SHIFT, without=("services",), public=published, ports=ports
    )


def certificate(config: ClusterConfig) -> None:
    """A certificate of its own for hosts that bring none, as every Ingress controller has."""
    config.certificate.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "halab gateway: no certificate for this host")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=DAYS))
        .sign(key, hashes.SHA256())
    )
    config.certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    config.key.touch(0o600)
    form = serialization.PrivateFormat.PKCS8
    config.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))


def client() -> Client:
    """The API server as pods find it."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    host = f"[{host}]" if ":" in host else host
    return Client(
        f"https://{host}:{port}", (ACCOUNT / "token").read_text().strip(), ACCOUNT / "ca.crt", user_agent="halab-gateway"
    )


async def run(config: PodConfig, ready: Path) -> None:
    """Until cancelled. The file ``ready`` exists while Envoy serves: the pod's readiness probe looks for it."""
    config.logs.mkdir(parents=True, exist_ok=True)
    certificate(config)
    found = client()
    for kind, obj in classes():
        try:
            await found.create(kind, obj)
        except ApiError as error:
            if error.code not in (404, 409):
                log.warning("%s %s not created: %s", kind.kind, obj["metadata"]["name"], error)

    async def started() -> None:
        ready.touch()
        log.info("ready")

    refresh = asyncio.create_task(_renew(found))
    try:
        await DataPlane(found, config).run(started)
    finally:
        refresh.cancel()
        ready.unlink(missing_ok=True)


async def _renew(found: Client) -> None:
    """The kubelet renews the pod's token; read it again every minute."""
    while True:
        await asyncio.sleep(60)
        found.use_token((ACCOUNT / "token").read_text().strip())


async def _main() -> None:
    work = asyncio.current_task()
    assert work is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, work.cancel)
    directory = Path(os.environ.get("HALAB_HOME", "/tmp/halab")) / "gateway"
    directory.mkdir(parents=True, exist_ok=True)
    numbers = {name: int(os.environ.get(f"HALAB_{name.upper()}", default)) for name, default in (("http", 80), ("https", 443))}
    await run(config_for(directory, os.environ.get("HALAB_PUBLISHED", ""), **numbers), directory / "ready")


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname).1s %(name)s %(message)s")
    try:
        asyncio.run(_main())
    except (KeyboardInterrupt, asyncio.CancelledError):
        log.info("stopped")


if __name__ == "__main__":
    main()
