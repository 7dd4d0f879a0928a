"""Pods that ask for devices where nobody has any."""

from __future__ import annotations

import pytest
from scheduler_objects import node, pod, snapshot

from halab.cluster.kube.types import Obj
from halab.cluster.scheduler.filters import feasible
from halab.cluster.scheduler.status import Unfit, Waits

WANTS = [{"name": "gpu", "resourceClaimName": "mine"}]
FROM_TEMPLATE = [{"name": "gpu", "resourceClaimTemplateName": "t"}]
CLAIM: Obj = {"spec": {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "gpus"}}]}}}


def refusal(claims: list[Obj], status: Obj | None = None, **parts: object) -> str:
    with pytest.raises(Unfit) as unfit:
        feasible(pod(resourceClaims=claims, status=status or {}), snapshot(node("a"), node("b"), **parts))
    return unfit.value.message()


def test_a_pod_is_not_tried_before_its_claims_are_there() -> None:
    for claims in (WANTS, FROM_TEMPLATE):
        with pytest.raises(Waits):
            feasible(pod(resourceClaims=claims), snapshot(node("a")))


def test_what_nobody_allocates_keeps_a_pod_from_every_node() -> None:
    there = {"resource_claims": {"mine": CLAIM, "x-gpu-1": CLAIM}, "device_classes": {"gpus"}}
    wanted = "0/2 nodes are available: 2 cannot allocate all claims."
    assert refusal(WANTS, **there) == wanted
    made = {"resourceClaimStatuses": [{"name": "gpu", "resourceClaimName": "x-gpu-1"}]}
    assert refusal(FROM_TEMPLATE, made, **there) == wanted


def test_a_class_that_is_not_there_is_named() -> None:
    assert refusal(WANTS, resource_claims={"mine": CLAIM}) == (
        "0/2 nodes are available: request r: device class gpus does not exist."
    )


def test_an_allocated_claim_holds_nobody_up() -> None:
    done = {**CLAIM, "status": {"allocation": {}}}
    _, found = feasible(pod(resourceClaims=WANTS), snapshot(node("a"), resource_claims={"mine": done}))
    assert [each.name for each in found] == ["a"]
