"""What ``kubectl get`` shows: columns and cells."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from halab.cluster.kube import kinds
from halab.cluster.kube.kinds import BUILTIN, Kind
from halab.cluster.kube.table import table
from halab.cluster.kube.tables.columns import duration
from halab.cluster.kube.types import Obj

NOW = datetime(2026, 1, 1, 1, 0, 0, tzinfo=UTC)
CREATED = "2026-01-01T00:55:00Z"


def cells(kind: Kind, **obj: Any) -> list[Any]:
    whole: Obj = {"metadata": {"name": "x", "creationTimestamp": CREATED, **obj.pop("metadata", {})}, **obj}
    row: list[Any] = table(kind, [whole], "None", NOW)["rows"][0]["cells"]
    return row


@pytest.mark.parametrize("kind", BUILTIN, ids=lambda kind: f"{kind.group}/{kind.kind}")
def test_every_kind_has_a_cell_a_column(kind: Kind) -> None:
    shown = table(kind, [{"metadata": {"name": "x"}}], "Metadata", NOW)
    assert len(shown["rows"][0]["cells"]) == len(shown["columnDefinitions"])
    assert shown["rows"][0]["object"]["kind"] == "PartialObjectMetadata"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (125, "2m5s"),
        (600, "10m"),
        (3 * 3600, "3h"),
        (8 * 3600 + 60, "8h"),
        (49 * 3600, "2d1h"),
        (9 * 86400, "9d"),
    ],
)
def test_ages_have_at_most_two_units(seconds: int, text: str) -> None:
    assert duration(seconds) == text


def status(name: str, *, ready: bool = False, restarts: int = 0, last: Obj | None = None, **state: Any) -> Obj:
    return {"name": name, "ready": ready, "restartCount": restarts, "state": state, "lastState": last or {}}


SPEC = {"containers": [{"name": "a"}, {"name": "b"}]}
PODS: list[tuple[str, Obj, list[Any]]] = [
    ("waits", {"status": {"phase": "Pending"}}, ["0/2", "Pending", "0"]),
    (
        "crashes",
        {
            "status": {
                "phase": "Running",
                "containerStatuses": [
                    status("a", ready=True, running={}),
                    status(
                        "b",
                        restarts=2,
                        waiting={"reason": "CrashLoopBackOff"},
                        last={"terminated": {"finishedAt": "2026-01-01T00:59:30Z"}},
                    ),
                ],
            }
        },
        ["1/2", "CrashLoopBackOff", "2 (30s ago)"],
    ),
    (
        "one container is done",
        {
            "status": {
                "phase": "Running",
                "containerStatuses": [status("a", terminated={"reason": "Completed"}), status("b", ready=True, running={})],
                "conditions": [{"type": "Ready", "status": "False"}],
            }
        },
        ["1/2", "NotReady", "0"],
    ),
    (
        "initialises",
        {
            "spec": {**SPEC, "initContainers": [{"name": "i"}, {"name": "j"}]},
            "status": {
                "phase": "Pending",
                "initContainerStatuses": [status("i", terminated={"exitCode": 0}), status("j", running={})],
            },
        },
        ["0/2", "Init:1/2", "0"],
    ),
    (
        "has a sidecar",
        {
            "spec": {**SPEC, "initContainers": [{"name": "i", "restartPolicy": "Always"}]},
            "status": {
                "phase": "Running",
                "initContainerStatuses": [{**status("i", ready=True, running={}), "started": True}],
                "containerStatuses": [status("a", ready=True, running={}), status("b", ready=True, running={})],
            },
        },
        ["3/3", "Running", "0"],
    ),
    ("ends", {"metadata": {"deletionTimestamp": CREATED}, "status": {"phase": "Running"}}, ["0/2", "Terminating", "0"]),
    (
        "exits",
        {"status": {"phase": "Failed", "containerStatuses": [status("a", terminated={"exitCode": 3})]}},
        ["0/2", "ExitCode:3", "0"],
    ),
]


@pytest.mark.parametrize(("name", "pod", "shown"), PODS, ids=[name for name, _, _ in PODS])
def test_a_pod_is_summed_up_in_one_word(name: str, pod: Obj, shown: list[Any]) -> None:
    assert cells(kinds.PODS, **{"spec": SPEC, **pod})[1:4] == shown


def test_a_job_shows_its_state_and_how_far_it_is() -> None:
    spec = {"completions": 2, "parallelism": 1}
    done = {
        "conditions": [{"type": "Complete", "status": "True"}],
        "succeeded": 2,
        "startTime": CREATED,
        "completionTime": "2026-01-01T00:55:07Z",
    }
    assert cells(kinds.JOBS, spec=spec, status=done)[1:5] == ["Complete", "2/2", "7s", "5m"]
    assert cells(kinds.JOBS, spec={"parallelism": 3}, status={"startTime": CREATED})[1:4] == ["Running", "0/1 of 3", "5m"]


def test_services_show_addresses_and_ports() -> None:
    spec = {"type": "LoadBalancer", "clusterIP": "10.0.0.1", "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}]}
    assert cells(kinds.SERVICES, spec=spec)[1:5] == ["LoadBalancer", "10.0.0.1", "<pending>", "80:30080/TCP"]
    assert cells(kinds.SERVICES, spec={"type": "ExternalName", "externalName": "e.example"})[1:5] == [
        "ExternalName",
        "<none>",
        "e.example",
        "<none>",
    ]


def test_an_autoscaler_shows_its_metrics() -> None:
    metric = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}
    spec = {"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "maxReplicas": 5, "minReplicas": 1, "metrics": [metric]}
    assert cells(kinds.HORIZONTAL_POD_AUTOSCALERS, spec=spec)[1:6] == ["Deployment/web", "cpu: <unknown>/50%", "1", 5, 0]


def test_completed_pods_carry_a_row_condition() -> None:
    row = table(kinds.PODS, [{"metadata": {"name": "x"}, "status": {"phase": "Succeeded"}}], "None", NOW)["rows"][0]
    assert row["conditions"][0]["reason"] == "Succeeded"
    assert row["object"] is None
