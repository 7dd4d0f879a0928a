"""``binder/environment.yml`` is the root's ``environment.yml``: repo2docker reads the first alone, conda users the second.

``python tools/binder.py write`` copies, ``check`` compares.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE, COPY = ROOT / "environment.yml", ROOT / "binder" / "environment.yml"


def main(arguments: list[str]) -> int:
    if arguments == ["write"]:
        COPY.write_bytes(SOURCE.read_bytes())
        return 0
    if arguments != ["check"]:
        print(__doc__, file=sys.stderr)
        return 2
    if COPY.read_bytes() == SOURCE.read_bytes():
        return 0
    print("binder/environment.yml is not environment.yml; run: make build", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
