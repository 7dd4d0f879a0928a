"""ResourceClaims of pods: one for each template that a pod names, owned by the pod, and told in its status."""

from __future__ import annotations

import copy

from halab.cluster.client import Key
from halab.cluster.controllers.base import Controller
from halab.cluster.controllers.owners import controlled_by, controller_reference
from halab.cluster.controllers.pods import is_deleting
from halab.cluster.kube.kinds import PODS, RESOURCE_CLAIM_TEMPLATES, RESOURCE_CLAIMS
from halab.cluster.kube.status import ApiError, is_not_found
from halab.cluster.kube.types import Obj

POD_CLAIM = "resource.kubernetes.io/pod-claim-name"


def missing(pod: Obj) -> list[Obj]:
    """The pod's claims that are still to be made: entries of ``spec.resourceClaims`` with a template and without a status."""
    told = {each["name"] for each in (pod.get("status") or {}).get("resourceClaimStatuses") or ()}
    wanted = pod["spec"].get("resourceClaims") or ()
    return [each for each in wanted if "resourceClaimTemplateName" in each and each["name"] not in told]


def claim_of(pod: Obj, name: str, template: Obj) -> Obj:
    given = template["spec"].get("metadata") or {}
    annotations = {**(given.get("annotations") or {}), POD_CLAIM: name}
    meta: Obj = {
        "generateName": f"{pod['metadata']['name']}-{name}-",
        "namespace": pod["metadata"]["namespace"],
        "annotations": annotations,
        "ownerReferences": [controller_reference(pod, PODS)],
    }
    if given.get("labels"):
        meta["labels"] = dict(given["labels"])
    return {"metadata": meta, "spec": copy.deepcopy(template["spec"]["spec"])}


class ResourceClaimController(Controller):
    name = "resource_claim"  # the event source that Kubernetes' controller has
    workers = 2

    def setup(self) -> None:
        self.pods = self.informers(PODS)
        self.claims = self.informers(RESOURCE_CLAIMS)
        self.templates = self.informers(RESOURCE_CLAIM_TEMPLATES)
        self.pods.add_handler(self._pod_changed)
        self.templates.add_handler(self._template_changed)

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is not None and new["spec"].get("resourceClaims") and missing(new):
            self.queue.add((new["metadata"]["namespace"], new["metadata"]["name"]))

    def _template_changed(self, old: Obj | None, new: Obj | None) -> None:
        """Pods may have come before it."""
        if new is None:
            return
        namespace, name = new["metadata"]["namespace"], new["metadata"]["name"]
        for pod in self.pods.objects(namespace):
            if any(each["resourceClaimTemplateName"] == name for each in missing(pod)):
                self.queue.add((namespace, pod["metadata"]["name"]))

    async def reconcile(self, key: Key) -> None:
        pod = self.pods.get(*key)
        if pod is None or is_deleting(pod):
            return
        told = list((pod.get("status") or {}).get("resourceClaimStatuses") or ())
        made: list[Obj] = []
        for wanted in missing(pod):
            name, source = wanted["name"], wanted["resourceClaimTemplateName"]
            template = self.templates.get(key[0], source)
            if template is None:
                problem = f'PodResourceClaim {name}: resource claim template "{source}": resourceclaimtemplate.resource.k8s.io "{source}" not found'
                self.emit(pod, "Warning", "FailedResourceClaimCreation", problem)
                continue
            claim = self._made(pod, name) or await self._create(pod, claim_of(pod, name, template), name)
            made.append({"name": name, "resourceClaimName": claim["metadata"]["name"]})
        if made:
            change = {"metadata": {"uid": pod["metadata"]["uid"]}, "status": {"resourceClaimStatuses": told + made}}
            try:
                await self.context.client.patch(PODS, key[1], key[0], change, subresource="status")
            except ApiError as error:
                if not is_not_found(error):
                    raise

    def _made(self, pod: Obj, name: str) -> Obj | None:
        """A claim that was made for the pod though its status does not say so yet."""
        for claim in self.claims.objects(pod["metadata"]["namespace"]):
            annotations = claim["metadata"].get("annotations") or {}
            if annotations.get(POD_CLAIM) == name and controlled_by(claim, pod):
                return claim
        return None

    async def _create(self, pod: Obj, claim: Obj, name: str) -> Obj:
        try:
            return await self.context.create(RESOURCE_CLAIMS, claim)
        except ApiError as error:
            self.emit(pod, "Warning", "FailedResourceClaimCreation", f"PodResourceClaim {name}: create: {error}")
            raise
