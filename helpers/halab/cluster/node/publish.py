"""Writes pod statuses to the API: the latest one, only what differs, one request at a time for each pod."""

from __future__ import annotations

import asyncio
import copy
import logging
from typing import Any

from halab.cluster.client import Client, rfc3339
from halab.cluster.kube.kinds import PODS
from halab.cluster.kube.status import ApiError
from halab.cluster.kube.types import Obj

from .status import OWN_CONDITIONS, RESIZE_CONDITIONS, with_transition_times

log = logging.getLogger(__name__)
RETRY_SECONDS = (0.05, 5.0)


class Publisher:
    """The status of one pod on its way to the API.

    ``put`` takes the newest status and returns; ``settled`` waits until it is stored (or the pod is gone: then ``gone`` is set).
    """

    def __init__(self, client: Client, pod: Obj) -> None:
        self.client = client
        meta = pod["metadata"]
        self.name, self.namespace, self.uid = meta["name"], meta["namespace"], meta["uid"]
        self.known: Obj = copy.deepcopy(pod.get("status") or {})
        self.gone = False
        self._next: Obj | None = None
        self._task: asyncio.Task[None] | None = None

    def put(self, status: Obj) -> None:
        status = with_transition_times(status, self.known if self._next is None else self._next, rfc3339())
        if self._next is None and _same(self.known, status):
            return
        self._next = status
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._send(), name=f"status-{self.namespace}/{self.name}")

    async def settled(self) -> None:
        while self._task is not None and not self._task.done():
            await asyncio.shield(self._task)

    async def _send(self) -> None:
        delay = RETRY_SECONDS[0]
        while (status := self._next) is not None and not self.gone:
            body = {"metadata": {"uid": self.uid}, "status": _patch(self.known, status)}
            try:
                await self.client.patch(PODS, self.name, self.namespace, body, type="strategic", subresource="status")
            except ApiError as error:
                if error.code in (404, 409, 422):
                    self.gone = error.code == 404 or (error.code == 409 and "uid" in str(error).lower())
                    log.debug("status of %s/%s: %s", self.namespace, self.name, error)
                    if self.gone or error.code == 422:
                        self._next = None
                        if error.code == 422:
                            log.warning("status of %s/%s refused: %s", self.namespace, self.name, error)
                        return
                await asyncio.sleep(delay)
                delay = min(delay * 2, RETRY_SECONDS[1])
                continue
            except (OSError, TimeoutError) as error:
                log.debug("status of %s/%s: %r", self.namespace, self.name, error)
                await asyncio.sleep(delay)
                delay = min(delay * 2, RETRY_SECONDS[1])
                continue
            delay = RETRY_SECONDS[0]
            self.known = status
            if self._next is status:
                self._next = None


def _same(known: Obj, status: Obj) -> bool:
    ours = {key: value for key, value in known.items() if key != "conditions"}
    new = {key: value for key, value in status.items() if key != "conditions"}
    if ours != new:
        return False
    old = {item["type"]: item for item in known.get("conditions") or ()}
    if _over(known, status):
        return False
    return all(_plain(old.get(item["type"])) == _plain(item) for item in status["conditions"])


def _over(known: Obj, status: Obj) -> list[str]:
    """The conditions that are there only while they are true, and no longer are."""
    new = {item["type"] for item in status["conditions"]}
    return [
        item["type"] for item in known.get("conditions") or () if item["type"] in RESIZE_CONDITIONS and item["type"] not in new
    ]


def _plain(condition: Obj | None) -> Obj | None:
    return None if condition is None else {key: value for key, value in condition.items() if value is not None}


def _patch(known: Obj, status: Obj) -> dict[str, Any]:
    """A strategic merge patch from what was last stored. Conditions merge by type, so those of others stay."""
    patch: dict[str, Any] = {key: value for key, value in status.items() if key != "conditions" and known.get(key) != value}
    for key in ("reason", "message", "podIP", "podIPs", "initContainerStatuses"):
        if key in known and key not in status:
            patch[key] = None
    old = {item["type"]: item for item in known.get("conditions") or ()}
    changed = []
    for item in status["conditions"]:
        before = old.get(item["type"])
        if _plain(before) != _plain(item):
            gone = {key: None for key in (before or {}) if key not in item and key != "type"}
            changed.append({**gone, **item})
    changed += [{"$patch": "delete", "type": kind} for kind in _over(known, status)]
    if changed:
        patch["conditions"] = changed
    assert all(item["type"] in OWN_CONDITIONS for item in changed)
    return patch
