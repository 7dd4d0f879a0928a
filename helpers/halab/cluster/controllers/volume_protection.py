"""Finalizers that keep claims in use, and bound volumes, from vanishing under those who use them."""

from __future__ import annotations

from halab.cluster.client import Key
from halab.cluster.controllers.base import Controller
from halab.cluster.controllers.pods import is_finished
from halab.cluster.kube.kinds import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, Kind
from halab.cluster.kube.types import Obj

CLAIM_FINALIZER, VOLUME_FINALIZER = "kubernetes.io/pvc-protection", "kubernetes.io/pv-protection"


def claims_of(pod: Obj) -> set[str]:
    """The names of the claims that a pod's volumes use, those of its generic ephemeral volumes included."""
    names = set()
    for volume in pod["spec"].get("volumes") or ():
        if claim := volume.get("persistentVolumeClaim"):
            names.add(claim["claimName"])
        elif "ephemeral" in volume:
            names.add(f"{pod['metadata']['name']}-{volume['name']}")
    return names


def in_use(name: str, pods: list[Obj]) -> bool:
    """Whether a pod that has a node and has not finished uses the claim."""
    return any(pod["spec"].get("nodeName") and not is_finished(pod) and name in claims_of(pod) for pod in pods)


class VolumeProtectionController(Controller):
    """Keys with a namespace are claims, those without are volumes."""

    name = "volume-protection-controller"
    workers = 2

    def setup(self) -> None:
        self.claims, self.volumes, self.pods = (
            self.informers(PERSISTENT_VOLUME_CLAIMS),
            self.informers(PERSISTENT_VOLUMES),
            self.informers(PODS),
        )
        self.follow(PERSISTENT_VOLUME_CLAIMS)
        self.follow(PERSISTENT_VOLUMES)
        self.pods.add_handler(self._pod_changed)

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        if old is None or not (new is None or is_finished(new)):
            return
        for name in claims_of(old):
            self.queue.add((old["metadata"]["namespace"], name))

    async def reconcile(self, key: Key) -> None:
        if key[0]:
            claim = self.claims.get(*key)
            if claim is not None and not (
                claim["metadata"].get("deletionTimestamp") and in_use(key[1], self.pods.objects(key[0]))
            ):
                await self._settle(PERSISTENT_VOLUME_CLAIMS, claim, CLAIM_FINALIZER)
        else:
            volume = self.volumes.get(*key)
            bound = volume is not None and (volume.get("status") or {}).get("phase") == "Bound"
            if volume is not None and not (volume["metadata"].get("deletionTimestamp") and bound):
                await self._settle(PERSISTENT_VOLUMES, volume, VOLUME_FINALIZER)

    async def _settle(self, kind: Kind, obj: Obj, finalizer: str) -> None:
        """The finalizer is there while the object is, and goes when it is being deleted and free."""
        meta = obj["metadata"]
        current: list[str] = meta.get("finalizers") or []
        deleting = bool(meta.get("deletionTimestamp"))
        if deleting == (finalizer in current):
            kept = [each for each in current if each != finalizer] if deleting else [*current, finalizer]
            change = {"metadata": {"resourceVersion": meta["resourceVersion"], "finalizers": kept or None}}
            await self.context.patch(kind, meta.get("namespace"), meta["name"], change)
