"""The kinds of cluster that the course runs on. ``connect`` gives the one that is wanted."""

from __future__ import annotations

import os

from halab.backends.base import Backend
from halab.errors import UsageError


def connect(name: str = "") -> Backend:
    """The learner's cluster: ``name``, else ``$HALAB_CLUSTER``, else ``default``. The backend is ``$HALAB_BACKEND`` (default embedded)."""
    from halab.backends.embedded import Embedded

    backend = os.environ.get("HALAB_BACKEND", "embedded")
    if backend not in ("embedded", "auto"):
        raise UsageError(f"backend {backend}", "is not known", "backends: embedded")
    return Embedded(name or os.environ.get("HALAB_CLUSTER", "default"))
