"""StatefulSets: pods with lasting names and claims. ``stateful_set_plan.py`` decides, ``revisions.py`` keeps the history."""

from __future__ import annotations

from halab.cluster.client import Key
from halab.cluster.controllers.actions import with_status
from halab.cluster.controllers.base import Controller, is_terminating
from halab.cluster.controllers.owners import candidates, claim, index_by_controller
from halab.cluster.controllers.pods import is_deleting, phase, same, wait_for_available
from halab.cluster.controllers.revisions import History, history, surplus
from halab.cluster.controllers.stateful_set_plan import claim_owners, claims_of, ordinal_of, plan, revision_name
from halab.cluster.kube.kinds import CONTROLLER_REVISIONS, PERSISTENT_VOLUME_CLAIMS, PODS, STATEFUL_SETS
from halab.cluster.kube.selectors import from_label_selector
from halab.cluster.kube.status import ApiError
from halab.cluster.kube.types import Obj


class StatefulSetController(Controller):
    name = "statefulset-controller"

    def setup(self) -> None:
        self.follow(STATEFUL_SETS)
        self.sets, self.pods = self.informers(STATEFUL_SETS), self.informers(PODS)
        self.revisions, self.claims = self.informers(CONTROLLER_REVISIONS), self.informers(PERSISTENT_VOLUME_CLAIMS)
        index_by_controller(self.revisions)
        self.follow_dependents(self.pods, self.sets, STATEFUL_SETS)

    async def reconcile(self, key: Key) -> None:
        owner = self.sets.get(*key)
        if owner is None:
            return
        selector = from_label_selector(owner["spec"]["selector"])
        pods, claims = claim(
            owner,
            STATEFUL_SETS,
            PODS,
            candidates(self.pods, owner),
            lambda pod: selector.matches(pod["metadata"].get("labels") or {}) and ordinal_of(owner, pod) >= 0,
        )
        await self.apply(claims)
        past = await self._history(owner)
        status = owner.get("status") or {}
        names = {each["metadata"]["name"]: each for each in past.all}
        current = names.get(status.get("currentRevision", ""), past.current)
        todo = plan(owner, pods, current, past.current, self.now())
        error: ApiError | None = None
        try:
            for pod in pods:
                await self._keep_claims(owner, pod)
            for pod in todo.create:
                await self._create(owner, pod)
            for pod in todo.update:
                await self.context.update(PODS, pod)
            for pod in todo.delete:
                await self._delete(owner, pod)
        except ApiError as exc:
            error = exc
        made = todo.status if error is None else todo.standing
        if made != status:
            await self.context.update(STATEFUL_SETS, with_status(owner, made), subresource="status")
        if error is not None:
            raise error
        live = {current["metadata"]["name"], past.current["metadata"]["name"], *map(revision_name, pods)}
        await self.apply(surplus(owner, past.all, live))
        if (wait := wait_for_available(pods, owner["spec"].get("minReadySeconds", 0), self.now())) is not None:
            self.queue.add_after(key, wait)

    async def _history(self, owner: Obj) -> History:
        selector = from_label_selector(owner["spec"]["selector"])
        mine, claims = claim(
            owner,
            STATEFUL_SETS,
            CONTROLLER_REVISIONS,
            candidates(self.revisions, owner),
            lambda each: selector.matches(each["metadata"].get("labels") or {}),
        )
        await self.apply(claims)
        past = history(owner, STATEFUL_SETS, mine)
        await self.apply(past.actions)
        return past

    async def _keep_claims(self, owner: Obj, pod: Obj) -> None:
        """A waiting pod's claims are made again if they are gone; who owns a claim follows the retention policy."""
        if not owner["spec"].get("volumeClaimTemplates") or is_deleting(owner):
            return
        if phase(pod) == "Pending":
            await self._make_claims(owner, pod)
        for wanted in claims_of(owner, ordinal_of(owner, pod)):
            claim = self.claims.get(wanted["metadata"]["namespace"], wanted["metadata"]["name"])
            if claim is None or is_deleting(claim):
                continue
            owners = claim_owners(owner, pod, claim)
            if not same(owners, claim["metadata"].get("ownerReferences")):
                meta = claim["metadata"]
                change = {"metadata": {"resourceVersion": meta["resourceVersion"], "ownerReferences": owners or None}}
                await self.context.patch(PERSISTENT_VOLUME_CLAIMS, meta["namespace"], meta["name"], change)

    async def _make_claims(self, owner: Obj, pod: Obj) -> None:
        name, set_name = pod["metadata"]["name"], owner["metadata"]["name"]
        for wanted in claims_of(owner, ordinal_of(owner, pod)):
            claim_name = wanted["metadata"]["name"]
            if self.claims.get(wanted["metadata"]["namespace"], claim_name) is not None:
                continue
            try:
                await self.context.create(PERSISTENT_VOLUME_CLAIMS, wanted)
                self.emit(
                    owner, "Normal", "SuccessfulCreate", f"create Claim {claim_name} Pod {name} in StatefulSet {set_name} success"
                )
            except ApiError as exc:
                if exc.reason == "AlreadyExists":
                    continue
                message = f"create Claim {claim_name} for Pod {name} in StatefulSet {set_name} failed error: {exc}"
                self.emit(owner, "Warning", "FailedCreate", message)
                raise

    async def _create(self, owner: Obj, pod: Obj) -> None:
        name, set_name = pod["metadata"]["name"], owner["metadata"]["name"]
        await self._make_claims(owner, pod)
        try:
            await self.context.create(PODS, pod)
        except ApiError as exc:
            if not is_terminating(exc) and exc.reason != "AlreadyExists":
                message = f"create Pod {name} in StatefulSet {set_name} failed error: {exc}"
                self.emit(owner, "Warning", "FailedCreate", message)
            raise
        self.emit(owner, "Normal", "SuccessfulCreate", f"create Pod {name} in StatefulSet {set_name} successful")

    async def _delete(self, owner: Obj, pod: Obj) -> None:
        name, set_name = pod["metadata"]["name"], owner["metadata"]["name"]
        await self.context.delete(PODS, pod)
        self.emit(owner, "Normal", "SuccessfulDelete", f"delete Pod {name} in StatefulSet {set_name} successful")
