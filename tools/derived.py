"""Every derived file of the repository: the command that writes it, and the check that it is current.

``make build`` runs the first of each row, ``make check`` the second.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = sys.executable


@dataclass(frozen=True, slots=True)
class Derived:
    """``write`` is None where writing needs more than this repository; the check then says what."""

    name: str
    write: list[str] | None
    check: list[str]


def tool(name: str, *arguments: str) -> list[str]:
    return [PYTHON, str(ROOT / "tools" / name), *arguments]


DERIVED = (
    Derived("uv.lock", tool("lock.py", "update"), tool("lock.py", "check")),
    Derived("binder/environment.yml", tool("binder.py", "write"), tool("binder.py", "check")),
    Derived("cluster/kube/definitions.json", None, tool("kube_definitions.py", "--check")),
    Derived("widgets/vendor", None, tool("vendor.py", "verify")),
    Derived("docs/fidelity.md", tool("fidelity.py", "write"), tool("fidelity.py", "check")),
    Derived("docs/proofs.md", tool("proofs.py", "write"), tool("proofs.py", "check")),
    Derived("notebooks", tool("notebooks.py", "build"), tool("notebooks.py", "verify")),
)
