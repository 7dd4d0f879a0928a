"""FlowSchemas and PriorityLevelConfigurations: which requests belong together, and how much of the server they may take."""

from __future__ import annotations

import math
from typing import Any

from halab.cluster.kube import flow
from halab.cluster.kube.status import duplicate, forbidden_field, invalid_value, not_supported, required
from halab.cluster.kube.types import Obj
from halab.cluster.kube.validation import names
from halab.cluster.kube.validation.meta import Errors, add, metadata
from halab.cluster.kube.validation.networking import path_segment

VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch")
_HASH_BITS = 60  # a flow's hand of queues is dealt from a 64 bit hash
_MOST_QUEUES = 10_000_000
_NAMESPACE = "each member of this list must be '*' or a DNS-1123 label; "


def flow_schema(errors: Errors, obj: Obj) -> None:
    metadata(errors, obj["metadata"], False, path_segment)
    name, spec = obj["metadata"].get("name") or "", obj["spec"]
    precedence = spec.get("matchingPrecedence") or 0
    if precedence <= 0:
        errors.append(invalid_value("spec.matchingPrecedence", precedence, "must be a positive value"))
    if precedence > 10000:
        errors.append(invalid_value("spec.matchingPrecedence", precedence, "must not be greater than 10000"))
    if precedence == 1 and name != flow.EXEMPT:
        detail = "only the schema named 'exempt' may have matchingPrecedence 1"
        errors.append(invalid_value("spec.matchingPrecedence", precedence, detail))
    method = spec.get("distinguisherMethod")
    if method is not None and method.get("type") not in ("ByNamespace", "ByUser"):
        errors.append(not_supported("spec.distinguisherMethod.type", method, ["ByNamespace", "ByUser"]))
    level = (spec.get("priorityLevelConfiguration") or {}).get("name") or ""
    if level:
        add(errors, "spec.priorityLevelConfiguration.name", level, path_segment(level))
    else:
        errors.append(required("spec.priorityLevelConfiguration.name", "must reference a priority level"))
    for index, rule in enumerate(spec.get("rules") or ()):
        _rule(errors, rule, f"spec.rules[{index}]")
    if (fixed := flow.MANDATORY_SCHEMAS.get(name)) is not None and spec != fixed:
        errors.append(invalid_value("spec", spec, f"spec of '{name}' must equal the fixed value"))
    _conditions(errors, obj)


def _rule(errors: Errors, rule: Obj, path: str) -> None:
    if not rule.get("subjects"):
        errors.append(required(f"{path}.subjects", "subjects must contain at least one value"))
    for index, subject in enumerate(rule.get("subjects") or ()):
        _subject(errors, subject, f"{path}.subjects[{index}]")
    if not rule.get("resourceRules") and not rule.get("nonResourceRules"):
        errors.append(required(path, "at least one of resourceRules and nonResourceRules has to be non-empty"))
    for index, each in enumerate(rule.get("resourceRules") or ()):
        _resource_rule(errors, each, f"{path}.resourceRules[{index}]")
    for index, each in enumerate(rule.get("nonResourceRules") or ()):
        _path_rule(errors, each, f"{path}.nonResourceRules[{index}]")


_SUBJECTS = {"ServiceAccount": "serviceAccount", "User": "user", "Group": "group"}


def _subject(errors: Errors, subject: Obj, path: str) -> None:
    kind = subject.get("kind") or ""
    field = _SUBJECTS.get(kind)
    if field is None:
        errors.append(not_supported(f"{path}.kind", kind, ["Group", "ServiceAccount", "User"]))
        return
    given = subject.get(field)
    if given is None:
        errors.append(required(f"{path}.{field}", f"{field} is required when subject kind is '{kind}'"))
    else:
        name = given.get("name") or ""
        if not name:
            errors.append(required(f"{path}.{field}.name"))
        elif kind == "ServiceAccount" and name != "*":
            add(errors, f"{path}.{field}.name", name, names.subdomain(name))
        if kind == "ServiceAccount":
            namespace = given.get("namespace") or ""
            if namespace:
                add(errors, f"{path}.{field}.namespace", namespace, names.label(namespace))
            else:
                errors.append(required(f"{path}.{field}.namespace", "must specify namespace for service account"))
    for other, its in (("User", "user"), ("ServiceAccount", "serviceAccount"), ("Group", "group")):
        if its != field and subject.get(its) is not None:
            errors.append(forbidden_field(f"{path}.{its}", f"{its} is forbidden when subject kind is not '{other}'"))


