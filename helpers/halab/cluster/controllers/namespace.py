"""Namespaces that are being deleted: empty them, say what remains, then let them go.

As in Kubernetes, pods go first (so that nothing they need vanishes under them), then everything else; each pass says in the namespace's
conditions what is left. The next pass comes when something is gone, not after a guessed time.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable

from halab.cluster.client import Key, rfc3339
from halab.cluster.controllers.actions import with_status
from halab.cluster.controllers.base import Controller
from halab.cluster.controllers.garbage import custom_kind
from halab.cluster.kube.kinds import BUILTIN, CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES, PODS, Kind
from halab.cluster.kube.status import ApiError
from halab.cluster.kube.types import Obj

FINALIZER = "kubernetes"
AGAIN = 5.0  # seconds; for what goes without any watch telling

# type -> (reason, message) while nothing is wrong
GOOD = {
    "NamespaceDeletionDiscoveryFailure": ("ResourcesDiscovered", "All resources successfully discovered"),
    "NamespaceDeletionGroupVersionParsingFailure": ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
    "NamespaceDeletionContentFailure": ("ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
    "NamespaceContentRemaining": ("ContentRemoved", "All content successfully removed"),
    "NamespaceFinalizersRemaining": ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
}


def emptied_kinds(custom: Iterable[Kind] = ()) -> list[Kind]:
    """Every namespaced kind whose objects can be listed and deleted, one per storage."""
    seen: dict[str, Kind] = {}
    for kind in (*BUILTIN, *custom):
        if kind.namespaced and kind.stored and {"list", "delete"} <= set(kind.verbs):
            seen.setdefault(kind.storage, kind)
    return list(seen.values())


def conditions(status: Obj, remaining: dict[Kind, int], finalizers: Counter[str], failures: list[str], now: float) -> list[Obj]:
    """The namespace's conditions; what has not changed keeps its time."""
    bad: dict[str, tuple[str, str]] = {}
    if failures:
        bad["NamespaceDeletionContentFailure"] = (
            "ContentDeletionFailed",
            f"Failed to delete all resource types, {len(failures)} remaining: {', '.join(sorted(failures))}",
        )
    if remaining:
        parts = sorted(f"{kind.plural}.{kind.group} has {count} resource instances" for kind, count in remaining.items())
        bad["NamespaceContentRemaining"] = ("SomeResourcesRemain", f"Some resources are remaining: {', '.join(parts)}")
    if finalizers:
        parts = sorted(f"{name} in {count} resource instances" for name, count in finalizers.items())
        message = f"Some content in the namespace has finalizers remaining: {', '.join(parts)}"
        bad["NamespaceFinalizersRemaining"] = ("SomeFinalizersRemain", message)
    result = list(status.get("conditions") or ())
    for type, good in GOOD.items():
        value, (reason, message) = ("True", bad[type]) if type in bad else ("False", good)
        made = {"type": type, "status": value, "lastTransitionTime": rfc3339(now), "reason": reason, "message": message}
        place = next((i for i, each in enumerate(result) if each["type"] == type), None)
        if place is None:
            result.append(made)
            continue
        old = result[place]
        if old["status"] == value:
            made["lastTransitionTime"] = old.get("lastTransitionTime")
        result[place] = made
    return result


class NamespaceController(Controller):
    name = "namespace-controller"

    def setup(self) -> None:
        self.follow(NAMESPACES)
        self.context.on_removal.append(self._removed)
        self.informers(CUSTOM_RESOURCE_DEFINITIONS)

    def _removed(self, kind: Kind, namespace: str) -> None:
        found = self.informers(NAMESPACES).get("", namespace) if namespace else None
        if found is not None and found["metadata"].get("deletionTimestamp"):
            self.queue.add(("", namespace))

    async def reconcile(self, key: Key) -> None:
        namespace = self.informers(NAMESPACES).get(*key)
        if namespace is None or not namespace["metadata"].get("deletionTimestamp"):
            return
        if (namespace.get("status") or {}).get("phase") != "Terminating":
            changed = with_status(namespace, {**(namespace.get("status") or {}), "phase": "Terminating"})
            namespace = await self.context.update(NAMESPACES, changed, subresource="status")
        finalizers = namespace["spec"].get("finalizers") or []
        if FINALIZER not in finalizers:
            return
        left, held, failures = await self._empty(key[1], [PODS])
        if not left and not failures:
            definitions = self.informers(CUSTOM_RESOURCE_DEFINITIONS).objects()
            custom = [kind for kind in map(custom_kind, definitions) if kind is not None]
            left, held, failures = await self._empty(key[1], [kind for kind in emptied_kinds(custom) if kind != PODS])
        status = {**(namespace.get("status") or {}), "phase": "Terminating"}
        status["conditions"] = conditions(namespace.get("status") or {}, left, held, failures, self.now())
        if status != namespace.get("status") and (left or failures):
            namespace = await self.context.update(NAMESPACES, with_status(namespace, status), subresource="status")
        if left or failures:
            self.queue.add_after(key, AGAIN)
            return
        spec = {**namespace["spec"], "finalizers": [each for each in finalizers if each != FINALIZER]}
        await self.context.client.update(NAMESPACES, {**namespace, "spec": spec}, subresource="finalize")

    async def _empty(self, namespace: str, kinds: list[Kind]) -> tuple[dict[Kind, int], Counter[str], list[str]]:
        """Delete what there is; returns what remains by kind, which finalizers hold it, and what went wrong."""
        left: dict[Kind, int] = {}
        held: Counter[str] = Counter()
        failures: list[str] = []
        gate = asyncio.Semaphore(6)

        async def empty(kind: Kind) -> None:
            async with gate:
                try:
                    items, _ = await self.context.client.list(kind, namespace, metadata_only=True)
                    if items:
                        await self._delete_all(kind, namespace, items)
                        items, _ = await self.context.client.list(kind, namespace, metadata_only=True)
                except ApiError as exc:
                    if exc.code not in (404, 405):
                        failures.append(str(exc))
                    return
                if items:
                    left[kind] = len(items)
                    held.update(each for item in items for each in item["metadata"].get("finalizers") or ())

        await asyncio.gather(*(empty(kind) for kind in kinds))
        return left, held, failures

    async def _delete_all(self, kind: Kind, namespace: str, items: list[Obj]) -> None:
        if all(item["metadata"].get("deletionTimestamp") for item in items):
            return
        if "deletecollection" in kind.verbs:
            status, _, body = await self.context.client.request(
                "DELETE", kind.path(namespace), query={"propagationPolicy": "Background"}
            )
            if status < 400:
                return
            if status != 405:
                raise ApiError(status, body.decode("utf-8", "replace"))
        for item in items:
            try:
                await self.context.client.delete(kind, item["metadata"]["name"], namespace, propagation_policy="Background")
            except ApiError as exc:
                if exc.code != 404:
                    raise
