"""ValidatingAdmissionPolicy: rules in CEL that policies' bindings put into force.

https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/. Answers have Kubernetes' words; typed checking of the
expressions against the schemas of matched kinds, and audit annotations, are not there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from halab.cluster.apiserver.admission import matching
from halab.cluster.apiserver.admission.attributes import Attributes
from halab.cluster.kube import kinds, status
from halab.cluster.kube.cel.admission import Evaluation
from halab.cluster.kube.cel.engine import EvaluationError
from halab.cluster.kube.selectors import from_label_selector

Obj = dict[str, Any]
_CODES = {"Forbidden": 403, "Unauthorized": 401, "RequestEntityTooLarge": 413, "Invalid": 422}
_LONGEST_MESSAGE = 5 * 1024
NO_PARAMS = "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"


class _Denied(Exception):
    def __init__(self, message: str, reason: str = "Invalid") -> None:
        self.message, self.reason = message, reason


def validate(attributes: Attributes) -> None:
    """Raises ApiError for what a bound policy refuses; adds warnings for what one warns of."""
    if matching.exempt(attributes.kind):
        return
    bindings = list(attributes.all(kinds.VALIDATING_ADMISSION_POLICY_BINDINGS))
    if not bindings:
        return
    first: tuple[Obj, Obj, _Denied] | None = None
    for policy in attributes.all(kinds.VALIDATING_ADMISSION_POLICIES):
        own = [binding for binding in bindings if binding["spec"].get("policyName") == policy["metadata"]["name"]]
        if not own or not matching.matches(policy["spec"].get("matchConstraints") or {}, "resourceRules", attributes):
            continue
        for binding in own:
            scope = binding["spec"].get("matchResources")
            if scope and not matching.matches(scope, "resourceRules", attributes):
                continue
            for denied in _decisions(policy, binding, attributes):
                actions = binding["spec"].get("validationActions") or ()
                if "Warn" in actions:
                    attributes.warnings.append(
                        f"Validation failed for ValidatingAdmissionPolicy '{policy['metadata']['name']}' with binding "
                        f"'{binding['metadata']['name']}': {denied.message}"
                    )
                if "Deny" in actions and first is None:
                    first = policy, binding, denied
    if first is not None:
        raise _refusal(attributes, *first)


def _refusal(attributes: Attributes, policy: Obj, binding: Obj, denied: _Denied) -> status.ApiError:
    message = (
        f"ValidatingAdmissionPolicy '{policy['metadata']['name']}' with binding '{binding['metadata']['name']}' denied request: "
        f"{denied.message}"
    )
    error = attributes.forbidden(message)
    error.reason, error.code = denied.reason, _CODES.get(denied.reason, 422)
    error.details = (error.details or {}) | {"causes": [{"message": message}]}
    return error


def _decisions(policy: Obj, binding: Obj, attributes: Attributes) -> Iterator[_Denied]:
    spec = policy["spec"]
    fails = spec.get("failurePolicy", "Fail") == "Fail"
    try:
        parameters = _parameters(spec.get("paramKind"), binding["spec"].get("paramRef"), attributes)
    except _Denied as denied:
        if fails:
            yield denied
        return
    for params in parameters:
        yield from _with(spec, params, fails, attributes)


def _with(spec: Obj, params: Obj | None, fails: bool, attributes: Attributes) -> Iterator[_Denied]:
    evaluation = evaluation_of(attributes, spec.get("variables") or (), params, bool(spec.get("paramKind")))
    try:
        if not all(evaluation.evaluate(condition["expression"]) is True for condition in spec.get("matchConditions") or ()):
            return
    except EvaluationError as error:
        if fails:
            yield _Denied(str(error))
        return
    for validation in spec.get("validations") or ():
        try:
            passed = evaluation.evaluate(validation["expression"]) is True
        except EvaluationError as error:
            if fails:
                yield _Denied(str(error))
            continue
        if not passed:
            yield _Denied(_message(validation, evaluation), validation.get("reason") or "Invalid")


def evaluation_of(attributes: Attributes, variables: Any = (), params: Obj | None = None, has_params: bool = False) -> Evaluation:
    """Everything that an expression about a write may use."""
    namespace = None
    if attributes.namespace and attributes.kind is not kinds.NAMESPACES:
        namespace = attributes.find(kinds.NAMESPACES, attributes.namespace)
    values = {
        "object": matching.whole(attributes, attributes.obj),
        "oldObject": matching.whole(attributes, attributes.old),
        "request": matching.request_of(attributes),
        "namespaceObject": namespace,
        "authorizer": {"requestResource": request_question(attributes)},
    }
    if has_params:
        values["params"] = params
    return Evaluation(values, variables, attributes.decide, has_params)


def request_question(attributes: Attributes) -> Obj:
    return {"group": attributes.kind.group, "resource": attributes.kind.plural, "namespace": attributes.namespace}


def _message(validation: Obj, evaluation: Evaluation) -> str:
    if expression := validation.get("messageExpression"):
        try:
            text = str(evaluation.evaluate(expression, "string", authorizer=False)).strip()
        except EvaluationError:
            text = ""
        if text and "\n" not in text and len(text) <= _LONGEST_MESSAGE:
            return text
    return (validation.get("message") or "").strip() or f"failed expression: {validation['expression'].strip()}"


def _parameters(param_kind: Obj | None, reference: Obj | None, attributes: Attributes) -> list[Obj | None]:
    """The objects that the policy is evaluated with; one None if it has no parameters. Raises _Denied."""
    if not param_kind or not reference:
        return [None]
    kind = attributes.kind_by_type(param_kind.get("apiVersion", ""), param_kind.get("kind", ""))
    if kind is None:
        group, _, version = str(param_kind.get("apiVersion", "")).rpartition("/")
        shown = f"{group}/{version}, Kind={param_kind.get('kind', '')}"
        raise _Denied(f"failed to configure policy: failed to find resource referenced by paramKind: '{shown}'")
    namespace = ""
    if kind.namespaced:
        namespace = reference.get("namespace") or attributes.namespace
        if not namespace:
            raise _Denied(
                "failed to configure binding: cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
            )
    elif reference.get("namespace"):
        raise _Denied("failed to configure binding: paramRef.namespace must not be provided for a cluster-scoped `paramKind`")
    if reference.get("name"):
        one = attributes.find(kind, reference["name"], namespace)
        found: list[Obj | None] = [one] if one is not None else []
    else:
        selector = from_label_selector(reference.get("selector") or {})
        found = [obj for obj in attributes.all(kind, namespace) if selector.matches(obj["metadata"].get("labels") or {})]
    if not found and reference.get("parameterNotFoundAction") != "Allow":
        raise _Denied(NO_PARAMS)
    return found
