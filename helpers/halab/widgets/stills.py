"""The widgets of this kernel as they stand: their synced traits as plain data, from which a page draws them again without a kernel.

The course's site (``make docs``) is made of such stills; a widget's script neither knows nor cares that nobody answers.
"""

from __future__ import annotations

import json
from typing import Any

from ipywidgets.widgets import widget as registry

from halab.widgets.base import Widget

KERNEL_ONLY = {"layout", "tabbable", "tooltip", "again"}  # of the widget machinery, not of the picture


def stills() -> dict[str, dict[str, Any]]:
    """Model id -> ``{"widget": its class's name, "data": trait -> value, "text": what it says in words}``."""
    # ipywidgets keeps its widgets by model id, which is also what a notebook's output names; there is no public way to that table.
    mine = {name: one for name, one in registry._instances.items() if isinstance(one, Widget)}
    return {name: {"widget": type(one).__name__, "data": _traits(one), "text": repr(one)} for name, one in mine.items()}


def _traits(one: Widget) -> dict[str, Any]:
    names = (name for name in one.trait_names(sync=True) if not name.startswith("_") and name not in KERNEL_ONLY)
    found: dict[str, Any] = json.loads(json.dumps({name: getattr(one, name) for name in names}, default=str))
    return found
