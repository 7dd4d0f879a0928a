"""Play every lab's solution on a cluster, as its tests do, and write down what passed: the table in docs/conformance.md.

    tools/conformance.py run --cluster NAME     # a cluster that `halab up` brought up; its backend is read from it
    tools/conformance.py render                 # docs/conformance/*.json -> docs/conformance.md

A lab's row holds what was seen in a run. What was not run says so: nothing is carried over from another backend.
"""

from __future__ import annotations

import argparse
import json
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from halab import backends
from halab.backends.features import WORDS
from halab.course import catalog
from halab.errors import HalabError
from halab.session import open_lab

ROOT = Path(__file__).resolve().parents[1]
RESULTS, TABLE = ROOT / "docs" / "conformance", ROOT / "docs" / "conformance.md"
BACKENDS = {
    "embedded": "embedded",
    "docker": "embedded, `--runtime docker`",
    "kind": "kind",
    "existing": "existing",
}  # a file of results -> its column
NOT_RUN = "not run here"

Row = dict[str, Any]


def play(lab: catalog.Lab, cluster: str) -> Row:
    """One lab: its scene, its solution, its checks. ``result`` is passed, failed or cannot (the cluster lacks what the lab requires)."""
    began = time.monotonic()
    row: Row = {"result": "passed", "tasks": len(lab.tasks), "passed": 0, "seen": ""}
    backend = backends.connect(cluster)
    try:
        lacking = sorted(set(lab.features) - backend.features())
        few = lab.nodes > backend.summary().nodes
        if lacking or few:
            why = ", ".join([*lacking, *([f"{lab.nodes} nodes"] if few else [])])
            return row | {"result": "cannot", "seen": f"needs {why}", "needs": lacking, "seconds": 0.0}
        session = open_lab(lab.slug, cluster=cluster, quiet=True)
        session.reset(quiet=True)
        session.solve()
        for task in lab.tasks:
            result = session.runner.check(task)
            if result:
                row["passed"] += 1
            else:
                row |= {"result": "failed", "seen": row["seen"] or f"{task.id}: {result}"}
        session.reset(quiet=True)
    except Exception as error:  # whatever it is, it is this lab's result, and the others are still to be played
        text = (
            str(error)
            if isinstance(error, HalabError)
            else f"{type(error).__name__} {error} at {traceback.extract_tb(error.__traceback__)[-1].name}"
        )
        row |= {"result": "failed", "seen": text}
    return row | {"seconds": round(time.monotonic() - began, 1)}


def run(cluster: str, only: list[str], note: str = "") -> int:
    """All labs (or ``only``) on ``cluster``; 0 if none failed. Results of labs that are not played are kept as they were."""
    summary = backends.connect(cluster).summary()
    column = column_of(cluster, summary.backend)
    file = RESULTS / f"{column}.json"
    known: Row = json.loads(file.read_text()) if file.exists() else {"labs": {}}
    known |= {"backend": column, "nodes": summary.nodes, "date": datetime.now(UTC).date().isoformat()}
    if note:
        known["note"] = note
    failed = 0
    for lab in catalog.load_all(ROOT):
        if only and lab.slug not in only and lab.number not in only:
            continue
        row = known["labs"][lab.slug] = play(lab, cluster)
        failed += row["result"] == "failed"
        seen = f": {row['seen']}" if row["seen"] else ""
        print(f"{row['result']:7} {lab.slug} ({row['passed']} of {row['tasks']} tasks, {row['seconds']} s){seen}", flush=True)
        RESULTS.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n")
    return 1 if failed else 0


def column_of(cluster: str, backend: str) -> str:
    """The embedded cluster's two runtimes are two columns."""
    from halab.cluster.supervisor import manage
    from halab.settings import DOCKER

    config = manage.status(cluster).config if backend == "embedded" else None
    return "docker" if config is not None and config.runtime == DOCKER else backend


def table() -> str:
    """The Markdown of docs/conformance.md."""
    known = {name: _known(name) for name in BACKENDS}
    lines = [
        "# Labs by backend",
        "",
        "Written by `tools/conformance.py` from runs of each lab's solution and checks; not by hand. What was not run says so.",
        "",
        f"| lab | {' | '.join(BACKENDS.values())} |",
        f"| --- |{' --- |' * len(BACKENDS)}",
    ]
    for lab in catalog.load_all(ROOT):
        lines.append(f"| {lab.slug} | {' | '.join(_cell(known[name].get('labs', {}).get(lab.slug)) for name in BACKENDS)} |")
    needed = sorted({name for found in known.values() for row in found.get("labs", {}).values() for name in row.get("needs", ())})
    legend = [
        "",
        "Where a lab was not played because the cluster lacks something:",
        "",
        *(f"- {name}: {WORDS[name]}" for name in needed),
    ]
    lines += [
        *(legend if needed else ()),
        "",
        "Runs:",
        "",
        *(f"- {title}: {_when(known[name])}" for name, title in BACKENDS.items()),
        "",
    ]
    return "\n".join(lines)


def _known(backend: str) -> Row:
    file = RESULTS / f"{backend}.json"
    found: Row = json.loads(file.read_text()) if file.exists() else {}
    return found


def _when(found: Row) -> str:
    return (
        f"last run {found['date']}, {found['nodes']} nodes for pods{'; ' if found.get('note') else ''}{found.get('note', '')}"
        if found
        else NOT_RUN
    )


def _cell(row: Row | None) -> str:
    if row is None:
        return NOT_RUN
    if row["result"] == "cannot":
        return str(row["seen"])
    return f"{row['result']} ({row['passed']}/{row['tasks']})"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    playing = commands.add_parser("run")
    playing.add_argument("--cluster", default="default")
    playing.add_argument("--note", default="", help="a line about the run, for the table")
    playing.add_argument("labs", nargs="*", help="only these (slug or number)")
    commands.add_parser("render")
    given = parser.parse_args()
    status = run(given.cluster, given.labs, given.note) if given.command == "run" else 0
    TABLE.write_text(table())
    return status


if __name__ == "__main__":
    raise SystemExit(main())
