"""Envoy's dynamic configuration on disk: written whole beside the old one, renamed over it, and only when something changed."""

from __future__ import annotations

import os
from pathlib import Path

import orjson

from halab.cluster.kube.types import Obj


class Files:
    """The directory must be ours alone: listeners carry private keys. Everything in it is written with mode 0600."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o700)
        self._written: dict[str, bytes] = {}
        self._version = 0

    def put(self, path: Path, resources: list[Obj]) -> bool:
        """Write the resources of one file; whether anything changed. Envoy compares each resource itself, the version is for people."""
        body = orjson.dumps(resources)
        if self._written.get(path.name) == body:
            return False
        self._version += 1
        self.write(path, b'{"version_info":"%d","resources":%s}' % (self._version, body))
        self._written[path.name] = body
        return True

    def touch(self, path: Path) -> None:
        """Write what is there once more under a new version, so that Envoy looks at it again."""
        body = self._written.pop(path.name, None)
        if body is not None:
            self.put(path, orjson.loads(body))

    def write(self, path: Path, content: bytes) -> None:
        scratch = path.with_suffix(".new")
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        scratch.rename(path)

    def keep_only(self, names: set[str]) -> None:
        """Remove route tables of frontends that are gone."""
        for path in self.directory.glob("routes-*.json"):
            if path.name not in names:
                path.unlink(missing_ok=True)
                self._written.pop(path.name, None)
