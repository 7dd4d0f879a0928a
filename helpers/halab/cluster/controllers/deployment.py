"""Deployments. ``deployment_plan.py`` decides; this watches and carries out."""

from __future__ import annotations

from halab.cluster.client import Key
from halab.cluster.controllers import deployment_sizes as sizes
from halab.cluster.controllers import deployment_status as statuses
from halab.cluster.controllers.base import Controller
from halab.cluster.controllers.deployment_plan import plan
from halab.cluster.controllers.owners import candidates, claim, controller_of, index_by_controller
from halab.cluster.controllers.pods import is_finished
from halab.cluster.kube.kinds import DEPLOYMENTS, PODS, REPLICA_SETS
from halab.cluster.kube.selectors import from_label_selector
from halab.cluster.kube.types import Obj


class DeploymentController(Controller):
    name = "deployment-controller"

    def setup(self) -> None:
        self.follow(DEPLOYMENTS)
        self.sets, self.pods = self.informers(REPLICA_SETS), self.informers(PODS)
        index_by_controller(self.sets)
        index_by_controller(self.pods)
        self.sets.add_handler(self._set_changed)
        self.pods.add_handler(self._pod_changed)

    def _set_changed(self, old: Obj | None, new: Obj | None) -> None:
        for rs in (old, new):
            if rs is None:
                continue
            reference = controller_of(rs)
            if reference is not None and reference["kind"] == DEPLOYMENTS.kind:
                self.queue.add((rs["metadata"]["namespace"], reference["name"]))
            elif reference is None and rs is new:
                labels = rs["metadata"].get("labels") or {}
                for deployment in self.informers(DEPLOYMENTS).objects(rs["metadata"]["namespace"]):
                    if from_label_selector(deployment["spec"]["selector"]).matches(labels):
                        self.queue.add((rs["metadata"]["namespace"], deployment["metadata"]["name"]))

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        """Only strategy Recreate looks at pods: it waits until the old ones are gone."""
        pod = old or new
        assert pod is not None
        if new is not None and not is_finished(new):
            return
        reference = controller_of(pod)
        rs = (
            self.sets.get(pod["metadata"]["namespace"], reference["name"])
            if reference and reference["kind"] == "ReplicaSet"
            else None
        )
        owner = controller_of(rs) if rs else None
        if owner is None:
            return
        deployment = self.informers(DEPLOYMENTS).get(pod["metadata"]["namespace"], owner["name"])
        if deployment is not None and not sizes.is_rolling(deployment):
            self.queue.add((pod["metadata"]["namespace"], owner["name"]))

    async def reconcile(self, key: Key) -> None:
        deployment = self.informers(DEPLOYMENTS).get(*key)
        if deployment is None:
            return
        selector = from_label_selector(deployment["spec"]["selector"])
        sets, claims = claim(
            deployment,
            DEPLOYMENTS,
            REPLICA_SETS,
            candidates(self.sets, deployment),
            lambda rs: selector.matches(rs["metadata"].get("labels") or {}),
        )
        await self.apply(claims)
        if claims:
            sets = [self.sets.get(key[0], rs["metadata"]["name"]) or rs for rs in sets]
        pods = [pod for rs in sets for pod in self.pods.indexed("controller", rs["metadata"]["uid"])]
        now = self.now()
        own = {rs["metadata"]["name"] for rs in sets}
        taken = {rs["metadata"]["name"] for rs in self.sets.objects(key[0])} - own
        actions = plan(deployment, sets, pods, now, taken)
        await self.apply(actions)
        if not actions and (wait := statuses.until_deadline(deployment, now)) is not None:
            self.queue.add_after(key, wait)
