"""What is said about webhook configurations, admission policies and bindings."""

from __future__ import annotations

from typing import Any

import pytest

from halab.cluster.kube.validation import admission

RULE = {"operations": ["CREATE"], "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"]}
HOOK = {
    "name": "a.b.io",
    "sideEffects": "None",
    "admissionReviewVersions": ["v1"],
    "clientConfig": {"url": "https://h/x"},
    "rules": [RULE],
}
MATCH = {"matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {}, "resourceRules": [RULE]}


def faults(rule: Any, **obj: Any) -> list[str]:
    errors: list[Any] = []
    rule(errors, {"metadata": {"name": "x"}, **obj})
    return [str(error) for error in errors]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({}, None),
        ({"name": "a.io"}, 'name: Invalid value: "a.io": should be a domain with at least three segments separated by dots'),
        ({"sideEffects": "Some"}, 'sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun"'),
        ({"timeoutSeconds": 31}, "timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds"),
        (
            {"clientConfig": {"url": "http://h/x"}},
            "clientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme; desired format: https://host[/path]",
        ),
        (
            {"rules": [{**RULE, "resources": ["*", "pods"]}]},
            'rules[0].resources: Invalid value: ["*","pods"]: if \'*\' is present, must not specify other resources without subresources',
        ),
        (
            {"matchConditions": [{"name": "c", "expression": "foo.bar"}]},
            "matchConditions[0].expression: Invalid value: \"foo.bar\": compilation failed: ERROR: <input>:1:1: undeclared reference to 'foo' "
            "(in container '')\n | foo.bar\n | ^",
        ),
        ({"admissionReviewVersions": []}, "admissionReviewVersions: Required value: must specify one of v1, v1beta1"),
    ],
)
def test_webhooks(change: dict[str, Any], fault: str | None) -> None:
    assert faults(admission.webhooks, webhooks=[{**HOOK, **change}]) == ([f"webhooks[0].{fault}"] if fault else [])


def test_policies() -> None:
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": MATCH,
        "variables": [
            {"name": "a", "expression": "object.spec.replicas"},
            {"name": "b", "expression": "variables.a + variables.c"},
        ],
        "validations": [
            {"expression": "variables.b < 5", "messageExpression": "1 + 1"},
            {"expression": "'x'"},
            {"expression": " "},
        ],
    }
    assert faults(admission.policy, spec=spec) == [
        "spec.variables[1].expression: Invalid value: \"variables.a + variables.c\": compilation failed: ERROR: <input>:1:24: undefined field 'c'\n"
        " | variables.a + variables.c\n | .......................^",
        'spec.validations[0].messageExpression: Invalid value: "1 + 1": must evaluate to string',
        "spec.validations[1].expression: Invalid value: \"'x'\": must evaluate to bool",
        "spec.validations[2].expression: Required value: expression is not specified",
    ]
    assert faults(admission.policy, spec={"failurePolicy": "Fail"}) == [
        "spec.matchConstraints: Required value",
        "spec.validations: Required value: validations or auditAnnotations must contain at least one item",
        "spec.auditAnnotations: Required value: validations or auditAnnotations must contain at least one item",
    ]


def test_bindings() -> None:
    assert faults(admission.binding, spec={"policyName": "p", "validationActions": ["Deny", "Warn", "Deny"]}) == [
        'spec.validationActions[2]: Duplicate value: "Deny"',
        'spec.validationActions: Invalid value: ["Deny","Warn","Deny"]: must not contain both Deny and Warn (repeating the same validation failure '
        "information in the API response and headers serves no purpose)",
    ]
    assert faults(admission.binding, spec={"paramRef": {"name": "a", "selector": {}}}) == [
        "spec.policyName: Required value",
        'spec.paramRef.name: Invalid value: "a": name and selector are mutually exclusive',
        "spec.paramRef.parameterNotFoundAction: Required value",
        "spec.validationActions: Required value: at least one validation action is required",
    ]
