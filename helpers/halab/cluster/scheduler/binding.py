"""What the scheduler writes: bindings, volumes promised to claims, conditions and events of pods, and the end of preempted pods."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from halab.cluster.client import Client, EventRecorder, rfc3339
from halab.cluster.kube.kinds import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS
from halab.cluster.kube.status import ApiError
from halab.cluster.kube.types import Obj
from halab.cluster.scheduler.model import PodInfo
from halab.cluster.scheduler.preemption import PREEMPTED
from halab.cluster.scheduler.volumes import SELECTED_NODE, Choice, is_bound

log = logging.getLogger(__name__)

VOLUMES_SECONDS = 600.0  # bindTimeoutSeconds of the VolumeBinding plugin


class Writer:
    def __init__(self, client: Client, events: EventRecorder) -> None:
        self.client, self.events = client, events

    async def bind(self, pod: PodInfo, node: str) -> None:
        """Raises ApiError where the API server refuses (409: it is bound already; 404: it is gone)."""
        body = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
            "target": {"kind": "Node", "name": node},
        }
        await self.client.create(PODS, body, pod.namespace, name=pod.name, subresource="binding")
        message = f"Successfully assigned {pod.namespace}/{pod.name} to {node}"
        self.events.event(pod.pod, "Normal", "Scheduled", message, action="Binding")

    async def bind_volumes(
        self,
        pod: PodInfo,
        node: str,
        choice: Choice,
        claim: Callable[[str, str], Obj | None],
        changed: Callable[[], Awaitable[None]],
    ) -> None:
        """Give the volumes to the claims, tell the provisioner the node, and wait until every claim is bound.

        ``changed`` returns when any claim has changed. Raises TimeoutError, or ApiError.
        """
        for owner, volume in choice.volumes:
            meta = owner["metadata"]
            reference = {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": pod.namespace,
                "name": meta["name"],
                "uid": meta["uid"],
                "resourceVersion": meta.get("resourceVersion", ""),
            }
            patch = {
                "metadata": {
                    "resourceVersion": volume["metadata"]["resourceVersion"],
                    "annotations": {"pv.kubernetes.io/bound-by-controller": "yes"},
                },
                "spec": {"claimRef": reference},
            }
            await self.client.patch(PERSISTENT_VOLUMES, volume["metadata"]["name"], None, patch)
        for owner in choice.provision:
            annotations = {SELECTED_NODE: node}
            patch = {"metadata": {"annotations": annotations}}
            await self.client.patch(PERSISTENT_VOLUME_CLAIMS, owner["metadata"]["name"], pod.namespace, patch)
        names = [owner["metadata"]["name"] for owner, _ in choice.volumes]
        names += [owner["metadata"]["name"] for owner in choice.provision]
        async with asyncio.timeout(VOLUMES_SECONDS):
            while True:
                current = [claim(pod.namespace, name) for name in names]
                if all(found is not None and is_bound(found) for found in current):
                    return
                for owner, found in zip(choice.provision, current[len(choice.volumes) :], strict=True):
                    # The provisioner takes the annotation away where it cannot provide on that node: choose again.
                    before, after = owner["metadata"].get("resourceVersion"), (found or {}).get("metadata") or {}
                    told = SELECTED_NODE in (after.get("annotations") or {})
                    if found is None or ("provisioning-failed" in str(after.get("annotations")) and before and not told):
                        raise TimeoutError("the claim was given back")
                await changed()

    def failed(self, pod: PodInfo, message: str, reason: str = "FailedScheduling") -> None:
        self.events.event(pod.pod, "Warning", reason, message[:1024], action="Scheduling")

    async def report(self, pod: PodInfo, message: str, reason: str, nominated: str | None) -> None:
        """PodScheduled False with the message, and the nominated node (None: leave it). Nothing is written where nothing changed."""
        status = pod.pod.get("status") or {}
        condition = {"type": "PodScheduled", "status": "False", "reason": reason, "message": message}
        if generation := pod.pod["metadata"].get("generation"):
            condition["observedGeneration"] = generation
        patch: Obj = {}
        old = next((c for c in status.get("conditions") or () if c.get("type") == "PodScheduled"), None)
        if old is None or any(old.get(key) != value for key, value in condition.items()):
            moved = old is None or old.get("status") != "False"
            when = rfc3339() if moved or old is None else old.get("lastTransitionTime")
            patch["conditions"] = [{**condition, "lastProbeTime": None, "lastTransitionTime": when}]
        if nominated is not None and nominated != (status.get("nominatedNodeName") or ""):
            patch["nominatedNodeName"] = nominated or None
        if patch:
            await self._patch_status(pod, patch)

    async def _patch_status(self, pod: PodInfo, patch: Obj) -> None:
        body = {"metadata": {"uid": pod.uid}, "status": patch}
        try:
            await self.client.patch(PODS, pod.name, pod.namespace, body, type="strategic", subresource="status")
        except ApiError as error:
            if error.code not in (404, 409):
                log.warning("status of %s/%s not written: %s", pod.namespace, pod.name, error)

    async def preempt(self, victim: PodInfo, preemptor: PodInfo, node: str) -> None:
        """Mark the victim, delete it with its own grace period, and say who took its place."""
        if not victim.terminating:
            scheduler = preemptor.spec.get("schedulerName", "default-scheduler")
            condition = {
                "type": "DisruptionTarget",
                "status": "True",
                "reason": PREEMPTED,
                "message": f"{scheduler}: preempting to accommodate a higher priority pod",
                "lastProbeTime": None,
                "lastTransitionTime": rfc3339(),
            }
            if generation := victim.pod["metadata"].get("generation"):
                condition["observedGeneration"] = generation
            await self._patch_status(victim, {"conditions": [condition]})
            try:
                await self.client.delete(PODS, victim.name, victim.namespace, uid=victim.uid)
            except ApiError as error:
                if error.code not in (404, 409):
                    raise
                return
        message = f"Preempted by pod {preemptor.uid} on node {node}"
        self.events.event(victim.pod, "Normal", "Preempted", message, related=preemptor.pod, action="Preempting")

    async def unnominate(self, pod: PodInfo) -> None:
        await self._patch_status(pod, {"nominatedNodeName": None})
