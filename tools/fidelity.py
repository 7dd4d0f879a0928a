"""``docs/fidelity.md`` from the table in ``helpers/halab/fidelity.py``: ``python tools/fidelity.py write | check``."""

from __future__ import annotations

import sys
from pathlib import Path

from halab import fidelity

PAGE = Path(__file__).resolve().parent.parent / "docs" / "fidelity.md"


def main(arguments: list[str]) -> int:
    if arguments == ["write"]:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(fidelity.markdown())
        return 0
    if arguments != ["check"]:
        print(__doc__, file=sys.stderr)
        return 2
    if PAGE.is_file() and PAGE.read_text() == fidelity.markdown():
        return 0
    print("docs/fidelity.md is not what helpers/halab/fidelity.py says; run: make build", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
