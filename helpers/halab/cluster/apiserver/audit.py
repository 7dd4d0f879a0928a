"""The audit log: who asked for what, when, and what came of it (level Metadata), as Kubernetes' ``audit.k8s.io/v1`` events.

Reads and watches of the cluster's own components are left out: they would drown what people do. The file is started anew when it is
full, and one former file is kept.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from halab.cluster.apiserver.names import now_micro
from halab.cluster.apiserver.request import Request

MAX_BYTES = 8 << 20
COMPONENTS = ("system:kube-", "system:node:", "halab:", "system:apiserver")
READS = ("get", "list", "watch")


class Audit:
    """Appends to ``path``; an unwritable disk costs the entry, never the request."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._size = os.fstat(self._file).st_size

    def note(self, request: Request) -> None:
        if request.verb in READS and (not request.is_resource or request.user.name.startswith(COMPONENTS)):
            return
        if request.resource in ("leases", "events") and request.user.name.startswith(COMPONENTS):
            return
        line = orjson.dumps(_event(request)) + b"\n"
        try:
            os.write(self._file, line)
            self._size += len(line)
            if self._size > MAX_BYTES:
                self._rotate()
        except OSError:
            return

    def _rotate(self) -> None:
        """The new file is opened before the old one is let go: a closed descriptor's number may soon be a client's connection."""
        self._size = 0  # also if it fails: then the old file goes on, and the next try is as far away
        with suppress(FileNotFoundError):  # deleted, or moved away by a try that failed
            self.path.replace(self.path.with_name(self.path.name + ".1"))
        new = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.close(self._file)
        self._file = new

    def close(self) -> None:
        os.close(self._file)


def _event(request: Request) -> dict[str, Any]:
    query = request.scope["query_string"]
    user: dict[str, Any] = {"username": request.user.name, "groups": list(request.user.groups)}
    if request.user.uid:
        user["uid"] = request.user.uid
    event: dict[str, Any] = {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Metadata",
        "auditID": request.audit_id.decode("latin-1"),
        "stage": "ResponseComplete",
        "requestURI": request.path + (f"?{query.decode('latin-1')}" if query else ""),
        "verb": request.verb,
        "user": user,
        "sourceIPs": [request.scope["client"][0]] if request.scope.get("client") else [],
        "userAgent": request.header(b"user-agent"),
        "responseStatus": {"metadata": {}, "code": request.status},
        "stageTimestamp": now_micro(),
    }
    if request.is_resource:
        reference = {
            "resource": request.resource,
            "namespace": request.namespace,
            "name": request.name,
            "apiGroup": request.group,
            "apiVersion": request.version,
            "subresource": request.subresource,
        }
        event["objectRef"] = {key: value for key, value in reference.items() if value}
    return event
