"""Everything that can be said about the tree without running it (``make check``): all of it is said, not only the first fault."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from derived import DERIVED, ROOT

BIN = Path(sys.executable).parent

CHECKS: list[tuple[str, list[str]]] = [
    ("lint", [str(BIN / "ruff"), "check", "--quiet", "."]),
    ("format", [str(BIN / "ruff"), "format", "--check", "--quiet", "."]),
    ("types", [str(BIN / "mypy"), "--no-error-summary"]),
    ("import contracts", [str(BIN / "lint-imports"), "--no-cache"]),
    *((one.name, one.check) for one in DERIVED),
]


def main() -> int:
    failed = []
    for name, command in CHECKS:
        began = time.monotonic()
        done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
        good = done.returncode == 0
        print(f"{'ok    ' if good else 'FAILED'} {name} ({time.monotonic() - began:.1f} s)", file=sys.stderr, flush=True)
        if not good:
            failed.append(name)
            print(done.stdout + done.stderr, file=sys.stderr, flush=True)
    print("check: " + (f"failed: {', '.join(failed)}" if failed else "all good"), file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
