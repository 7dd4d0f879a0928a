"""Run the tests (``make test``): a few at once, each cluster with a home of its own.

Arguments go to pytest as they are: ``python tools/run_tests.py tests/unit -k quantity``. In CI (``$CI``) tests that failed beside others are
run again, alone: on two cores a dozen clusters can starve one another. Every run is printed, so a test that needs another one is seen.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RETRIES = 2
TESTS_FAILED = 1  # pytest's exit status for failed tests; others are usage errors and the like


def main(arguments: list[str]) -> int:
    cores = len(os.sched_getaffinity(0))
    # A cluster's test waits more than it computes: one worker more than cores keeps them busy, many more only starve one another's clusters.
    workers = [] if any(one.startswith(("-n", "-p", "--pdb")) for one in arguments) else ["-n", str(min(cores + 1, 8))]
    status = pytest(*workers, "--dist", "worksteal", *arguments)
    for _ in range(RETRIES if os.environ.get("CI") else 0):
        if status != TESTS_FAILED:
            break
        print("tests: what failed is run once more, alone", file=sys.stderr, flush=True)
        status = pytest(
            "--last-failed", "--last-failed-no-failures", "none", *(one for one in arguments if not one.startswith("-n"))
        )
    return status


def pytest(*arguments: str) -> int:
    return subprocess.run([sys.executable, "-m", "pytest", *arguments], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
