"""Priority and fairness: the FlowSchema and the priority level of each request, and the objects behind them.

Every answer names both by uid (``X-Kubernetes-PF-FlowSchema-UID``, ``X-Kubernetes-PF-PriorityLevel-UID``), as Kubernetes' does. Requests are
not queued by them: one process with one loop serves all.

Like the API server's own producer and consumer of this configuration, ``Flows`` puts back mandatory objects that somebody deleted and
keeps the condition ``Dangling`` of every schema true to whether its level exists.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from typing import Any

from halab.cluster.apiserver.names import now
from halab.cluster.apiserver.request import Request
from halab.cluster.kube import flow, kinds
from halab.cluster.kube.kinds import Kind
from halab.cluster.kube.status import ApiError
from halab.cluster.store.cache import Event
from halab.cluster.store.store import Contended, Store, Transaction

Obj = dict[str, Any]
Headers = tuple[tuple[bytes, bytes], ...]
Make = Callable[[Kind, Obj], Obj]
log = logging.getLogger("halab.flows")

SCHEMAS, LEVELS = kinds.FLOW_SCHEMAS.storage, kinds.PRIORITY_LEVELS.storage
REMEMBERED = 2048  # requests that differ in what schemas look at
LONG_RUNNING = frozenset({"attach", "exec", "log", "portforward", "proxy"})


def ensure(tx: Transaction, make: Make, mandatory: bool = False) -> None:
    """The suggested and mandatory objects that are missing. ``mandatory``: only those, for they may never be missing for long."""
    groups = (
        (kinds.PRIORITY_LEVELS, flow.MANDATORY_LEVELS if mandatory else flow.LEVELS),
        (kinds.FLOW_SCHEMAS, flow.MANDATORY_SCHEMAS if mandatory else flow.SCHEMAS),
    )
    for kind, specs in groups:
        for name, spec in specs.items():
            if tx.get(kind.storage, "", name) is None:
                meta = {"name": name, "annotations": {flow.AUTO_UPDATE: "true"}}
                tx.put(kind.storage, "", name, make(kind, {"metadata": meta, "spec": spec}))


class Flows:
    def __init__(self, store: Store, make: Make) -> None:
        self._store, self._make = store, make
        self._schemas, self._levels = store.collection(SCHEMAS), store.collection(LEVELS)
        self._made = (-1, -1)
        self._ordered: list[tuple[Obj, Headers]] = []
        self._known: dict[tuple[object, ...], Headers] = {}
        self._pending = False
        self._stop = [each.watch("", self._changed) for each in (self._schemas, self._levels)]
        self._later()

    def close(self) -> None:
        for stop in self._stop:
            stop()

    def headers(self, request: Request) -> Headers:
        """What the answer to an authenticated request says of its flow; nothing for those that Kubernetes exempts for being long."""
        if request.subresource in LONG_RUNNING:
            return ()
        current = (self._schemas.changed, self._levels.changed)
        if current != self._made:
            self._read()
            self._made = current
        user = request.user
        resource = f"{request.resource}/{request.subresource}" if request.subresource else request.resource
        path = "" if request.is_resource else request.path
        key = (user.name, user.groups, request.verb, request.group, resource, request.namespace, path)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            found = self._known[key] = self._find(
                user.name, user.groups, request.verb, request.group, resource, request.namespace, path
            )
        return found

    def _find(
        self, user: str, groups: tuple[str, ...], verb: str, group: str, resource: str, namespace: str, path: str
    ) -> Headers:
        for spec, headers in self._ordered:
            if flow.matches(spec, user, groups, verb, group, resource, namespace, path):
                return headers
        return ()

    def _read(self) -> None:
        levels = {entry.name: entry.obj()["metadata"]["uid"] for entry in self._levels.select()}
        self._known.clear()
        self._ordered = [
            (
                schema["spec"],
                (
                    (b"x-kubernetes-pf-flowschema-uid", schema["metadata"]["uid"].encode()),
                    (b"x-kubernetes-pf-prioritylevel-uid", levels[level].encode()),
                ),
            )
            for schema in flow.ordered(entry.obj() for entry in self._schemas.select())
            if (level := schema["spec"]["priorityLevelConfiguration"]["name"]) in levels
        ]

    # -- keeping the objects

    def _changed(self, _: Event) -> None:
        self._later()

    def _later(self) -> None:
        if not self._pending:
            self._pending = True
            asyncio.get_running_loop().call_soon(self._control)

    def _control(self) -> None:
        self._pending = False
        try:
            self._store.transact(self._reconcile)
        except (ApiError, Contended, sqlite3.Error) as error:
            log.warning("priority and fairness: %s", error)

    def _reconcile(self, tx: Transaction) -> None:
        ensure(tx, self._make, mandatory=True)
        levels = {entry.name for entry in tx.list(LEVELS)}
        for entry in list(tx.list(SCHEMAS)):
            schema = entry.obj()
            wanted = _dangling(schema["spec"]["priorityLevelConfiguration"]["name"], levels)
            conditions = (schema.get("status") or {}).get("conditions") or []
            present: Obj = next((each for each in conditions if each.get("type") == "Dangling"), {})
            if {name: present.get(name) for name in wanted} == wanted:
                continue
            changed = present.get("status") != wanted["status"]
            since = now() if changed else present.get("lastTransitionTime")
            made = {**wanted, "lastTransitionTime": since}
            schema["status"] = {"conditions": [each for each in conditions if each.get("type") != "Dangling"] + [made]}
            tx.put(SCHEMAS, "", entry.name, schema)


def _dangling(level: str, levels: set[str]) -> Obj:
    quoted = f'"{level}"'
    if level in levels:
        text = f"This FlowSchema references the PriorityLevelConfiguration object named {quoted} and it exists"
        return {"type": "Dangling", "status": "False", "reason": "Found", "message": text}
    text = f"This FlowSchema references the PriorityLevelConfiguration object named {quoted} but there is no such object"
    return {"type": "Dangling", "status": "True", "reason": "NotFound", "message": text}
