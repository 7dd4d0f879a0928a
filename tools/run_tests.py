"""Run the tests (``make test``): as many at once as the machine has cores, each cluster with a home of its own.

Arguments go to pytest as they are: ``python tools/run_tests.py tests/unit -k quantity``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: list[str]) -> int:
    cores = len(os.sched_getaffinity(0))
    # A cluster's test waits more than it computes, but two clusters that start at once on one core only slow each other down.
    workers = [] if any(one.startswith(("-n", "-p", "--pdb")) for one in arguments) else ["-n", str(max(2, min(cores, 8)))]
    command = [sys.executable, "-m", "pytest", *workers, "--dist", "worksteal", *arguments]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
