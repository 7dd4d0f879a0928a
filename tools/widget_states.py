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
from halab.widgets.traffic_view import Fold, sentence
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
        "events": ["Scheduled: Successfully assigned lab/web-6d4f-0000 to node-1", "Started: Started container web"],
        "log": '10.0.0.1 - - "GET / HTTP/1.1" 200 615\n10.0.0.1 - - "GET / HTTP/1.1" 200 615',
    }
    fold = Fold()
    for i in range(700):  # 35 seconds at twenty a second; one of three pods is gone for four of them
        lost = 320 <= i < 400 and i % 3 == 0
        slow = 0.0005 * (i * i % 7) + (0.004 if 320 <= i < 420 else 0)
        fold.add(
            Request(
                START + i / 20,
                0.002 + slow,
                0 if lost else 200,
                "" if lost else f"web-6d4f-000{i % 3}",
                "connection refused" if lost else "",
            )
        )
    seen = fold.state()
    counts = {v["name"]: 10 if v["state"] == "ready" else 0 for k, v in whole.items() if k.startswith("pod/")}
    names = {"pod": list(counts), "deployment": ["web"], "service": ["web"], "node": ["node-1"]}
    active = [
        {
            "id": "f1",
            "fault": "latency",
            "target": "service/web",
            "hits": ["every request for service lab/web"],
            "until": time.time() + 42.4,
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
        "topology": (
            Topology,
            {**live, "selected": details["name"], "details": details, "said": "pod web-6d4f-0003 is not ready"},
        ),
        "away": (
            Topology,
            {
                **live,
                "selected": "",
                "details": {},
                "said": "",
                "away": "The API server has not answered since 12:00:05; this is how it was then.",
            },
        ),
        "traffic": (
            TrafficMeter,
            {"target": "20 requests/s to web", "state": seen, "running": True, "said": sentence(seen, True)},
        ),
        "checklist": (
            Checklist,
            {
                "title": "02 · Deploy",
                "tasks": [
                    {**task, "id": "b", "title": "A lost pod is replaced", "done": True, "text": "a new pod took its place"},
                    task,
                ],
                "said": "done: A lost pod is replaced",
            },
        ),
        "predict": (
            PredictionWidget,
            {
                "question": "How many pods are there afterwards?",
                "options": ["two", "three"],
                "chosen": -1,
                "happened": -1,
                "seen": "",
            },
        ),
        "predicted": (
            PredictionWidget,
            {
                "question": "You delete one of three pods. How many are there ten seconds later?",
                "options": ["two: it is gone", "three: a new pod took its place"],
                "chosen": 0,
                "happened": 1,
                "seen": "3 pods, of which web-6d4f-x7k2p is new",
            },
        ),
        "timeline": (Timeline, {"rows": {"seq": 0, "rows": record()}, "more": {}, "page": ""}),
        "routes": (Routes, {**live, "shares": {"ingress": counts}, "said": "service web leads to 5 of 6 pods"}),
        "rollout": (Rollout, {**live, "said": "web: rolling out, 5 of 6 available"}),
        "faults": (
            FaultPanel,
            {
                "catalogue": [asdict(one) for one in api.catalogue()],
                "targets": names,
                "active": active,
                "preview": {
                    "fault": "container-killed",
                    "target": "web-6d4f-0000",
                    "hits": ["container web of pod lab/web-6d4f-0000 on node-1"],
                },
                "busy": False,
                "said": "injected: latency; hits every request for service lab/web",
            },
        ),
    }
