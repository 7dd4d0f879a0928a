"""What a node agent asks for: an image by Kubernetes' pull policies, from the store, the built-in bases, or a registry on this machine."""

from __future__ import annotations

from pathlib import Path

from halab.errors import ImageError
from halab.images.image import Image
from halab.images.reference import Reference
from halab.images.registry import client
from halab.images.store import ImageStore


def from_registry(reference: str) -> bool:
    """Whether the name begins with a registry on this machine (127.x.y.z:PORT or localhost), which can be asked."""
    try:
        return client.is_local(Reference.parse(reference).registry)
    except ImageError:
        return False


def pull(store: ImageStore, reference: str, *, home: Path | None = None) -> Image:
    """Fetch from the registry in the name or its mirrors. Blocks on the network: call it in a thread. Raises ImageError."""
    return client.pull(store, reference, lambda _: None, home=home)


def provide(store: ImageStore, reference: str, policy: str = "IfNotPresent", *, home: Path | None = None) -> Image:
    """``policy`` is imagePullPolicy. Always asks the registry each time; other names than a local registry's come from the store or the
    built-in bases, because a machine without Docker Hub cannot ask it. Raises ImageError. May block on the network.
    """
    if policy == "Never":
        if not store.contains(reference):
            raise ImageError(f"Container image {reference!r}", "is not present with pull policy of Never")
        return store.resolve(reference)
    if from_registry(reference) and (policy == "Always" or not store.contains(reference)):
        return pull(store, reference, home=home)
    return store.resolve(reference)
