"""Signals by the names that Docker takes."""

from __future__ import annotations

import signal


def signal_number(text: str) -> int:
    """``SIGQUIT``, ``QUIT`` or ``3``; SIGTERM for what is none."""
    name = text.upper()
    if name.isdigit():
        return int(name)
    name = name if name.startswith("SIG") else "SIG" + name
    return int(getattr(signal, name, signal.SIGTERM))
