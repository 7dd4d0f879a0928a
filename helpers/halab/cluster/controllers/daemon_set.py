"""DaemonSets: a pod on every node that fits. ``daemon_set_plan.py`` decides, ``revisions.py`` keeps the history."""

from __future__ import annotations

from halab.cluster.client import Key
from halab.cluster.controllers.actions import with_status
from halab.cluster.controllers.base import Controller, is_terminating, slow_start
from halab.cluster.controllers.daemon_set_plan import fits, new_pod, plan
from halab.cluster.controllers.owners import candidates, claim, index_by_controller
from halab.cluster.controllers.pods import wait_for_available
from halab.cluster.controllers.revisions import HASH, POD_HASH, history, surplus
from halab.cluster.kube.kinds import CONTROLLER_REVISIONS, DAEMON_SETS, NODES, PODS
from halab.cluster.kube.selectors import from_label_selector
from halab.cluster.kube.status import ApiError
from halab.cluster.kube.types import Obj


class DaemonSetController(Controller):
    name = "daemonset-controller"

    def setup(self) -> None:
        self.follow(DAEMON_SETS)
        self.sets, self.pods, self.nodes = self.informers(DAEMON_SETS), self.informers(PODS), self.informers(NODES)
        self.revisions = self.informers(CONTROLLER_REVISIONS)
        index_by_controller(self.revisions)
        self.follow_dependents(self.pods, self.sets, DAEMON_SETS)
        self.nodes.add_handler(self._node_changed)

    def _node_changed(self, old: Obj | None, new: Obj | None) -> None:
        """Heartbeats change nodes all the time; only what decides about a set's pods brings the set."""
        for owner in self.sets.objects():
            before, after = (fits(owner, node) if node else None for node in (old, new))
            if before != after:
                self.queue.add((owner["metadata"]["namespace"], owner["metadata"]["name"]))

    async def reconcile(self, key: Key) -> None:
        owner = self.sets.get(*key)
        if owner is None:
            return
        selector = from_label_selector(owner["spec"]["selector"])
        if selector.empty:
            self.emit(
                owner, "Warning", "SelectingAll", "This daemon set is selecting all pods. A non-empty selector is required."
            )
            return
        pods, claims = claim(
            owner,
            DAEMON_SETS,
            PODS,
            candidates(self.pods, owner),
            lambda pod: selector.matches(pod["metadata"].get("labels") or {}),
        )
        await self.apply(claims)
        mine, claims = claim(
            owner,
            DAEMON_SETS,
            CONTROLLER_REVISIONS,
            candidates(self.revisions, owner),
            lambda each: selector.matches(each["metadata"].get("labels") or {}),
        )
        await self.apply(claims)
        past = history(owner, DAEMON_SETS, mine)
        await self.apply(past.actions)
        hash = past.current["metadata"]["labels"][HASH]
        nodes = {node["metadata"]["name"]: node for node in self.nodes.objects()}
        todo = plan(owner, pods, nodes, hash, self.now())

        async def make(number: int) -> None:
            try:
                pod = await self.context.create(PODS, new_pod(owner, todo.create[number], hash))
            except ApiError as exc:
                if not is_terminating(exc):
                    self.emit(owner, "Warning", "FailedCreate", f"Error creating: {exc}")
                raise
            self.emit(owner, "Normal", "SuccessfulCreate", f"Created pod: {pod['metadata']['name']}")

        async def drop(number: int) -> None:
            pod, event = todo.delete[number]
            if event:
                self.emit(owner, *event)
            await self.context.delete(PODS, pod)
            self.emit(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {pod['metadata']['name']}")

        _, error = await slow_start(len(todo.create), make)
        if error is None:
            _, error = await slow_start(len(todo.delete), drop)
        # Pods just made count at once, so that a set is not seen as complete for an instant.
        status = plan(owner, self.pods.indexed("controller", owner["metadata"]["uid"]), nodes, hash, self.now()).status
        if status != (owner.get("status") or {}):
            await self.context.update(DAEMON_SETS, with_status(owner, status), subresource="status")
        if error is not None:
            raise error
        live = {past.current["metadata"]["name"]}
        used = {(pod["metadata"].get("labels") or {}).get(POD_HASH) for pod in pods}
        live |= {each["metadata"]["name"] for each in past.all if each["metadata"]["labels"].get(HASH) in used}
        await self.apply(surplus(owner, past.all, live))
        if (wait := wait_for_available(pods, owner["spec"].get("minReadySeconds", 0), self.now())) is not None:
            self.queue.add_after(key, wait)
