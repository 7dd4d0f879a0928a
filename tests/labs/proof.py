"""What a proof of a lab saw: how often it was played, how long that took, what the machine was doing meanwhile; and what a lab may not leave."""

from __future__ import annotations

import json
import os
import subprocess
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

OTHERS = {"csinodes", "events", "leases"}  # what a cluster writes about itself
SOLUTION, MISTAKE = "test_pristine_fails_and_the_solution_passes", "test_a_mistake_gets_its_hint"


class Proof:
    """Collects a run's ``user_properties`` (lab, seconds, reset, load) and writes one file a lab if nothing failed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seen: dict[str, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "teardown" or (lab := dict(report.user_properties).get("lab")) is None:
            return
        seen = self.seen[str(lab)]
        for name, value in report.user_properties:
            seen[name].append(value)
        seen["tests"].append(report.nodeid.rpartition("::")[2].partition("[")[0])

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        if exitstatus != pytest.ExitCode.OK:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        for lab, seen in self.seen.items():
            document = {
                "lab": lab,
                "date": datetime.now(UTC).strftime("%Y-%m-%d"),
                "cores": len(os.sched_getaffinity(0)),
                "runs": seen["tests"].count(SOLUTION),
                "mistakes": seen["tests"].count(MISTAKE),
                "seconds": [round(value, 1) for value in seen["seconds"]],
                "resets": [round(value, 2) for value in seen["reset"]],
                "load": [round(value, 1) for value in (min(seen["load"]), max(seen["load"]))],
            }
            (self.folder / f"{lab}.json").write_text(json.dumps(document, indent=1) + "\n")


def cluster_wide(kubeconfig: Path) -> set[str]:
    """The objects without a namespace, as ``kind/name``, with the nodes' taints: what a lab may change only for the time in which it is played."""

    def kubectl(*arguments: str) -> str:
        command = ["kubectl", "--kubeconfig", str(kubeconfig), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout

    kinds = kubectl("api-resources", "--namespaced=false", "--verbs=list", "-o", "name").split()
    wanted = ",".join(kind for kind in kinds if kind.partition(".")[0] not in OTHERS)
    taints = "{range .items[*]}{.metadata.name} has {.spec.taints}{'\\n'}{end}".replace("'", '"')
    return {*kubectl("get", wanted, "-o", "name").split("\n"), *kubectl("get", "nodes", "-o", f"jsonpath={taints}").split("\n")}
