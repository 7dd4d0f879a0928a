"""``docs/proofs.md`` from what ``make prove RECORD=docs/proofs`` wrote down: ``python tools/proofs.py write | check``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import median
from typing import Any

from halab.course import catalog

ROOT = Path(__file__).resolve().parent.parent
PAGE, RECORDS = ROOT / "docs" / "proofs.md", ROOT / "docs" / "proofs"
HEAD = """# Labs, proven

Written by `tools/proofs.py` from records of `make prove LAB=NN TIMES=10 RECORD=docs/proofs`; not by hand. A record is written only if nothing in its
run failed: a lab whose solution fails once in ten begins at one again.

What a run shows of a lab: its pristine scene fails every task (but those that are given); its solution passes every task, so many times in a row; each of its
typical mistakes fails its task and gets its hint; a reset brings the beginning back and moves the learner's files aside; at the end no process is left, the home
holds no cluster, and the cluster has no namespace, node, taint or other object without a namespace that was not there before.

*Solution* is the time of the solution and of all checks, *reset* that of a reset of a scene that was played; *load* is the machine's load average meanwhile,
lowest and highest.

| lab | solution passed | median | slowest | mistakes hinted | reset, median | slowest | load on cores | on |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""


def row(slug: str, seen: dict[str, Any] | None) -> str:
    if seen is None:
        return f"| {slug} | not run | | | | | | | |\n"
    took, resets, load = seen["seconds"], seen["resets"], seen["load"]
    cells = (
        slug,
        f"{len(took)} of {seen['runs']}",
        f"{median(took):.0f} s",
        f"{max(took):.0f} s",
        f"{seen['mistakes']} of {seen['mistakes']}",
        f"{median(resets):.1f} s",
        f"{max(resets):.1f} s",
        f"{load[0]:.0f} to {load[1]:.0f} on {seen['cores']}",
        seen["date"],
    )
    return f"| {' | '.join(cells)} |\n"


def markdown() -> str:
    files = {lab.slug: RECORDS / f"{lab.slug}.json" for lab in catalog.load_all(ROOT)}
    return HEAD + "".join(row(slug, json.loads(file.read_text()) if file.is_file() else None) for slug, file in files.items())


def main(arguments: list[str]) -> int:
    if arguments == ["write"]:
        PAGE.write_text(markdown())
        return 0
    if arguments != ["check"]:
        print(__doc__, file=sys.stderr)
        return 2
    if PAGE.is_file() and PAGE.read_text() == markdown():
        return 0
    print("docs/proofs.md is not what docs/proofs/ says; run: make build", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
