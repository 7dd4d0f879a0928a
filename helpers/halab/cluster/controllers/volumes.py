"""PersistentVolumes and claims: bind them, say what they wait for, take volumes back."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from halab.cluster.client import Key, rfc3339
from halab.cluster.controllers.actions import with_status
from halab.cluster.controllers.base import Controller
from halab.cluster.controllers.provisioner import PROVISIONED_BY, PROVISIONER, SELECTED_NODE
from halab.cluster.controllers.volume_match import (
    BIND_COMPLETED,
    best,
    bound_claim,
    bound_volume,
    claim_status,
    class_of,
    is_for,
)
from halab.cluster.kube.kinds import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, STORAGE_CLASSES
from halab.cluster.kube.types import Obj

STORAGE_PROVISIONER = "volume.kubernetes.io/storage-provisioner"
BETA_STORAGE_PROVISIONER = "volume.beta.kubernetes.io/storage-provisioner"


class VolumeController(Controller):
    """Keys with a namespace are claims, those without are volumes."""

    name = "persistentvolume-controller"
    workers = 1  # two claims must not be given the same volume

    def setup(self) -> None:
        self.follow(PERSISTENT_VOLUMES)
        self.follow(PERSISTENT_VOLUME_CLAIMS)
        self.volumes, self.claims = self.informers(PERSISTENT_VOLUMES), self.informers(PERSISTENT_VOLUME_CLAIMS)
        self.classes, self.pods = self.informers(STORAGE_CLASSES), self.informers(PODS)
        self.volumes.add_handler(self._volume_changed)
        self.claims.add_handler(self._claim_changed)
        self.classes.add_handler(self._class_changed)

    def _volume_changed(self, old: Obj | None, new: Obj | None) -> None:
        """A volume concerns the claim it names; a new or free one every claim that waits."""
        for volume in (old, new):
            if volume is not None and (reference := volume["spec"].get("claimRef")):
                self.queue.add((reference.get("namespace", ""), reference.get("name", "")))
        if new is not None and not new["spec"].get("claimRef"):
            self._wake_pending()

    def _claim_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is None and old is not None and (name := old["spec"].get("volumeName")):
            self.queue.add(("", name))

    def _class_changed(self, old: Obj | None, new: Obj | None) -> None:
        self._wake_pending()

    def _wake_pending(self) -> None:
        for claim in self.claims.objects():
            if not claim["spec"].get("volumeName"):
                self.queue.add((claim["metadata"]["namespace"], claim["metadata"]["name"]))

    async def reconcile(self, key: Key) -> None:
        if not key[0]:
            if (volume := self.volumes.get(*key)) is not None:
                await self._volume(volume)
        elif (claim := self.claims.get(*key)) is not None:
            await self._claim(claim)

    # Claims

    async def _claim(self, claim: Obj) -> None:
        name = claim["spec"].get("volumeName")
        if name:
            volume = self.volumes.get("", name)
            if volume is None:
                if BIND_COMPLETED in (claim["metadata"].get("annotations") or {}):
                    await self._lost(claim, "Bound claim has lost its PersistentVolume. Data on the volume is lost!")
            elif not volume["spec"].get("claimRef") or is_for(volume, claim):
                await self._bind(volume, claim)
            elif BIND_COMPLETED in (claim["metadata"].get("annotations") or {}):
                await self._lost(claim, "Two claims are bound to the same volume, this one is bound incorrectly", "ClaimMisbound")
            return
        if claim["metadata"].get("deletionTimestamp"):
            return
        volume = best(self.volumes.objects(), claim)
        if volume is not None and (is_for(volume, claim) or not self._waits_for_a_pod(claim)):
            await self._bind(volume, claim)
        else:
            await self._explain(claim)

    def _waits_for_a_pod(self, claim: Obj) -> bool:
        found = self.classes.get("", class_of(claim))
        if found is None or found.get("volumeBindingMode") != "WaitForFirstConsumer":
            return False
        return SELECTED_NODE not in (claim["metadata"].get("annotations") or {})

    async def _explain(self, claim: Obj) -> None:
        """Say what an unbound claim waits for."""
        name = class_of(claim)
        found = self.classes.get("", name) if name else None
        if self._waits_for_a_pod(claim):
            pod = self._first_user(claim)
            if pod is None:
                self.emit(claim, "Normal", "WaitForFirstConsumer", "waiting for first consumer to be created before binding")
            else:
                message = f"waiting for pod {pod['metadata']['name']} to be scheduled"
                self.emit(claim, "Normal", "WaitForPodScheduled", message)
        elif not name:
            message = "no persistent volumes available for this claim and no storage class is set"
            self.emit(claim, "Normal", "FailedBinding", message)
        elif found is None:
            self.emit(claim, "Warning", "ProvisioningFailed", f'storageclass.storage.k8s.io "{name}" not found')
        elif found["provisioner"] != "kubernetes.io/no-provisioner":
            await self._hand_over(claim, found["provisioner"])

    async def _hand_over(self, claim: Obj, provisioner: str) -> None:
        meta = claim["metadata"]
        if (meta.get("annotations") or {}).get(STORAGE_PROVISIONER) != provisioner:
            annotations = {STORAGE_PROVISIONER: provisioner, BETA_STORAGE_PROVISIONER: provisioner}
            await self.context.patch(
                PERSISTENT_VOLUME_CLAIMS, meta["namespace"], meta["name"], {"metadata": {"annotations": annotations}}
            )
        message = (
            f"Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the system "
            "administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered."
        )
        self.emit(claim, "Normal", "ExternalProvisioning", message)

    def _first_user(self, claim: Obj) -> Obj | None:
        name = claim["metadata"]["name"]
        for pod in self.pods.objects(claim["metadata"]["namespace"]):
            used = ((each.get("persistentVolumeClaim") or {}).get("claimName") for each in pod["spec"].get("volumes") or ())
            if name in used and not pod["spec"].get("nodeName"):
                return pod
        return None

    async def _lost(self, claim: Obj, message: str, reason: str = "ClaimLost") -> None:
        if (claim.get("status") or {}).get("phase") != "Lost":
            await self.context.update(PERSISTENT_VOLUME_CLAIMS, with_status(claim, {"phase": "Lost"}), subresource="status")
            self.emit(claim, "Warning", reason, message)

    async def _bind(self, volume: Obj, claim: Obj) -> None:
        """The volume first, so that what crashes in between is finished, never given away twice."""
        changed = bound_volume(volume, claim)
        if changed is not volume:
            volume = await self.context.update(PERSISTENT_VOLUMES, changed)
        if (volume.get("status") or {}).get("phase") != "Bound":
            volume = await self.context.update(PERSISTENT_VOLUMES, _in_phase(volume, "Bound"), subresource="status")
        wanted = bound_claim(claim, volume)
        if wanted is not claim:
            claim = await self.context.update(PERSISTENT_VOLUME_CLAIMS, wanted)
        if (claim.get("status") or {}).get("phase") != "Bound":
            status = claim_status(claim, volume)
            await self.context.update(PERSISTENT_VOLUME_CLAIMS, with_status(claim, status), subresource="status")

    # Volumes

    async def _volume(self, volume: Obj) -> None:
        phase = (volume.get("status") or {}).get("phase")
        reference = volume["spec"].get("claimRef")
        if not reference or not reference.get("uid"):
            if phase != "Available":
                await self.context.update(PERSISTENT_VOLUMES, _in_phase(volume, "Available"), subresource="status")
            return
        claim = self.claims.get(reference.get("namespace", ""), reference.get("name", ""))
        if claim is not None and claim["metadata"]["uid"] == reference["uid"]:
            if not claim["spec"].get("volumeName"):
                self.queue.add((claim["metadata"]["namespace"], claim["metadata"]["name"]))
            return
        if phase not in ("Released", "Failed"):
            volume = await self.context.update(PERSISTENT_VOLUMES, _in_phase(volume, "Released"), subresource="status")
        if volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete" and not volume["metadata"].get("deletionTimestamp"):
            await self._reclaim(volume)

    async def _reclaim(self, volume: Obj) -> None:
        by = (volume["metadata"].get("annotations") or {}).get(PROVISIONED_BY, "")
        if by == PROVISIONER and self.context.config is not None:
            path = Path(volume["spec"]["hostPath"]["path"])
            if path.parent == self.context.config.directory / "volumes":
                await asyncio.to_thread(shutil.rmtree, path, True)
            await self.context.delete(PERSISTENT_VOLUMES, volume)
        elif not by and (problem := _undeletable(volume)):
            if (volume.get("status") or {}).get("phase") != "Failed":
                await self.context.update(PERSISTENT_VOLUMES, _in_phase(volume, "Failed", problem), subresource="status")
                self.emit(volume, "Warning", "VolumeFailedDelete", problem)
        elif not by:
            await self.context.delete(PERSISTENT_VOLUMES, volume)


def _in_phase(volume: Obj, phase: str, message: str = "") -> Obj:
    """``volume`` that has come to ``phase`` now."""
    status = {"phase": phase, "lastPhaseTransitionTime": rfc3339()} | ({"message": message} if message else {})
    return with_status(volume, status)


def _undeletable(volume: Obj) -> str:
    """Why Kubernetes cannot delete what a volume that nobody provisioned stands for; empty for a hostPath below /tmp.

    Of that, too, only the object goes here: the files are this machine's, not a node's.
    """
    source = volume["spec"].get("hostPath")
    if source is None:
        return (
            f'error getting deleter volume plugin for volume "{volume["metadata"]["name"]}": no deletable volume plugin matched'
        )
    path = str(source.get("path", ""))
    if path.startswith("/tmp/") and len(path) > len("/tmp/"):
        return ""
    return f"host_path deleter only supports /tmp/.+ but received provided {path}"
