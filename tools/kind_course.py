"""The whole course on a kind cluster of its own, in one command: up, every lab's solution and checks, the table, down. See docs/kind.md.

Each step that fails says what it was and what to do; the cluster is removed whatever happens, unless ``KEEP=1``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CLUSTER = "course"
HALAB = [sys.executable, "-m", "halab.cli"]


def step(what: str, *command: str) -> int:
    print(f"--- {what}: {' '.join(command[-6:])}", flush=True)
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def main() -> int:
    step("this machine", *HALAB, "doctor")
    try:
        if status := step("the cluster", *HALAB, "up", "--backend", "kind", "--name", CLUSTER):
            print("the cluster did not come up; the line above says why and what to do (also: docs/kind.md)", file=sys.stderr)
            return status
        step("what it is", *HALAB, "status", "--name", CLUSTER)
        again = step("a second up only looks", *HALAB, "up", "--name", CLUSTER)
        labs = step("the labs", sys.executable, "tools/conformance.py", "run", "--cluster", CLUSTER, *sys.argv[1:])
        return again or labs
    finally:
        if os.environ.get("KEEP") == "1":
            print(f"kept: {' '.join(HALAB[1:])} down --purge --name {CLUSTER} removes it", flush=True)
        else:
            step("the end", *HALAB, "down", "--purge", "--name", CLUSTER)
            filters = ("--filter", f"label=io.x-k8s.kind.cluster=halab-{CLUSTER}")
            left = subprocess.run(["docker", "ps", "-aq", *filters], capture_output=True, text=True, check=False).stdout.split()
            if left:
                print(f"containers are left: {' '.join(left)}", file=sys.stderr)


if __name__ == "__main__":
    raise SystemExit(main())
