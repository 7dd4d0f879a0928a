"""The storage class ``standard``: volumes are folders below the cluster's own, made when a pod that uses the claim has a node.

Like the local-path provisioner of kind: a volume stays with its node (by node affinity), so a pod on lost data waits for its node.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from halab.cluster.client import Key
from halab.cluster.controllers.base import Controller
from halab.cluster.controllers.volume_match import class_of, requested
from halab.cluster.kube.kinds import NODES, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, STORAGE_CLASSES
from halab.cluster.kube.status import ApiError
from halab.cluster.kube.types import Obj

PROVISIONER = "halab.io/local-path"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
HOSTNAME = "kubernetes.io/hostname"
STANDARD: Obj = {
    "apiVersion": STORAGE_CLASSES.api_version,
    "kind": STORAGE_CLASSES.kind,
    "metadata": {"name": "standard", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
    "provisioner": PROVISIONER,
    "reclaimPolicy": "Delete",
    "volumeBindingMode": "WaitForFirstConsumer",
}


def volume_for(claim: Obj, storage_class: Obj, folder: Path, node: str, hostname: str) -> Obj:
    """The PersistentVolume that is made for ``claim``; its data lie in ``folder``."""
    meta = claim["metadata"]
    requirement = {"key": HOSTNAME, "operator": "In", "values": [hostname]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": f"pvc-{meta['uid']}",
            "annotations": {PROVISIONED_BY: PROVISIONER, "local.path.provisioner/selected-node": node},
        },
        "spec": {
            "capacity": {"storage": requested(claim)},
            "accessModes": list(claim["spec"].get("accessModes") or ["ReadWriteOnce"]),
            "volumeMode": claim["spec"].get("volumeMode", "Filesystem"),
            "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy", "Delete"),
            "storageClassName": storage_class["metadata"]["name"],
            "hostPath": {"path": str(folder), "type": "DirectoryOrCreate"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [requirement]}]}},
            "claimRef": {
                "kind": "PersistentVolumeClaim",
                "namespace": meta["namespace"],
                "name": meta["name"],
                "uid": meta["uid"],
                "apiVersion": "v1",
                "resourceVersion": meta["resourceVersion"],
            },
        },
    }


class ProvisionController(Controller):
    name = PROVISIONER
    workers = 2

    def setup(self) -> None:
        self.follow(PERSISTENT_VOLUME_CLAIMS)
        self.classes, self.nodes = self.informers(STORAGE_CLASSES), self.informers(NODES)
        self.classes.add_handler(self._class_changed)

    def _class_changed(self, old: Obj | None, new: Obj | None) -> None:
        for claim in self.informers(PERSISTENT_VOLUME_CLAIMS).objects():
            if not claim["spec"].get("volumeName"):
                self.queue.add((claim["metadata"]["namespace"], claim["metadata"]["name"]))

    async def run(self) -> None:
        if self.context.config is None:
            return  # a foreign cluster has its own provisioners
        await self.informers.synced()
        if not self.classes.cache:
            try:
                await self.context.create(STORAGE_CLASSES, STANDARD)
            except (ApiError, OSError, TimeoutError) as exc:
                if not (isinstance(exc, ApiError) and exc.reason == "AlreadyExists"):
                    raise
        await super().run()

    async def reconcile(self, key: Key) -> None:
        claim = self.informers(PERSISTENT_VOLUME_CLAIMS).get(*key)
        if claim is None or claim["spec"].get("volumeName") or claim["metadata"].get("deletionTimestamp"):
            return
        found = self.classes.get("", class_of(claim))
        if found is None or found["provisioner"] != PROVISIONER:
            return
        if claim["spec"].get("volumeMode") == "Block":
            self.emit(claim, "Warning", "ProvisioningFailed", f"{PROVISIONER} does not support block volume provisioning")
            return
        node = (claim["metadata"].get("annotations") or {}).get(SELECTED_NODE)
        if not node:
            if found.get("volumeBindingMode") == "WaitForFirstConsumer" or not self.nodes.cache:
                return
            node = min(name for _, name in self.nodes.cache)
        name = f"{key[0]}/{key[1]}"
        self.emit(claim, "Normal", "Provisioning", f'External provisioner is provisioning volume for claim "{name}"')
        assert self.context.config is not None
        folder = self.context.config.directory / "volumes" / f"pvc-{claim['metadata']['uid']}_{key[0]}_{key[1]}"
        hostname = ((self.nodes.get("", node) or {"metadata": {}})["metadata"].get("labels") or {}).get(HOSTNAME, node)
        try:
            await asyncio.to_thread(_make, folder)
            volume = await self.context.create(PERSISTENT_VOLUMES, volume_for(claim, found, folder, node, hostname))
        except OSError as exc:
            message = f'failed to provision volume with StorageClass "{found["metadata"]["name"]}": {exc}'
            self.emit(claim, "Warning", "ProvisioningFailed", message)
            raise
        except ApiError as exc:
            if exc.reason != "AlreadyExists":
                raise
            return
        message = f"Successfully provisioned volume {volume['metadata']['name']}"
        self.emit(claim, "Normal", "ProvisioningSucceeded", message)


def _make(folder: Path) -> None:
    """Containers may run as any user, so anybody may write there; the cluster's directory around it is private."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o777)
