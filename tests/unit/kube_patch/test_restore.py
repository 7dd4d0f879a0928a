"""What a strategic merge patch of the wrong type is told, in the words of Kubernetes' converter."""

from __future__ import annotations

from typing import Any

import pytest

from halab.cluster.kube import kinds
from halab.cluster.kube.restore import misfit
from halab.cluster.kube.schema import node_for


@pytest.mark.parametrize(
    ("obj", "said"),
    [
        ({"metadata": {"labels": "x"}}, "cannot restore map from string"),
        ({"metadata": []}, "cannot restore struct from: slice"),
        ({"spec": {"template": {"spec": {"containers": {}}}}}, "cannot restore slice from map"),
        ({"spec": {"replicas": "3"}}, "unrecognized type: int32"),
        ({"spec": {"replicas": 1.5}}, "cannot convert float64 to int32"),
        ({"spec": {"replicas": 2.0}}, None),
        ({"spec": {"paused": "no"}}, "unrecognized type: bool"),
        ({"metadata": {"labels": {"a": 1}}}, "cannot convert int64 to string"),
        ({"metadata": {"labels": {"a": True}}}, "unrecognized type: string"),
        ({"spec": {"strategy": {"type": 1}}}, "cannot convert int64 to v1.DeploymentStrategyType"),
        ({"metadata": {"creationTimestamp": 1}}, "json: cannot unmarshal number into Go value of type string"),
        ({"metadata": {"name": None, "labels": {"a": None}}, "spec": {"replicas": 3}}, None),
    ],
)
def test_the_first_value_that_does_not_fit_is_named_as_the_converter_does(obj: dict[str, Any], said: str | None) -> None:
    assert misfit(node_for(kinds.DEPLOYMENTS), obj) == said
