"""A namespace's Pod Security labels: which are refused, and what is said of pods that are there already."""

from __future__ import annotations

from typing import Any

from halab.cluster.apiserver.admission.pod_security import PREFIX, existing, label_faults


def pod(name: str, owner: str = "", **security: Any) -> dict[str, Any]:
    meta: dict[str, Any] = {"name": name}
    if owner:
        meta["ownerReferences"] = [{"uid": owner, "controller": True}]
    return {"metadata": meta, "spec": {"containers": [{"name": "c", "securityContext": security}]}}


def test_labels_that_cannot_be_read_are_refused() -> None:
    assert label_faults({f"{PREFIX}enforce": "baseline", f"{PREFIX}warn-version": "v1.34"}) == []
    found = label_faults({f"{PREFIX}enforce": "foo", f"{PREFIX}enforce-version": "v2.1"})
    assert [str(fault) for fault in found] == [
        'metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "foo": must be one of privileged, baseline, restricted',
        'metadata.labels[pod-security.kubernetes.io/enforce-version]: Invalid value: "v2.1": must be "latest" or "v1.x"',
    ]


def test_pods_that_a_new_level_would_not_let_in_are_named_together() -> None:
    pods = [
        pod("b", privileged=True),
        pod("a", privileged=True),
        pod("r1", "rs"),
        pod("r2", "rs"),
        pod("x", "other", privileged=True),
    ]
    assert existing("n", "baseline", "latest", pods) == [
        'existing pods in namespace "n" violate the new PodSecurity enforce level "baseline:latest"',
        "a (and 2 other pods): privileged",
    ]
    assert existing("n", "baseline", "latest", [pod("a")]) == []
