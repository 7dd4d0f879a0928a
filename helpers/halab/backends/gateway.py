"""The project's own data plane inside any cluster: an image built on the spot, and the manifests that run it (``manifests/gateway.yaml``).

Every backend routes by the same code then: ``halab.cluster.dataplane`` on Envoy, here with its pod's own ServiceAccount.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from halab.aio.portal import portal
from halab.backends import gateway_image, kubectl
from halab.backends.access import Api
from halab.cluster.kube.gateway import GROUP, definitions
from halab.errors import ClusterError

NAMESPACE, SERVICE, DEPLOYMENT = "halab-system", "halab-gateway", "halab-gateway"
MANIFESTS = Path(__file__).with_name("manifests")
ROLLOUT_SECONDS = 120
Report = Callable[[str], None]
Load = Callable[[Path], None]


def manifests(published: str = "", http: int = 80, https: int = 443, replicas: int = 2) -> str:
    """``published`` is the address that Ingresses will say they are found at; ``http`` and ``https`` are the ports that users dial there."""
    text = (MANIFESTS / "gateway.yaml").read_text()
    values = {"IMAGE": gateway_image.REFERENCE, "REPLICAS": replicas, "PUBLISHED": published, "HTTPS": https, "HTTP": http}
    for name, value in values.items():
        text = text.replace(f"${name}", str(value))
    return text


def install(kubeconfig: Path, load: Load, report: Report, **places: Any) -> None:
    """Build the image, ``load`` its archive into the nodes, apply the manifests (``places`` as for ``manifests``), wait until it serves."""
    with tempfile.TemporaryDirectory() as scratch:
        archive = gateway_image.build(Path(scratch), report)
        report("loading the gateway's image into the nodes")
        load(archive)
    report("deploying the gateway")
    there = Api(kubeconfig).find("namespaces", NAMESPACE)
    if there is not None and "deletionTimestamp" in there["metadata"]:  # of an earlier one that was removed just now
        kubectl.run(kubeconfig, "wait", "--for=delete", f"namespace/{NAMESPACE}", f"--timeout={ROLLOUT_SECONDS}s")
    if not serves(Api(kubeconfig), GROUP):  # a cluster's own definitions, which may be newer, stay as they are
        kubectl.apply(kubeconfig, yaml.safe_dump_all(definitions()))
    kubectl.apply(kubeconfig, manifests(**places))
    wait = ("rollout", "status", f"deployment/{DEPLOYMENT}", "-n", NAMESPACE, f"--timeout={ROLLOUT_SECONDS}s")
    done = kubectl.run(kubeconfig, *wait, seconds=ROLLOUT_SECONDS + 10)
    if done.returncode:
        remedy = f"see: kubectl -n {NAMESPACE} describe pods; kubectl -n {NAMESPACE} logs deployment/{DEPLOYMENT}"
        raise ClusterError("the gateway", f"does not come up: {(done.stderr or done.stdout).strip()[-300:]}", remedy)


def remove(kubeconfig: Path) -> None:
    """What ``install`` made, save for the Gateway API's definitions, which others may use by now."""
    kubectl.run(
        kubeconfig, "delete", "--ignore-not-found", "--wait=false", "-f", "-", text=(MANIFESTS / "gateway.yaml").read_text()
    )


def install_metrics(kubeconfig: Path, report: Report) -> None:
    """metrics-server, for ``kubectl top`` and the HPA. Its image is pulled by the nodes; it is not waited for."""
    report("deploying metrics-server")
    kubectl.apply(kubeconfig, (MANIFESTS / "metrics-server.yaml").read_text())


def serves(api: Api, group: str) -> bool:
    """Whether the API server has the group, and whoever answers for it is there."""

    async def ask() -> bool:
        status, _, body = await api.client.request("GET", f"/apis/{group}")
        if status != 200:
            return False
        version = body.split(b'"preferredVersion"')[-1].split(b'"version":')[-1].split(b'"')[1].decode()
        status, _, _ = await api.client.request("GET", f"/apis/{group}/{version}")
        return status == 200

    return portal.run(ask(), 15)
