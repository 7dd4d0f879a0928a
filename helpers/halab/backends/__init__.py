"""The kinds of cluster that the course runs on. ``connect`` gives the one that is wanted."""

from __future__ import annotations

import os
from typing import Any

from halab.backends import choice
from halab.backends.base import Backend
from halab.errors import UsageError


def connect(name: str = "") -> Backend:
    """The learner's cluster: ``name``, else ``$HALAB_CLUSTER``, else ``default``.

    Its backend is ``$HALAB_BACKEND``, else what ``halab up --backend`` chose for that name, else the embedded one.
    """
    name = name or os.environ.get("HALAB_CLUSTER", "default")
    wanted = os.environ.get("HALAB_BACKEND", "")
    if not wanted:
        known = choice.read(name)
        wanted = known.backend if known else choice.EMBEDDED
    return make(name, wanted)


def make(name: str, backend: str, options: dict[str, Any] | None = None) -> Backend:
    """``backend`` may be ``auto``. ``options`` are what ``halab up`` was told (see each backend's class)."""
    if backend == choice.AUTO:
        from halab.backends import auto

        backend = auto.choose(name).backend
    match backend:
        case choice.EMBEDDED:
            from halab.backends.embedded import Embedded

            return Embedded(name)
        case choice.KIND:
            from halab.backends.kind import Kind

            return Kind(name, options)
        case choice.EXISTING:
            from halab.backends.existing import Existing

            return Existing(name, options)
    raise UsageError(f"backend {backend}", "is not known", f"one of: {', '.join(choice.BACKENDS)}")
