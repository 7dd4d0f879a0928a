"""CustomResourceDefinitions come alive: names are accepted, kinds are served, and with a definition go its objects.

This is what the apiextensions server's controllers do. It follows the stored definitions, so several API servers over one database agree.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import uuid
from collections.abc import Callable
from typing import Any

from halab.cluster.apiserver import api_services
from halab.cluster.apiserver.deletes import CLEANUP, delete_object
from halab.cluster.apiserver.names import now
from halab.cluster.apiserver.options import DeleteOptions
from halab.cluster.apiserver.registry import Registry
from halab.cluster.apiserver.request import User
from halab.cluster.kube import crd, kinds
from halab.cluster.kube.kinds import Kind
from halab.cluster.kube.status import ApiError
from halab.cluster.store.cache import Event
from halab.cluster.store.store import Contended, Store, Transaction

Obj = dict[str, Any]
log = logging.getLogger("halab.definitions")

RESOURCE = kinds.CUSTOM_RESOURCE_DEFINITIONS.storage
SELF = User("system:apiserver", ("system:masters",))


def is_established(definition: Obj) -> bool:
    conditions = (definition.get("status") or {}).get("conditions") or ()
    return any(condition["type"] == "Established" and condition["status"] == "True" for condition in conditions)


def is_terminating(definition: Obj) -> bool:
    return bool(definition["metadata"].get("deletionTimestamp"))


class Definitions:
    """Keeps ``registry`` in step with the stored definitions."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self.store = store
        self.registry = registry
        self._served: dict[str, list[Kind]] = {}
        self._watched: dict[str, Callable[[], None]] = {}  # the objects of definitions that are going
        self._pending: set[str] = set()
        collection = store.collection(RESOURCE)
        for entry in collection.select():
            self._serve(entry.name, entry.obj())
            self._later(entry.name)
        self._stop = collection.watch("", self._changed)

    def close(self) -> None:
        self._stop()
        for stop in self._watched.values():
            stop()

    # -- serving

    def _changed(self, event: Event) -> None:
        name = event.new.name
        if event.deleted:
            self._forget(name)
            return
        self._serve(name, event.new.obj())
        self._later(name)

    def _serve(self, name: str, definition: Obj) -> None:
        old = self._served.get(name, [])
        if not is_established(definition):
            return
        new = crd.register(definition)
        gone = [kind for kind in old if kind not in new]
        if gone:
            crd.unregister(gone)
        self.registry.replace(old, new)
        self._served[name] = new
        if is_terminating(definition):
            self._later(name)

    def _forget(self, name: str) -> None:
        old = self._served.pop(name, [])
        crd.unregister(old)
        self.registry.replace(old, [])
        if stop := self._watched.pop(name, None):
            stop()

    # -- controlling

    def _later(self, name: str) -> None:
        """Look at a definition once the current transaction is over."""
        if name not in self._pending:
            self._pending.add(name)
            asyncio.get_running_loop().call_soon(self._control, name)

    def _control(self, name: str) -> None:
        self._pending.discard(name)
        try:
            self.store.transact(lambda tx: self._reconcile(tx, name))
        except (ApiError, Contended, sqlite3.Error) as error:
            log.warning("definition %s: %s", name, error)

    def _reconcile(self, tx: Transaction, name: str) -> None:
        entry = tx.get(RESOURCE, "", name)
        if entry is None:
            return
        definition = entry.obj()
        if is_terminating(definition):
            self._clean(tx, name, definition)
            return
        others = [other.obj() for other in tx.list(RESOURCE) if other.name != name]
        state = crd.accepted_status(definition, others, now())
        if state != definition.get("status"):
            definition["status"] = state
            tx.put(RESOURCE, "", name, definition)
        if is_established(definition):
            served = [version["name"] for version in definition["spec"]["versions"] if version.get("served")]
            for version in served:
                api_services.ensure(tx, definition["spec"]["group"], version, _made)

    def _clean(self, tx: Transaction, name: str, definition: Obj) -> None:
        """Delete the objects of a definition that is going; let it go when none is left."""
        finalizers = definition["metadata"].get("finalizers") or []
        if CLEANUP not in finalizers:
            return
        names = definition["spec"]
        storage = f"{names['names']['plural']}.{names['group']}"
        kind = next(iter(self._served.get(name, [])), None)
        left = 0
        for entry in list(tx.list(storage)):
            if kind is None or not delete_object(tx, kind, entry, DeleteOptions(), SELF, authorize=False).gone:
                left += 1
        if left:
            if name not in self._watched:
                self._watched[name] = self.store.collection(storage).watch("", lambda _: self._later(name))
            return
        rest = [finalizer for finalizer in finalizers if finalizer != CLEANUP]
        if rest:
            definition["metadata"]["finalizers"] = rest
            tx.put(RESOURCE, "", name, definition)
        else:
            tx.delete(RESOURCE, "", name, definition)
            _unregister(tx, definition)


def _made(kind: Kind, obj: Obj) -> Obj:
    obj["metadata"] |= {"uid": str(uuid.uuid4()), "creationTimestamp": now()}
    return obj


def _unregister(tx: Transaction, definition: Obj) -> None:
    """A definition is gone: so are the APIServices of versions that no other definition of its group serves."""
    group = definition["spec"]["group"]
    others = [entry.obj()["spec"] for entry in tx.list(RESOURCE)]
    left = {version["name"] for spec in others if spec["group"] == group for version in spec["versions"] if version.get("served")}
    for version in definition["spec"]["versions"]:
        if version["name"] not in left:
            api_services.forget(tx, group, version["name"])
