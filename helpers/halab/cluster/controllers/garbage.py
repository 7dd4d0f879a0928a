"""Garbage collection: what no owner holds any more goes; what waits for its dependents goes after them.

The collector follows every kind there is, custom ones included, by metadata only and one kind after the other at the start, so that a
cluster coming up is not held up by it. https://kubernetes.io/docs/concepts/architecture/garbage-collection/ has the rules.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from halab.cluster.client import Informer, Key, rfc3339
from halab.cluster.controllers.base import Controller
from halab.cluster.controllers.garbage_graph import FOREGROUND, ORPHAN, Graph, Node, State, judge, node_of
from halab.cluster.kube.kinds import BUILTIN, CUSTOM_RESOURCE_DEFINITIONS, EVENTS, Kind
from halab.cluster.kube.status import ApiError
from halab.cluster.kube.types import Obj

log = logging.getLogger(__name__)

KEPT = ("name", "namespace", "uid", "resourceVersion", "ownerReferences", "deletionTimestamp", "finalizers")
ABSENT_REMEMBERED = 5000
RETRY_UNKNOWN_KIND = 30.0  # seconds; a reference to a kind that nobody serves may become meaningful later


def compact(obj: Obj) -> Obj:
    """Only what the graph needs."""
    meta = obj["metadata"]
    return {"metadata": {key: meta[key] for key in KEPT if key in meta}}


def collected_kinds() -> list[Kind]:
    """Every built-in kind whose objects can be watched and deleted, one per storage. Events are never owned and far too many."""
    seen: dict[str, Kind] = {}
    for kind in BUILTIN:
        if kind.stored and {"list", "watch", "delete"} <= set(kind.verbs) and kind.storage != EVENTS.storage:
            seen.setdefault(kind.storage, kind)
    return list(seen.values())


def custom_kind(definition: Obj) -> Kind | None:
    """The kind of a CustomResourceDefinition in its storage version, None while it is not served."""
    spec = definition["spec"]
    conditions = (definition.get("status") or {}).get("conditions") or ()
    if not any(each["type"] == "Established" and each["status"] == "True" for each in conditions):
        return None
    served = [version for version in spec["versions"] if version.get("served")]
    chosen = next((version for version in served if version.get("storage")), served[0] if served else None)
    if chosen is None:
        return None
    names = spec["names"]
    return Kind(
        spec["group"],
        chosen["name"],
        names["kind"],
        names["plural"],
        names.get("singular", ""),
        spec.get("scope") != "Cluster",
        custom=True,
    )


class GarbageCollector(Controller):
    """Keys are ("", uid) here: a uid says more than a name."""

    name = "garbage-collector-controller"
    workers = 8

    def setup(self) -> None:
        self.graph = Graph()
        self._absent: dict[str, None] = {}
        self._own: dict[Kind, Informer] = {}
        self._kinds: dict[tuple[str, str], Kind] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._wanted: asyncio.Queue[Kind] = asyncio.Queue()
        for kind in collected_kinds():
            self._want(kind)
        self.informers(CUSTOM_RESOURCE_DEFINITIONS).add_handler(self._definition_changed)

    def _want(self, kind: Kind) -> None:
        self._kinds[kind.group, kind.kind] = kind
        self._wanted.put_nowait(kind)

    def _definition_changed(self, old: Obj | None, new: Obj | None) -> None:
        before, after = (custom_kind(each) if each else None for each in (old, new))
        if before is not None and before != after and (informer := self._own.pop(before, None)):
            self._kinds.pop((before.group, before.kind), None)
            ending = asyncio.get_running_loop().create_task(informer.stop())
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
            for node in [node for node in self.graph.nodes.values() if node.kind == before]:
                self.graph.remove(node.uid)
        if after is not None and after not in self._own:
            self._want(after)

    async def run(self) -> None:
        await self.informers.synced()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow_all())
                for number in range(self.workers):
                    group.create_task(self._work(), name=f"{self.name}-{number}")
        finally:
            await asyncio.gather(*(informer.stop() for informer in self._own.values()), return_exceptions=True)

    async def _follow_all(self) -> None:
        """Kinds that other controllers follow first (they cost nothing more), then the others one by one."""
        shared = [kind for kind in self._kinds.values() if self.informers.has(kind) and kind not in self._own]
        for kind in shared:
            self._own[kind] = self.informers(kind)
            self.informers(kind).add_handler(self._handler(kind))
        for kind, informer in self._own.items():
            if kind not in shared:
                informer.start()  # leadership is back
        while True:
            kind = await self._wanted.get()
            if kind in self._own or self._kinds.get((kind.group, kind.kind)) != kind:
                continue
            informer = self._own[kind] = Informer(self.context.client, kind, metadata_only=True, transform=compact)
            informer.add_handler(self._handler(kind))
            informer.start()
            await informer.synced()

    def _handler(self, kind: Kind) -> Callable[[Obj | None, Obj | None], None]:
        def changed(old: Obj | None, new: Obj | None) -> None:
            if new is not None:
                self._put(node_of(kind, new))
            elif old is not None:
                self._gone(old["metadata"]["uid"])

        return changed

    def _put(self, node: Node) -> None:
        former = self.graph.put(node)
        if node.owners and (former is None or former.owners != node.owners):
            self._judge_later(node)
            for reference in node.owners:
                self._complain(node, reference, self.graph.nodes.get(reference["uid"]))
        if former is None and node.namespace:
            for dependent in self.graph.dependents(node.uid):
                for reference in dependent.owners:
                    self._complain(dependent, reference, node if reference["uid"] == node.uid else None)
        if former is not None and former.owners != node.owners:
            held_up = {owner["uid"] for owner in node.owners if owner.get("blockOwnerDeletion")}
            for owner in former.owners:  # it may have waited for this
                if owner["uid"] not in held_up:
                    self._wake_waiting(owner["uid"])
        news = former is None or not former.deleting or former.finalizers != node.finalizers
        if news and (node.waits_for_dependents or node.orphans_dependents):
            self.queue.add(("", node.uid))

    def _complain(self, dependent: Node, reference: Obj, owner: Node | None) -> None:
        """An object cannot be owned by what lives in another namespace (or in one, if it lives in none itself)."""
        if owner is None or not owner.namespace or owner.namespace == dependent.namespace:
            return
        named = f"{reference['apiVersion']}/{reference['kind']}, namespace: {dependent.namespace}, name: {reference['name']}"
        message = f'ownerRef [{named}, uid: {reference["uid"]}] does not exist in namespace "{dependent.namespace}"'
        kind = dependent.kind
        about = {"apiVersion": kind.api_version, "kind": kind.kind, "name": dependent.name, "uid": dependent.uid}
        if dependent.namespace:
            about["namespace"] = dependent.namespace
        self.emit(about, "Warning", "OwnerRefInvalidNamespace", message)

    def _judge_later(self, node: Node) -> None:
        """Only if an owner may be missing or going: most objects have an owner that is plainly there."""
        if any(self.graph.owner_state(node, owner) is not State.SOLID for owner in node.owners):
            self.queue.add(("", node.uid))

    def _gone(self, uid: str) -> None:
        node = self.graph.remove(uid)
        self._absent[uid] = None
        if len(self._absent) > ABSENT_REMEMBERED:
            del self._absent[next(iter(self._absent))]
        if node is None:
            return
        for dependent in self.graph.dependents(uid):
            self.queue.add(("", dependent.uid))
        for owner in node.owners:
            self._wake_waiting(owner["uid"])
        for handler in self.context.on_removal:
            handler(node.kind, node.namespace)

    def _wake_waiting(self, uid: str) -> None:
        owner = self.graph.nodes.get(uid)
        if owner is not None and owner.waits_for_dependents:
            self.queue.add(("", uid))

    async def reconcile(self, key: Key) -> None:
        node = self.graph.nodes.get(key[1])
        if node is None:
            return
        if node.orphans_dependents:
            await self._orphan(node)
        elif node.waits_for_dependents:
            blocking = self.graph.blocking(node)
            for dependent in blocking:
                if not dependent.deleting:
                    self.queue.add(("", dependent.uid))
            if not blocking:
                await self._drop_finalizer(node, FOREGROUND)
        elif not node.deleting and node.owners:
            await self._collect(node)

    async def _collect(self, node: Node) -> None:
        states: dict[str, State] = {}
        for reference in node.owners:
            state = self.graph.owner_state(node, reference)
            states[reference["uid"]] = await self._look_up(node, reference) if state is State.UNKNOWN else state
        if State.UNKNOWN in states.values():
            self.queue.add_after(("", node.uid), RETRY_UNKNOWN_KIND)
            return
        verdict = judge(self.graph, node, lambda reference: states[reference["uid"]])
        if verdict.drop:
            kept = [owner for owner in node.owners if owner["uid"] not in verdict.drop]
            await self._patch(node, {"ownerReferences": kept or None})
        if verdict.unblock:
            await self._patch(node, {"ownerReferences": [{**owner, "blockOwnerDeletion": False} for owner in node.owners]})
        if verdict.delete:
            await self._delete(node, verdict.delete)

    async def _delete(self, node: Node, policy: Any) -> None:
        try:
            await self.context.client.delete(
                node.kind, node.name, node.namespace or None, uid=node.uid, propagation_policy=policy
            )
        except ApiError as exc:
            if exc.code not in (404, 409):
                raise
            return
        log.debug("collected %s %s/%s", node.kind.plural, node.namespace, node.name)
        if self.informers.has(node.kind):
            informer = self.informers(node.kind)
            current = informer.get(node.namespace, node.name)
            if current is not None and current["metadata"]["uid"] == node.uid:
                self.informers.observe_deletion(node.kind, current, rfc3339())

    async def _look_up(self, dependent: Node, reference: Obj) -> State:
        """An owner that the graph does not know: ask the server."""
        if reference["uid"] in self._absent:
            return State.ABSENT
        group = reference["apiVersion"].rpartition("/")[0]
        kind = self._kinds.get((group, reference["kind"]))
        if kind is None:
            log.debug("owner %s %s of %s is of a kind that is not served", reference["kind"], reference["name"], dependent.name)
            return State.UNKNOWN
        if kind.namespaced and not dependent.namespace:
            return State.UNKNOWN  # a cluster-scoped object cannot have an owner in a namespace
        try:
            found = await self.context.client.get(kind, reference["name"], dependent.namespace if kind.namespaced else None)
        except ApiError as exc:
            if exc.code != 404:
                raise
            self._absent[reference["uid"]] = None
            return State.ABSENT
        if found["metadata"]["uid"] != reference["uid"]:
            self._absent[reference["uid"]] = None
            return State.ABSENT
        return State.WAITING if node_of(kind, found).waits_for_dependents else State.SOLID

    async def _orphan(self, node: Node) -> None:
        """Strike the owner from its dependents, then let it go."""
        for dependent in self.graph.dependents(node.uid):
            kept = [owner for owner in dependent.owners if owner["uid"] != node.uid]
            await self._patch(dependent, {"ownerReferences": kept or None})
        await self._drop_finalizer(node, ORPHAN)

    async def _drop_finalizer(self, node: Node, finalizer: str) -> None:
        await self._patch(node, {"finalizers": [each for each in node.finalizers if each != finalizer] or None})

    async def _patch(self, node: Node, metadata: Obj) -> None:
        """Change metadata of exactly the version that was judged: a conflict brings the newer one and another judgement."""
        change = {"metadata": metadata | {"uid": node.uid, "resourceVersion": node.version}}
        try:
            patched = await self.context.client.patch(node.kind, node.name, node.namespace or None, change)
        except ApiError as exc:
            if exc.code != 404:
                raise
            return
        self.informers.observe(node.kind, patched)
