"""Generic ephemeral volumes: a claim for each, made with its pod and owned by it, so that it goes with the pod."""

from __future__ import annotations

import copy

from halab.cluster.client import Key
from halab.cluster.controllers.base import Controller, is_terminating
from halab.cluster.controllers.owners import controlled_by, controller_reference
from halab.cluster.controllers.pods import is_deleting
from halab.cluster.kube.kinds import PERSISTENT_VOLUME_CLAIMS, PODS
from halab.cluster.kube.status import ApiError
from halab.cluster.kube.types import Obj


def claims_of(pod: Obj) -> dict[str, Obj]:
    """The claims that the pod's ephemeral volumes stand for, by the volume's name."""
    made: dict[str, Obj] = {}
    for volume in pod["spec"].get("volumes") or ():
        if (source := volume.get("ephemeral")) is None:
            continue
        template = source.get("volumeClaimTemplate") or {}
        meta: Obj = {
            key: dict(value) for key, value in (template.get("metadata") or {}).items() if key in ("labels", "annotations")
        }
        meta |= {
            "name": f"{pod['metadata']['name']}-{volume['name']}",
            "namespace": pod["metadata"]["namespace"],
            "ownerReferences": [controller_reference(pod, PODS)],
        }
        claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta}
        made[volume["name"]] = claim | {"spec": copy.deepcopy(template.get("spec") or {})}
    return made


class EphemeralVolumeController(Controller):
    name = "ephemeral_volume"  # the event source that Kubernetes' controller has
    workers = 2

    def setup(self) -> None:
        self.pods, self.claims = self.informers(PODS), self.informers(PERSISTENT_VOLUME_CLAIMS)
        self.pods.add_handler(self._pod_changed)
        self.claims.add_handler(self._claim_changed)

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        if old is None and new is not None and any("ephemeral" in each for each in new["spec"].get("volumes") or ()):
            self.queue.add((new["metadata"]["namespace"], new["metadata"]["name"]))

    def _claim_changed(self, old: Obj | None, new: Obj | None) -> None:
        """A claim that was deleted by hand is made again."""
        for reference in (old or {}).get("metadata", {}).get("ownerReferences") or () if new is None else ():
            if reference.get("kind") == PODS.kind and reference.get("controller"):
                self.queue.add(((old or {})["metadata"]["namespace"], reference["name"]))

    async def reconcile(self, key: Key) -> None:
        pod = self.pods.get(*key)
        if pod is None or is_deleting(pod):
            return
        for volume, claim in claims_of(pod).items():
            existing = self.claims.get(key[0], claim["metadata"]["name"])
            if existing is not None:
                if not controlled_by(existing, pod):
                    name = claim["metadata"]["name"]
                    problem = f"PVC {key[0]}/{name} was not created for pod {key[0]}/{key[1]} (pod is not owner)"
                    self.emit(pod, "Warning", "FailedBinding", f"ephemeral volume {volume}: {problem}")
                continue
            try:
                await self.context.create(PERSISTENT_VOLUME_CLAIMS, claim)
            except ApiError as error:
                if not is_terminating(error):
                    self.emit(pod, "Warning", "FailedBinding", f"ephemeral volume {volume}: {error}")
                raise
