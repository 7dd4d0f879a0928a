"""``python -m benchmarks [NAME ...]``: measure, print a table on standard error and one JSON object on standard output."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from benchmarks import api, cluster, crowd, widgets, workload
from benchmarks.measure import Row, say

ALL: dict[str, Callable[[], list[Row]]] = {
    "up": cluster.up,
    "apply": workload.apply,
    "restart": workload.restart,
    "idle": cluster.idle,
    "create": api.create,
    "list": api.listing,
    "service": workload.service,
    "crowd": crowd.crowd,
    "widgets": widgets.widgets,
}


def main(names: list[str]) -> int:
    if unknown := [name for name in names if name not in ALL]:
        print(f"unknown: {', '.join(unknown)}; there are: {', '.join(ALL)}", file=sys.stderr)
        return 2
    rows: list[Row] = []
    for name in names or ALL:
        say(name)
        rows += ALL[name]()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    machine = {
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(memory, 1),
        "load": os.getloadavg()[0],
        "cpu": _cpu(),
        "python": platform.python_version(),
    }
    _table(rows, machine)
    json.dump({"machine": machine, "rows": [asdict(row) | {"met": row.met} for row in rows]}, sys.stdout, indent=2)
    print()
    return 0


def _cpu() -> str:
    models = [
        line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")
    ]
    return models[0] if models else platform.machine()


def _table(rows: list[Row], machine: dict[str, object]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{machine['cores']} cores ({machine['cpu']}), {machine['memory_gb']} GB, Python {machine['python']}")
    for heading, side in (("what", "left"), ("measured", "right"), ("budget", "right"), ("", "left"), ("load", "right")):
        table.add_column(heading, justify=side)  # type: ignore[arg-type]
    for row in rows:
        budget = "" if row.budget is None else f"{row.budget:g} {row.unit}"
        verdict = {None: "", True: "met", False: "[red]over[/red]" if row.better == "lower" else "[red]under[/red]"}[row.met]
        table.add_row(row.what, f"{row.value:.2f} {row.unit}", budget, verdict, f"{row.load:g}")
    Console(stderr=True, width=100).print(table)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
