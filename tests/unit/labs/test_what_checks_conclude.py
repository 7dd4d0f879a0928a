"""The pure parts of checks: what they conclude from what was seen."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

LABS = Path(__file__).resolve().parents[3] / "labs"


def checks_of(slug: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"checks_{slug[:2]}", LABS / slug / "checks.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rule(group: str, resource: str, verbs: list[str], names: list[str] | None = None) -> dict[str, Any]:
    return {
        "apiGroups": [group],
        "resources": [resource],
        "verbs": verbs,
        "resourceNames": names or [],
    }


ENOUGH = [
    rule("authorization.k8s.io", "selfsubjectrulesreviews", ["create"]),
    rule("", "pods", ["get", "list", "watch"]),
    rule("apps", "deployments", ["get"], ["web"]),
    rule("apps", "deployments/scale", ["get", "patch"], ["web"]),
]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ([], []),
        ([rule("", "pods/exec", ["create"])], ["create pods/exec"]),
        ([rule("", "secrets", ["get"], ["pay-key"])], ["get secrets called pay-key"]),
        ([rule("apps", "deployments", ["get"])], ["get deployments"]),
        (
            [rule("apps", "deployments/scale", ["patch"], ["web", "ledger"])],
            ["patch deployments/scale called web or ledger"],
        ),
        ([rule("*", "*", ["*"])], ["* *"]),
    ],
)
def test_whatever_the_robot_may_beyond_its_work_is_named(more: list[dict[str, Any]], words: list[str]) -> None:
    assert checks_of("13-secure").beyond([*ENOUGH, *more]) == words


def test_a_pod_that_a_drain_could_not_evict_is_told_from_one_that_leaves() -> None:
    pods: list[dict[str, Any]] = [
        {"metadata": {"name": "shop-1"}},
        {"metadata": {"name": "shop-2", "deletionTimestamp": "2026-01-01T00:00:00Z"}},
        {"metadata": {"name": "shop-3"}},
    ]
    not_evicted = checks_of("15-game-day").not_evicted
    assert not_evicted("node node-2; pod lab-15-game-day/shop-1; pod lab-15-game-day/shop-2", pods) == ["shop-1"]
    assert not_evicted("node node-2", pods) == []
