"""The Node object: what the node says of itself when it joins, and its heartbeats (the Lease, and now and then its status)."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import shutil
import uuid
from pathlib import Path
from typing import Any

from halab.cluster.client import micro, rfc3339
from halab.cluster.kube.kinds import CSI_NODES, LEASES, NODES
from halab.cluster.kube.status import ApiError
from halab.cluster.kube.types import Obj
from halab.settings import KUBELET_PORT, KUBERNETES_VERSION

from .node import Node

log = logging.getLogger(__name__)

LEASE_SECONDS = 40
RENEW_SECONDS = 10.0
STATUS_SECONDS = 300.0
LEASE_NAMESPACE = "kube-node-lease"
MAX_PODS = 110
HANDLERS = ("runc",)  # the default one of every real node; a RuntimeClass of any other waits for a node that has it
MIGRATED_PLUGINS = ",".join(
    f"kubernetes.io/{name}"
    for name in ("aws-ebs", "azure-disk", "azure-file", "cinder", "gce-pd", "portworx-volume", "vsphere-volume")
)
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
HEALTHY = (
    ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
)


def _memory_kib() -> int:
    with open("/proc/meminfo") as info:
        return int(info.readline().split()[1])


def capacity(directory: Path) -> dict[str, str]:
    """What the machine has. Every node of a cluster says the whole: they share one machine."""
    disk = shutil.disk_usage(directory)
    return {
        "cpu": str(os.cpu_count() or 1),
        "ephemeral-storage": f"{disk.total // 1024}Ki",
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
        "memory": f"{_memory_kib()}Ki",
        "pods": str(MAX_PODS),
    }


def _os_name() -> str:
    try:
        fields = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
        return fields.get("PRETTY_NAME", "Linux").strip('"')
    except OSError:
        return "Linux"


def _identity(name: str, kind: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{kind}.{name}.halab"))


def labels(name: str) -> dict[str, str]:
    architecture = ARCHITECTURES.get(platform.machine(), platform.machine())
    return {
        "beta.kubernetes.io/arch": architecture,
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": architecture,
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
    }


def node_status(node: Node, before: Obj, images: list[Obj]) -> Obj:
    now = rfc3339()
    old = {item["type"]: item for item in before.get("conditions") or ()}
    conditions = []
    for kind, status, reason, message in HEALTHY:
        known = old.get(kind)
        since = (
            known["lastTransitionTime"] if known and known.get("status") == status and known.get("lastTransitionTime") else now
        )
        conditions.append(
            {
                "type": kind,
                "status": status,
                "reason": reason,
                "message": message,
                "lastHeartbeatTime": now,
                "lastTransitionTime": since,
            }
        )
    return {
        "addresses": [{"type": "InternalIP", "address": node.address}, {"type": "Hostname", "address": node.name}],
        "allocatable": node.allocatable,
        "capacity": node.allocatable,
        "conditions": conditions,
        "daemonEndpoints": {"kubeletEndpoint": {"Port": KUBELET_PORT}},
        "images": images,
        "nodeInfo": {
            "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
            "bootID": _identity(node.name, "boot"),
            "containerRuntimeVersion": node.runtime.version,
            "kernelVersion": platform.release(),
            "kubeProxyVersion": "",
            "kubeletVersion": KUBERNETES_VERSION,
            "machineID": _identity(node.name, "machine").replace("-", ""),
            "operatingSystem": "linux",
            "osImage": _os_name(),
            "systemUUID": _identity(node.name, "system"),
        },
        "runtimeHandlers": [
            {"name": name, "features": {"recursiveReadOnlyMounts": False, "userNamespaces": False}} for name in ("", *HANDLERS)
        ],
    }


def node_images(store: Any) -> list[Obj]:
    """Named images of the store, as the status lists them (at most 50)."""
    try:
        return [{"names": [item.name], "sizeBytes": item.size} for item in store.images() if item.name][:50]
    except (AttributeError, OSError):
        return []


async def register(node: Node) -> Obj:
    """Create or refresh the Node. Retries until the API server answers."""
    cidr = node.config.addresses.pod_cidr(node.index)
    body: Obj = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": node.name,
            "labels": labels(node.name),
            "annotations": {
                "node.alpha.kubernetes.io/ttl": "0",
                "volumes.kubernetes.io/controller-managed-attach-detach": "true",
            },
        },
        "spec": {"podCIDR": cidr, "podCIDRs": [cidr]},
        "status": node_status(node, {}, []),
    }
    delay = 0.02
    while True:
        try:
            try:
                made = await node.client.create(NODES, body)
            except ApiError as error:
                if error.code != 409:
                    raise
                made = await node.client.get(NODES, node.name)
                wanted = {"metadata": {"labels": labels(node.name)}}
                await node.client.patch(NODES, node.name, None, wanted)
            await _announce_storage(node, made)
            return await write_status(node, made)
        except (ApiError, OSError, TimeoutError) as error:
            log.info("registration of %s: %s", node.name, error)
        await asyncio.sleep(delay)
        delay = min(delay * 2, 1.0)


async def _announce_storage(node: Node, made: Obj) -> None:
    """The node's CSINode, which names no driver: there is none here."""
    body: Obj = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "CSINode",
        "metadata": {
            "name": node.name,
            "annotations": {"storage.alpha.kubernetes.io/migrated-plugins": MIGRATED_PLUGINS},
            "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": node.name, "uid": made["metadata"]["uid"]}],
        },
        "spec": {"drivers": []},
    }
    try:
        await node.client.create(CSI_NODES, body)
    except ApiError as error:
        if error.code != 409:
            raise
        owned = {"metadata": {"ownerReferences": body["metadata"]["ownerReferences"]}}  # it may be of a former node of this name
        await node.client.patch(CSI_NODES, node.name, None, owned)


async def write_status(node: Node, known: Obj) -> Obj:
    status = node_status(node, known.get("status") or {}, node_images(node.puller.store))
    return await node.client.patch(NODES, node.name, None, {"status": status}, type="strategic", subresource="status")


def lease(node: Node, uid: str) -> Obj:
    owner = {"apiVersion": "v1", "kind": "Node", "name": node.name, "uid": uid}
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": node.name, "namespace": LEASE_NAMESPACE, "ownerReferences": [owner]},
        "spec": {"holderIdentity": node.name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": micro()},
    }


async def renew(node: Node, uid: str) -> None:
    try:
        patch = {"spec": {"renewTime": micro(), "holderIdentity": node.name, "leaseDurationSeconds": LEASE_SECONDS}}
        await node.client.patch(LEASES, node.name, LEASE_NAMESPACE, patch)
    except ApiError as error:
        if error.code != 404:
            raise
        await node.client.create(LEASES, lease(node, uid))


def is_declared_lost(known: Obj) -> bool:
    conditions = (known.get("status") or {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "Unknown" for each in conditions)


async def heartbeat(node: Node, registered: Obj) -> None:
    """Renew the lease, and refresh the status every five minutes, for as long as the agent lives.

    Whoever was silent for too long (a suspended machine) finds itself declared lost: it says at once that it is well.
    """
    uid, waited = registered["metadata"]["uid"], 0.0
    delay = 0.0
    while True:
        await asyncio.sleep(delay)
        waited += delay
        try:
            await renew(node, uid)
            delay = RENEW_SECONDS
            known = await node.client.get(NODES, node.name)
            if waited >= STATUS_SECONDS or is_declared_lost(known):
                waited = 0.0
                await write_status(node, known)
        except (ApiError, OSError, TimeoutError) as error:
            log.debug("heartbeat of %s: %s", node.name, error)
            delay = 0.5
