"""Questions that are asked by creating an object: TokenReview, the access reviews, SelfSubjectReview. Nothing is stored."""

from __future__ import annotations

from typing import Any

from halab.cluster.apiserver import names, objects, render
from halab.cluster.apiserver.authz import rbac_user
from halab.cluster.apiserver.context import Context
from halab.cluster.apiserver.options import write_options
from halab.cluster.apiserver.request import Request, User
from halab.cluster.apiserver.tokens import AUDIENCES
from halab.cluster.kube import kinds, status
from halab.cluster.kube.kinds import Kind
from halab.cluster.kube.rbac import Attributes
from halab.cluster.kube.status import FieldError

Obj = dict[str, Any]


async def create(context: Context, request: Request, kind: Kind) -> None:
    """Answer a review of any kind with 201."""
    form = render.negotiate(request)
    if form.shape != "object":  # a review has nothing that could stand in a Table
        raise status.not_acceptable(render.REPRESENTATIONS)
    options = write_options(request, "CreateOptions")
    await request.read_body()
    review = objects.decode(request, kind, context.node(kind), options)
    spec = review.get("spec") or {}
    context.store.sync()
    match kind:
        case kinds.TOKEN_REVIEWS:
            review["status"] = _token_review(context, spec)
        case kinds.SELF_SUBJECT_REVIEWS:
            review["metadata"]["creationTimestamp"] = names.now()
            review["status"] = {"userInfo": _user_info(request.user)}
        case kinds.SELF_SUBJECT_RULES_REVIEWS:
            review["status"] = _rules(context, request.user, spec)
        case _:
            _check(kind, review, request)
            user = request.user
            if kind != kinds.SELF_SUBJECT_ACCESS_REVIEWS:
                extra = {key: list(values) for key, values in (spec.get("extra") or {}).items()}
                user = User(spec.get("user") or "", tuple(spec.get("groups") or ()), spec.get("uid") or "", extra)
            review["status"] = _decision(context, user, spec)
    body = render.plain(kind, render.untyped(review))
    await request.answer(201, *render.finish(body, form))


def _user_info(user: User) -> Obj:
    info: Obj = {"username": user.name}
    if user.uid:
        info["uid"] = user.uid
    if user.groups:
        info["groups"] = list(user.groups)
    if user.extra:
        info["extra"] = user.extra
    return info


def _token_review(context: Context, spec: Obj) -> Obj:
    token = str(spec.get("token") or "")
    if not token:
        raise status.bad_request("token is required for TokenReview in authentication")
    wanted = tuple(spec.get("audiences") or AUDIENCES)
    found = context.authenticator.user_of(token.encode(), wanted)
    if found is None:
        return {"user": {}, "error": "[invalid bearer token, token lookup failed]"}
    user, audiences = found
    return {"authenticated": True, "user": _user_info(user), "audiences": audiences}


NAMELESS = Kind("authorization.k8s.io", "v1", "", "", "", False)
"""How refused access reviews are called: Kubernetes has dropped their kind by then."""


def _check(kind: Kind, review: Obj, request: Request) -> None:
    spec, meta = review.get("spec") or {}, {key: value for key, value in review["metadata"].items() if key != "managedFields"}
    local = kind == kinds.LOCAL_SUBJECT_ACCESS_REVIEWS
    if local:
        objects.check_namespace(kind, review, request.namespace)
        meta["namespace"] = request.namespace
    errors: list[FieldError] = []
    on_resource, on_path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    shown = {"Path": (on_path or {}).get("path", ""), "Verb": (on_path or {}).get("verb", "")}
    path = "spec.nonResourceAttributes"
    if on_resource is not None and on_path is not None:
        errors.append(status.invalid_value(path, shown, "cannot be specified in combination with resourceAttributes"))
    if on_resource is None and on_path is None:
        text = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        errors.append(status.invalid_value("spec.resourceAttributes", None, text))
    if kind != kinds.SELF_SUBJECT_ACCESS_REVIEWS and not spec.get("user") and not spec.get("groups"):
        errors.append(status.invalid_value("spec.user", "", "at least one of user or group must be specified"))
    if on_resource is not None:
        errors += _selectors(on_resource)
    if set(meta) - ({"namespace"} if local else set()):
        text = "must be empty except for namespace" if local else "must be empty"
        errors.append(status.invalid_value("metadata", meta, text))
    if local:
        namespace = (on_resource or {}).get("namespace") or ""
        if on_resource is not None and namespace != request.namespace:
            errors.append(status.invalid_value("spec.resourceAttributes.namespace", namespace, "must match metadata.namespace"))
        if on_path is not None:
            errors.append(status.invalid_value(path, shown, "disallowed on this kind of request"))
    if errors:
        raise status.invalid(NAMELESS, "", errors)


def _selectors(attributes: Obj) -> list[FieldError]:
    """``fieldSelector`` and ``labelSelector``: a text or requirements, not both and not neither."""
    errors = []
    for name in ("fieldSelector", "labelSelector"):
        selector, path = attributes.get(name), f"spec.resourceAttributes.{name}"
        if selector is None:
            continue
        raw, requirements = selector.get("rawSelector") or "", selector.get("requirements") or []
        if raw and requirements:
            errors.append(status.invalid_value(f"{path}.rawSelector", raw, "may not specified at the same time as requirements"))
        elif not raw and not requirements:
            errors.append(
                status.required(f"{path}.requirements", f"when {path} is specified, requirements or rawSelector is required")
            )
    return errors


def _decision(context: Context, user: User, spec: Obj) -> Obj:
    wanted = spec.get("resourceAttributes")
    if wanted is not None:
        attributes = Attributes(
            wanted.get("verb") or "",
            wanted.get("group") or "",
            wanted.get("resource") or "",
            wanted.get("subresource") or "",
            wanted.get("namespace") or "",
            wanted.get("name") or "",
        )
    else:
        path = spec.get("nonResourceAttributes") or {}
        attributes = Attributes(path.get("verb") or "", path=path.get("path") or "/")
    decision = context.authorizer.decide(user, attributes)
    answer: Obj = {"allowed": decision.allowed}
    if decision.reason:
        answer["reason"] = decision.reason
    if decision.error:
        answer["evaluationError"] = decision.error
    return answer


def _rules(context: Context, user: User, spec: Obj) -> Obj:
    namespace = spec.get("namespace") or ""
    if not namespace:
        raise status.bad_request("no namespace on request")
    rules = context.authorizer.policy.rules(rbac_user(user), namespace)
    on_resources = [
        {key: value for key, value in rule.items() if key != "nonResourceURLs"}
        for rule in rules
        if not rule.get("nonResourceURLs")
    ]
    on_paths = [
        {"verbs": rule["verbs"], "nonResourceURLs": rule["nonResourceURLs"]} for rule in rules if rule.get("nonResourceURLs")
    ]
    return {"resourceRules": on_resources, "nonResourceRules": on_paths, "incomplete": False}
