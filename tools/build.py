"""Write every derived file anew (``make build``)."""

from __future__ import annotations

import subprocess
import sys

from derived import DERIVED, ROOT


def main() -> int:
    for one in DERIVED:
        if one.write is None:
            continue
        print(f"build: {one.name}", file=sys.stderr, flush=True)
        if subprocess.run(one.write, cwd=ROOT, check=False).returncode:
            print(f"build: {one.name} failed", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
