"""ResourceQuotas: count again what admission counted, so that what is gone is free again.

Admission (in the API server) adds at each creation; this controller sets ``status.used`` right after anything ends or goes, and at the
start. What counts is decided in ``kube/quota.py``, for both.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from halab.cluster.client import Key
from halab.cluster.controllers.actions import with_status
from halab.cluster.controllers.base import Controller
from halab.cluster.controllers.pods import is_deleting, phase
from halab.cluster.kube import quantity
from halab.cluster.kube import quota as rules
from halab.cluster.kube.kinds import BUILTIN, PERSISTENT_VOLUME_CLAIMS, PODS, RESOURCE_QUOTAS, SERVICES, Kind
from halab.cluster.kube.types import Obj

CACHED = (PODS, SERVICES, PERSISTENT_VOLUME_CLAIMS)  # others follow these anyway; what else a quota counts is listed when needed


def used(quota: Obj, objects: Iterable[tuple[Kind, Obj]], now: float) -> dict[str, str]:
    """The sum of what ``objects`` use of each resource in ``spec.hard``; what nothing uses is "0"."""
    total: dict[str, str] = dict.fromkeys(quota["spec"].get("hard") or {}, "0")
    probe = {**quota, "status": {"hard": quota["spec"].get("hard") or {}}}
    moment = datetime.fromtimestamp(now, UTC)
    for kind, obj in objects:
        if rules.covers(probe, kind, obj):
            for name, amount in rules.usage(kind, obj, moment).items():
                if name in total:
                    total[name] = quantity.add(total[name], amount) if total[name] != "0" else amount
    return total


def counted_kinds(quota: Obj) -> list[Kind]:
    names = quota["spec"].get("hard") or {}
    return [kind for kind in BUILTIN if kind.namespaced and kind.stored and any(rules.tracks(kind, name) for name in names)]


class ResourceQuotaController(Controller):
    name = "resourcequota-controller"

    def setup(self) -> None:
        self.quotas = self.informers(RESOURCE_QUOTAS)
        self.quotas.add_handler(self._quota_changed)
        for kind in CACHED:
            self.informers(kind).add_handler(self._counted_changed)
        self.context.on_removal.append(lambda kind, namespace: self._add_all(namespace))

    def _quota_changed(self, old: Obj | None, new: Obj | None) -> None:
        """Not for a new count: that is admission's or our own."""
        if new is not None and (old is None or old["spec"] != new["spec"] or not (new.get("status") or {}).get("used")):
            self.queue.add((new["metadata"]["namespace"], new["metadata"]["name"]))

    def _counted_changed(self, old: Obj | None, new: Obj | None) -> None:
        if old and new and (phase(old), is_deleting(old), old["spec"]) == (phase(new), is_deleting(new), new["spec"]):
            return
        self._add_all((new or old or {})["metadata"]["namespace"])

    def _add_all(self, namespace: str) -> None:
        if namespace:
            for quota in self.quotas.objects(namespace):
                self.queue.add((namespace, quota["metadata"]["name"]))

    async def reconcile(self, key: Key) -> None:
        quota = self.quotas.get(*key)
        if quota is None:
            return
        objects: list[tuple[Kind, Obj]] = []
        for kind in counted_kinds(quota):
            if kind in CACHED:
                found = self.informers(kind).objects(key[0])
            else:
                found, _ = await self.context.client.list(kind, key[0])
            objects += [(kind, obj) for obj in found]
        status = {"hard": dict(quota["spec"].get("hard") or {}), "used": used(quota, objects, self.now())}
        if status != (quota.get("status") or {}):
            await self.context.update(RESOURCE_QUOTAS, with_status(quota, status), subresource="status")
