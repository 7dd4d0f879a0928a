"""Getting a container's image: pull policy, events and back-off as kubelet has them, over the machine's image store.

The store holds what was built or loaded, and makes its base images from this machine's programs; names on a registry of this machine
(127.x.y.z:PORT/...) are pulled from there, or from its mirrors.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, cast

from halab.cluster.kube.types import Obj
from halab.errors import ImageError
from halab.images import ImageStore
from halab.images.provide import from_registry, pull

from .backoff import Backoff

Event = Callable[[str, str, str], None]


class Store(Protocol):
    """The part of ``halab.images.ImageStore`` that is needed. ``resolve`` raises ImageError."""

    def resolve(self, reference: str) -> Any: ...


class PullFailed(Exception):
    """``reason`` is what the container waits for: ErrImagePull, ImagePullBackOff, ErrImageNeverPull, InvalidImageName."""

    def __init__(self, reason: str, message: str, retry: float) -> None:
        self.reason, self.retry = reason, retry
        super().__init__(message)


def go_seconds(seconds: float) -> str:
    """A duration under a minute as Go prints it: ``12.345ms``, ``1.5s``."""
    if seconds < 1:
        return f"{seconds * 1e3:.3f}".rstrip("0").rstrip(".") + "ms"
    return f"{seconds:.3f}".rstrip("0").rstrip(".") + "s"


def format_problem(name: str) -> str:
    """Why ``name`` is no image reference, in the words of the library that containerd and kubelet use."""
    first, slash, rest = name.partition("/")
    host = bool(slash) and (any(mark in first for mark in ".:") or first == "localhost" or first != first.lower())
    remainder = rest if host else name if slash else f"library/{name}"
    repository = remainder.partition(":")[0]
    plain = "invalid reference format"
    return plain if repository == repository.lower() else f"{plain}: repository name ({repository}) must be lowercase"


class Puller:
    """Shared by the pods of a node."""

    def __init__(self, store: Store, fetch: Callable[[str], Any] | None = None) -> None:
        """``fetch`` pulls an image by name and raises ImageError; without it only registries of this machine are asked."""
        self.store, self._fetch = store, fetch
        self.backoff = Backoff()
        self._errors: dict[str, str] = {}

    async def image(self, pod: Obj, container: Obj, event: Event) -> Any:
        """The image of the container. Raises PullFailed after writing kubelet's events."""
        name = container.get("image", "")
        policy = container.get("imagePullPolicy", "IfNotPresent")
        key = f"{pod['metadata']['uid']}_{name}"
        error: ImageError | None = None
        found: Any = None
        begin = time.monotonic()
        try:
            found = await asyncio.to_thread(self.store.resolve, name)
        except ImageError as caught:
            error = caught
        if error is not None and "invalid reference format" in str(error):
            message = f'Failed to apply default image tag "{name}": couldn\'t parse image name "{name}": {format_problem(name)}'
            event("Warning", "InspectFailed", message)
            raise PullFailed("InvalidImageName", message, 10.0)
        if policy == "Never" and found is None:
            message = f'Container image "{name}" is not present with pull policy of Never'
            event("Warning", "ErrImageNeverPull", message)
            raise PullFailed("ErrImageNeverPull", message, 10.0)
        if found is not None and policy != "Always":
            event("Normal", "Pulled", f'Container image "{name}" already present on machine')
            return found
        now = time.time()
        remaining = self.backoff.remaining(key, self.backoff.updated(key))
        if found is None and remaining > 0:
            event("Normal", "BackOff", f'Back-off pulling image "{name}"')
            message = f'Back-off pulling image "{name}"'
            if known := self._errors.get(key):
                message += f": {known}"
            raise PullFailed("ImagePullBackOff", message, remaining)
        event("Normal", "Pulling", f'Pulling image "{name}"')
        if from_registry(name) or (found is None and self._fetch is not None):
            fetch = self._fetch or partial(pull, cast(ImageStore, self.store))
            try:
                found, error = await asyncio.to_thread(fetch, name), None
            except ImageError as caught:
                found, error = None, caught
        if error is not None:
            event("Warning", "Failed", f'Failed to pull image "{name}": {error}')
            self.backoff.next(key, now, now)
            self._errors[key] = f"ErrImagePull: {error}"
            # kubelet looks again at its next sync and then says ImagePullBackOff: here that is soon.
            raise PullFailed("ErrImagePull", str(error), 1.0)
        took = go_seconds(time.monotonic() - begin)
        event(
            "Normal",
            "Pulled",
            f'Successfully pulled image "{name}" in {took} ({took} including waiting). Image size: {found.size} bytes.',
        )
        return found

    def forget(self, uid: str) -> None:
        self.backoff.forget(uid)
        for key in [key for key in self._errors if key.startswith(uid)]:
            del self._errors[key]
