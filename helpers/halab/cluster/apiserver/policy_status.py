"""The status of ValidatingAdmissionPolicies, as their controller gives it: which generation was looked at.

Expressions are not checked against the schemas of what a policy matches, so the check never finds anything.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3

from halab.cluster.kube import kinds
from halab.cluster.kube.status import ApiError
from halab.cluster.store.cache import Entry, Event
from halab.cluster.store.store import Contended, Store, Transaction

log = logging.getLogger("halab.policies")
RESOURCE = kinds.VALIDATING_ADMISSION_POLICIES.storage


class PolicyStatus:
    """Follows the stored policies."""

    def __init__(self, store: Store) -> None:
        self.store = store
        collection = store.collection(RESOURCE)
        self._stop = collection.watch("", self._changed)
        for entry in collection.select():
            self._look(entry)

    def close(self) -> None:
        self._stop()

    def _changed(self, event: Event) -> None:
        if not event.deleted:
            self._look(event.new)

    def _look(self, entry: Entry) -> None:
        asyncio.get_running_loop().call_soon(self._observe, entry.name)

    def _observe(self, name: str) -> None:
        def work(tx: Transaction) -> None:
            entry = tx.get(RESOURCE, "", name)
            if entry is None:
                return
            policy = entry.obj()
            state, generation = policy.get("status") or {}, policy["metadata"].get("generation")
            if state.get("observedGeneration") != generation or "typeChecking" not in state:
                policy["status"] = {**state, "observedGeneration": generation, "typeChecking": {}}
                tx.put(RESOURCE, "", name, policy)

        try:
            self.store.transact(work)
        except (ApiError, Contended, sqlite3.Error) as error:
            log.warning("policy %s: %s", name, error)