def _alone(errors: Errors, values: list[str], path: str, what: str) -> bool:
    """``*`` stands for all, so nothing may stand beside it. Whether it is there."""
    if "*" not in values:
        return False
    if len(values) > 1:
        errors.append(invalid_value(path, values, f"if '*' is present, must not specify other {what}"))
    return True


def _verbs(errors: Errors, rule: Obj, path: str) -> None:
    verbs = rule.get("verbs") or []
    if not verbs:
        errors.append(required(f"{path}.verbs", "verbs must contain at least one value"))
    elif not _alone(errors, verbs, f"{path}.verbs", "verbs") and not set(verbs) <= set(VERBS):
        errors.append(not_supported(f"{path}.verbs", verbs, list(VERBS)))


def _resource_rule(errors: Errors, rule: Obj, path: str) -> None:
    _verbs(errors, rule, path)
    for field, one, many in (("apiGroups", "api group", "api groups"), ("resources", "resource", "resources")):
        values = rule.get(field) or []
        if not values:
            errors.append(required(f"{path}.{field}", f"resource rules must supply at least one {one}"))
        else:
            _alone(errors, values, f"{path}.{field}", many)
    namespaces = rule.get("namespaces") or []
    if not namespaces and not rule.get("clusterScope"):
        detail = "resource rules that are not cluster scoped must supply at least one namespace"
        errors.append(required(f"{path}.namespaces", detail))
    elif not _alone(errors, namespaces, f"{path}.namespaces", "namespaces"):
        for index, namespace in enumerate(namespaces):
            add(errors, f"{path}.namespaces[{index}]", namespace, [_NAMESPACE + fault for fault in names.label(namespace)])


def _path_rule(errors: Errors, rule: Obj, path: str) -> None:
    _verbs(errors, rule, path)
    urls = rule.get("nonResourceURLs") or []
    at = f"{path}.nonResourceURLs"
    if not urls:
        errors.append(required(at, "nonResourceURLs must contain at least one value"))
    elif not _alone(errors, urls, at, "non-resource URLs"):
        for index, url in enumerate(urls):
            if fault := _url_fault(url):
                errors.append(invalid_value(f"{at}[{index}]", url, fault))


def _url_fault(url: str) -> str:
    if not url:
        return "must not be empty"
    if not url.startswith("/"):
        return "must start with slash"
    if " " in url:
        return "must not contain white-space"
    if "//" in url:
        return "must not contain double slash"
    return "wildcard can only do suffix matching" if "*" in url.removesuffix("/*") else ""


def priority_level(errors: Errors, obj: Obj) -> None:
    metadata(errors, obj["metadata"], False, path_segment)
    name, spec = obj["metadata"].get("name") or "", obj["spec"]
    kind, limited, exempt = spec.get("type") or "", spec.get("limited"), spec.get("exempt")
    if (name == flow.EXEMPT) != (kind == "Exempt"):
        errors.append(invalid_value("spec.type", kind, "type must be 'Exempt' if and only if `name` is 'exempt'"))
    if kind == "Exempt":
        if limited is not None:
            errors.append(forbidden_field("spec.limited", "must be nil if the type is not Limited"))
        _shares(errors, exempt or {}, "spec.exempt")
    elif kind == "Limited":
        if exempt is not None:
            errors.append(forbidden_field("spec.exempt", "must be nil if the type is Limited"))
        if limited is None:
            errors.append(required("spec.limited", "must not be empty when type is Limited"))
        else:
            _limited(errors, limited, "spec.limited")
    else:
        errors.append(not_supported("spec.type", kind, ["Exempt", "Limited"]))
    fixed = flow.MANDATORY_LEVELS.get(name)
    if fixed is not None:
        own = _without_exempt(name)
        if own(spec) != own(fixed):
            but = " except the 'spec.exempt' field" if name == flow.EXEMPT else ""
            errors.append(invalid_value("spec", spec, f"spec of '{name}'{but} must equal the fixed value"))
    _conditions(errors, obj)


