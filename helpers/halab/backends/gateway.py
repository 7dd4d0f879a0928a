"""The project's own data plane inside any cluster: an image built on the spot, and the manifests that run it (``manifests/gateway.yaml``).

Every backend routes by the same code then: ``halab.cluster.dataplane`` on Envoy, here with its pod's own ServiceAccount.
"""

from __future__ import annotations

import json
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
ROLLOUT_SECONDS, METRICS_SECONDS = 120, 90
Report = Callable[[str], None]
Load = Callable[[Path], None]


CONTROL_PLANE = "node-role.kubernetes.io/control-plane"


def manifests(published: str = "", http: int = 80, https: int = 443, replicas: int = 2, *, on_control_plane: bool = False) -> str:
    """``published`` is the address that Ingresses will say they are found at; ``http`` and ``https`` are the ports that users dial there."""
    taints = [{"key": CONTROL_PLANE, "operator": "Exists", "effect": "NoSchedule"}]
    text = (MANIFESTS / "gateway.yaml").read_text()
    values = {"IMAGE": gateway_image.REFERENCE, "REPLICAS": replicas, "PUBLISHED": published, "HTTPS": https, "HTTP": http}
    values |= {
        "NODES": json.dumps({CONTROL_PLANE: ""} if on_control_plane else {}),
        "TAINTS": json.dumps(taints if on_control_plane else []),
    }
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
    """metrics-server, for ``kubectl top`` and the HPA. Its image is pulled by the nodes: where that fails, ``report`` hears why, and it may still come."""
    report("deploying metrics-server")
    kubectl.apply(kubeconfig, (MANIFESTS / "metrics-server.yaml").read_text())
    wait = ("rollout", "status", "deployment/metrics-server", "-n", "kube-system", f"--timeout={METRICS_SECONDS}s")
    if kubectl.run(kubeconfig, *wait, seconds=METRICS_SECONDS + 10).returncode:
        pods = Api(kubeconfig).list("pods", "k8s-app=metrics-server", namespace="kube-system")
        why = "; ".join(sorted({text for pod in pods for text in waiting_reasons(pod)})) or "its pods are not ready"
        report(f"metrics-server does not serve yet, so labs that need metrics wait for it ({why[:300]})")


def waiting_reasons(pod: dict[str, Any]) -> list[str]:
    """In the kubelet's and the scheduler's words."""
    status = pod.get("status", {})
    found = [c.get("state", {}).get("waiting") or {} for c in status.get("containerStatuses", ())]
    words = [": ".join(filter(None, (one.get("reason"), one.get("message")))) for one in found if one]
    unscheduled = [
        c.get("message", "") for c in status.get("conditions", ()) if c["type"] == "PodScheduled" and c["status"] == "False"
    ]
    return [text for text in (*words, *unscheduled) if text]


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
