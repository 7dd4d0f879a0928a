"""Access reviews that ask for nothing, for too much, or elsewhere."""

from __future__ import annotations

from typing import Any

import pytest

from halab.cluster.apiserver import reviews
from halab.cluster.apiserver.request import Request
from halab.cluster.kube import kinds
from halab.cluster.kube.kinds import Kind
from halab.cluster.kube.status import ApiError

ASKED = {"verb": "get", "resource": "pods", "namespace": "n"}


def refused(kind: Kind, **review: Any) -> ApiError:
    request = Request({"method": "POST", "path": "/", "headers": [], "query_string": b""}, None, None)  # type: ignore[arg-type]
    request.namespace = "n"
    with pytest.raises(ApiError) as error:
        reviews._check(kind, {"metadata": {}, **review}, request)
    return error.value


def test_a_refused_review_has_lost_its_kind() -> None:
    error = refused(kinds.SELF_SUBJECT_ACCESS_REVIEWS, spec={})
    assert error.message == (
        '.authorization.k8s.io "" is invalid: spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or '
        "resourceAttributes must be specified"
    )
    assert error.details is not None and "kind" not in error.details and error.details["group"] == "authorization.k8s.io"


def test_what_is_asked_of_a_namespace_is_about_it_and_about_resources() -> None:
    spec = {
        "user": "joe",
        "resourceAttributes": {**ASKED, "namespace": "other"},
        "nonResourceAttributes": {"path": "/", "verb": "get"},
    }
    error = refused(kinds.LOCAL_SUBJECT_ACCESS_REVIEWS, spec=spec)
    assert [cause["field"] for cause in error.causes] == [
        "spec.nonResourceAttributes", "spec.resourceAttributes.namespace", "spec.nonResourceAttributes",
    ]  # fmt: skip
    assert error.causes[1]["message"] == 'Invalid value: "other": must match metadata.namespace'


def test_a_review_has_no_name_and_its_selectors_say_something() -> None:
    spec = {
        "user": "joe",
        "resourceAttributes": {**ASKED, "labelSelector": {}, "fieldSelector": {"rawSelector": "a", "requirements": [{}]}},
    }
    error = refused(kinds.SUBJECT_ACCESS_REVIEWS, spec=spec, metadata={"name": "x"})
    assert [(cause["field"], cause["message"]) for cause in error.causes] == [
        (
            "spec.resourceAttributes.fieldSelector.rawSelector",
            'Invalid value: "a": may not specified at the same time as requirements',
        ),
        (
            "spec.resourceAttributes.labelSelector.requirements",
            "Required value: when spec.resourceAttributes.labelSelector is specified, requirements or rawSelector is required",
        ),
        ("metadata", 'Invalid value: {"name":"x"}: must be empty'),
    ]
