"""The namespace that a learner means when none is named: the one that kubectl would use."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from halab.backends.base import Backend


def current_namespace(backend: Backend) -> str:
    """Of ``$KUBECONFIG``'s current context if that leads to this cluster, else ``default``."""
    named = os.environ.get("KUBECONFIG", "").partition(os.pathsep)[0]
    for path in (Path(named),) if named else ():
        try:
            ours, theirs = (_context(yaml.safe_load(file.read_text())) for file in (backend.kubeconfig(), path))
        except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
            return "default"
        if ours[0] == theirs[0]:
            return theirs[1]
    return "default"


def _context(config: dict[str, Any]) -> tuple[str, str]:
    """The server and the namespace of the current context."""
    current = next(each["context"] for each in config["contexts"] if each["name"] == config["current-context"])
    server = next(each["cluster"]["server"] for each in config["clusters"] if each["name"] == current["cluster"])
    return server, current.get("namespace") or "default"
