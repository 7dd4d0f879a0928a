"""Errors of the API: the Status objects, word for word."""

from __future__ import annotations

import pytest

from halab.cluster.kube import status
from halab.cluster.kube.kinds import CONFIG_MAPS, DEPLOYMENTS


def test_not_found_names_resource_and_group() -> None:
    assert status.not_found(DEPLOYMENTS, "web").status() == {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": 'deployments.apps "web" not found',
        "reason": "NotFound", "details": {"name": "web", "group": "apps", "kind": "deployments"}, "code": 404,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("error", "code", "reason", "message"),
    [
        (status.already_exists(CONFIG_MAPS, "a"), 409, "AlreadyExists", 'configmaps "a" already exists'),
        (
            status.conflict(CONFIG_MAPS, "a"),
            409,
            "Conflict",
            f'Operation cannot be fulfilled on configmaps "a": {status.MODIFIED}',
        ),
        (status.forbidden("", "", "no"), 403, "Forbidden", "forbidden: no"),
        (status.forbidden("pods", "", "no"), 403, "Forbidden", "pods is forbidden: no"),
        (status.forbidden("pods", "a", "no"), 403, "Forbidden", 'pods "a" is forbidden: no'),
        (status.expired("too old"), 410, "Expired", "too old"),
        (status.timeout("waiting", 1), 504, "Timeout", "Timeout: waiting"),
        (status.internal("oops"), 500, "InternalError", "Internal error occurred: oops"),
        (status.unsupported_patch_type(), 415, "UnsupportedMediaType", "415: Unsupported Media Type"),
    ],
)
def test_factories_speak_kubernetes_words(error: status.ApiError, code: int, reason: str, message: str) -> None:
    assert (error.code, error.reason, error.message) == (code, reason, message)


def test_a_status_survives_the_wire() -> None:
    sent = status.too_many_requests("slow down", retry_after=5)
    received = status.from_status(sent.status(), sent.code)
    assert (received.code, received.reason, received.retry_after) == (429, "TooManyRequests", 5)
    assert sent.headers == {"Retry-After": "5"}


def test_invalid_says_equal_faults_once_but_lists_every_cause() -> None:
    fault = status.required("spec.x")
    error = status.invalid(DEPLOYMENTS, "web", [fault, fault])
    assert error.message == 'Deployment.apps "web" is invalid: spec.x: Required value'
    assert len(error.causes) == 2
    two = status.invalid(CONFIG_MAPS, "", [fault, status.duplicate("spec.y", "a")])
    assert two.message == 'ConfigMap "" is invalid: [spec.x: Required value, spec.y: Duplicate value: "a"]'
    assert "name" not in (two.details or {})


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (status.invalid_value("p", 'a "b"\n', "bad"), 'p: Invalid value: "a \\"b\\"\\n": bad'),
        (status.invalid_value("p", None, "bad"), "p: Invalid value: null: bad"),
        (status.invalid_value("p", {"a": "<b>"}), 'p: Invalid value: {"a":"\\u003cb\\u003e"}'),
        (status.invalid_value("p", True), "p: Invalid value: true"),
        (status.invalid_value("p", status.OMITTED, "bad"), "p: Invalid value: bad"),
        (status.not_supported("p", "x", ["a", "b"]), 'p: Unsupported value: "x": supported values: "a", "b"'),
        (status.too_long("p", 63), "p: Too long: may not be more than 63 bytes"),
        (status.too_many("p", 3, 1), "p: Too many: 3: must have at most 1 item"),
        (status.not_found_field("p", "x"), 'p: Not found: "x"'),
        (status.forbidden_field("p", "no"), "p: Forbidden: no"),
    ],
)
def test_field_errors_print_as_go_prints_them(fault: status.FieldError, text: str) -> None:
    assert str(fault) == text
