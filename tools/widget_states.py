"""A state for every widget, as the kernel would send it."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from halab.faults import api
from halab.traffic.record import Request
from halab.widgets.checklist import Checklist
from halab.widgets.faults import FaultPanel
from halab.widgets.prediction import PredictionWidget
from halab.widgets.rollout import Rollout
from halab.widgets.routes import Routes
from halab.widgets.timeline import Timeline
from halab.widgets.topology import Topology
from halab.widgets.traffic import TrafficMeter
from halab.widgets.traffic_view import Fold
from stage import picture

START = 1_790_000_000.0


def record() -> list[dict[str, Any]]:
    """Ten seconds in which a pod is lost and replaced, while requests are sent."""
    whole = picture()
    lost = next(key for key in whole if key.startswith("pod/"))
    fault = {"id": "f1", "title": "container-killed", "target": "web-6d4f-0000", "hits": [], "until": START + 7}
    rows: list[dict[str, Any]] = [{"at": START, "whole": True, "set": whole, "gone": []}]
    options = ["two: it is gone", "three: a new pod"]
    rows.append({"at": START + 1, "prediction": {"name": "p", "question": "How many?", "options": options, "chosen": 1}})
    rows.append({"at": START + 3, "fault": fault})
    rows.append({"at": START + 3.1, "set": {}, "gone": [lost]})
    rows.append(
        {
            "at": START + 3.2,
            "event": {"about": "pod web-6d4f-0000", "reason": "Killing", "message": "Stopping", "type": "Warning"},
        }
    )
    rows.append({"at": START + 6, "set": {lost: whole[lost]}, "gone": []})
    rows.append({"at": START + 9, "outcome": {"name": "p", "happened": 1, "seen": "three pods"}})
    for half in range(20):
        failed = 4 if 6 <= half < 9 else 0
        traffic = {"target": "web", "good": 10 - failed, "failed": failed, "ms": 1.0, "by": {}}
        rows.append({"at": START + (half + 1) / 2, "traffic": traffic})
    return sorted(rows, key=lambda row: float(row["at"]))


def states() -> dict[str, tuple[Any, dict[str, Any]]]:
    whole = picture()
    live = {"state": {"seq": 0, "picture": whole}, "delta": {}}
    details = {
        **next(v for k, v in whole.items() if k.startswith("pod/")),
        "events": ["Started: Started container"],
        "log": "one\ntwo",
    }
    fold = Fold()
    for i in range(200):
        fold.add(Request(START + i / 20, 0.002, 200 if i % 40 > 5 else 503, f"web-{i % 3}"))
    counts = {v["name"]: 10 if v["state"] == "ready" else 0 for k, v in whole.items() if k.startswith("pod/")}
    names = {"pod": list(counts), "deployment": ["web"], "service": ["web"], "node": ["node-1"]}
    active = [
        {
            "id": "f1",
            "fault": "container-killed",
            "target": "web-6d4f-0000",
            "hits": ["container web"],
            "until": time.time() + 42,
            "error": "",
        }
    ]
    task = {
        "id": "a",
        "title": "Three pods answer",
        "done": False,
        "active": False,
        "busy": False,
        "text": "2 of 3 pods are ready",
    }
    return {
        "topology": (Topology, {**live, "selected": details["name"], "details": details}),
        "traffic": (TrafficMeter, {"target": "20 requests/s to web", "state": fold.state(), "running": True}),
        "checklist": (Checklist, {"tasks": [task, {**task, "id": "b", "title": "A lost pod is replaced", "done": True}]}),
        "predict": (
            PredictionWidget,
            {"question": "How many pods are there afterwards?", "options": ["two", "three"], "chosen": -1},
        ),
        "timeline": (Timeline, {"rows": {"seq": 0, "rows": record()}, "more": {}, "page": ""}),
        "routes": (Routes, {**live, "shares": counts}),
        "rollout": (Rollout, live),
        "faults": (
            FaultPanel,
            {
                "catalogue": [asdict(one) for one in api.catalogue()],
                "targets": names,
                "active": active,
                "preview": {"fault": "x", "hits": ["container web"]},
                "busy": False,
            },
        ),
    }
