"""Images: built, stored, listed, run, saved and moved without Docker, in the formats of the Open Container Initiative.

``ImageStore.resolve(reference)`` is what a node agent needs; ``halab.images.api`` is what notebooks and the command line use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from halab.images.image import Image
    from halab.images.reference import Reference
    from halab.images.store import ImageStore, default_store

__all__ = ["Image", "ImageStore", "Reference", "default_store"]
_HOMES = {"Image": "image", "Reference": "reference", "ImageStore": "store", "default_store": "store"}


def __getattr__(name: str) -> Any:
    """Names come when they are asked for: `halab up` needs a type of one module here, not all that builds an image."""
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
