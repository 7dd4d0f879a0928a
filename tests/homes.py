"""Clusters that several tests share have homes of their own; ``$HALAB_HOME`` names one only while it is set up, used or torn down.

A session fixture that left the variable changed would send the next test, of another folder, to the wrong cluster.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def at_home(home: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HALAB_HOME", str(home))
        yield