def _without_exempt(name: str) -> Any:
    """An administrator may change the shares of the level ``exempt``, and nothing else of what is mandatory."""
    return lambda spec: {n: v for n, v in spec.items() if n != "exempt" or name != flow.EXEMPT}


def _shares(errors: Errors, given: Obj, path: str) -> None:
    shares, lendable = given.get("nominalConcurrencyShares"), given.get("lendablePercent")
    if shares is not None and shares < 0:
        errors.append(invalid_value(f"{path}.nominalConcurrencyShares", shares, "must be a non-negative integer"))
    if lendable is not None and not 0 <= lendable <= 100:
        errors.append(invalid_value(f"{path}.lendablePercent", lendable, "must be between 0 and 100, inclusive"))


def _limited(errors: Errors, limited: Obj, path: str) -> None:
    found: Errors = []
    _shares(found, limited, path)
    errors += [error for error in found if not error.path.endswith("lendablePercent")]
    response, at = limited.get("limitResponse") or {}, f"{path}.limitResponse"
    kind, queuing = response.get("type") or "", response.get("queuing")
    if kind == "Reject":
        if queuing is not None:
            errors.append(forbidden_field(f"{at}.queuing", "must be nil if limited.limitResponse.type is not Limited"))
    elif kind == "Queue":
        if queuing is None:
            errors.append(required(f"{at}.queuing", "must not be empty if limited.limitResponse.type is Limited"))
        else:
            _queuing(errors, queuing, f"{at}.queuing")
    else:
        errors.append(not_supported(f"{at}.type", kind, ["Queue", "Reject"]))
    errors += [error for error in found if error.path.endswith("lendablePercent")]
    borrowing = limited.get("borrowingLimitPercent")
    if borrowing is not None and borrowing < 0:
        errors.append(invalid_value(f"{path}.borrowingLimitPercent", borrowing, "if specified, must be a non-negative integer"))


def _queuing(errors: Errors, queuing: Obj, path: str) -> None:
    length, queues, hand = (queuing.get(name) or 0 for name in ("queueLengthLimit", "queues", "handSize"))
    if length <= 0:
        errors.append(invalid_value(f"{path}.queueLengthLimit", length, "must be positive"))
    if queues <= 0:
        errors.append(invalid_value(f"{path}.queues", queues, "must be positive"))
    elif queues > _MOST_QUEUES:
        errors.append(invalid_value(f"{path}.queues", queues, f"must not be greater than {_MOST_QUEUES}"))
    if hand <= 0:
        errors.append(invalid_value(f"{path}.handSize", hand, "must be positive"))
    elif hand > queues:
        errors.append(invalid_value(f"{path}.handSize", hand, f"should not be greater than queues ({queues})"))
    elif math.ceil(math.log2(queues) * hand) > _HASH_BITS:
        detail = f"required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {_HASH_BITS}"
        errors.append(invalid_value(f"{path}.handSize", hand, detail))


def _conditions(errors: Errors, obj: Obj) -> None:
    seen: set[str] = set()
    for index, condition in enumerate((obj.get("status") or {}).get("conditions") or ()):
        kind = condition.get("type") or ""
        if kind in seen:
            errors.append(duplicate(f"status.conditions[{index}].type", kind))
        seen.add(kind)
        if not kind:
            errors.append(required(f"status.conditions[{index}].type", "must not be empty"))


def status_update(errors: Errors, new: Obj, old: Obj) -> None:
    _conditions(errors, new)
