"""Rules of what says where a pod may go: affinity, tolerations, topology spread."""

from __future__ import annotations

from halab.cluster.kube.status import duplicate, forbidden_field, invalid_value, not_supported, required
from halab.cluster.kube.types import Obj
from halab.cluster.kube.validation import names
from halab.cluster.kube.validation.meta import Errors, add, label_name, label_selector

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_BAD_OPERATOR = "not a valid selector operator"


def affinity(errors: Errors, given: Obj, path: str) -> None:
    if "nodeAffinity" in given:
        at, node = f"{path}.nodeAffinity", given["nodeAffinity"]
        if _REQUIRED in node:
            node_selector(errors, node[_REQUIRED], f"{at}.{_REQUIRED}")
        for index, term in enumerate(node.get(_PREFERRED) or ()):
            _weight(errors, term, f"{at}.{_PREFERRED}[{index}]")
            _node_term(errors, term["preference"], f"{at}.{_PREFERRED}[{index}].preference", values=False)
    for kind in ("podAffinity", "podAntiAffinity"):
        if kind in given:
            at, pods = f"{path}.{kind}", given[kind]
            for index, term in enumerate(pods.get(_REQUIRED) or ()):
                _pod_term(errors, term, f"{at}.{_REQUIRED}[{index}]")
            for index, weighted in enumerate(pods.get(_PREFERRED) or ()):
                _weight(errors, weighted, f"{at}.{_PREFERRED}[{index}]")
                _pod_term(errors, weighted["podAffinityTerm"], f"{at}.{_PREFERRED}[{index}].podAffinityTerm")


def _weight(errors: Errors, term: Obj, path: str) -> None:
    if not 1 <= term.get("weight", 0) <= 100:
        errors.append(invalid_value(f"{path}.weight", term.get("weight", 0), "must be in the range 1-100"))


def node_selector(errors: Errors, selector: Obj, path: str) -> None:
    terms = selector.get("nodeSelectorTerms")
    if not terms:
        errors.append(required(f"{path}.nodeSelectorTerms", "must have at least one node selector term"))
    for index, term in enumerate(terms or ()):
        _node_term(errors, term, f"{path}.nodeSelectorTerms[{index}]", values=True)


def _node_term(errors: Errors, term: Obj, path: str, values: bool) -> None:
    for index, requirement in enumerate(term.get("matchExpressions") or ()):
        _node_requirement(errors, requirement, f"{path}.matchExpressions[{index}]", values)
    for index, requirement in enumerate(term.get("matchFields") or ()):
        at, given = f"{path}.matchFields[{index}]", requirement.get("values") or []
        operator, key = requirement.get("operator") or "", requirement.get("key") or ""
        if operator not in ("In", "NotIn"):
            errors.append(invalid_value(f"{at}.operator", operator, _BAD_OPERATOR))
        elif len(given) != 1:
            detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
            errors.append(required(f"{at}.values", detail))
        if key != "metadata.name":
            errors.append(invalid_value(f"{at}.key", key, "not a valid field selector key"))
            continue
        for number, value in enumerate(given):
            add(errors, f"{at}.values[{number}]", value, names.subdomain(value))


def _node_requirement(errors: Errors, requirement: Obj, path: str, values: bool) -> None:
    operator, given = requirement.get("operator") or "", requirement.get("values") or []
    if operator in ("In", "NotIn"):
        if not given:
            errors.append(required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
    elif operator in ("Exists", "DoesNotExist"):
        if given:
            errors.append(forbidden_field(f"{path}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"))
    elif operator in ("Gt", "Lt"):
        if len(given) != 1:
            errors.append(required(f"{path}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'"))
    else:
        errors.append(invalid_value(f"{path}.operator", operator, _BAD_OPERATOR))
    label_name(errors, requirement.get("key") or "", f"{path}.key")
    if values:
        for index, value in enumerate(given):
            add(errors, f"{path}.values[{index}]", value, names.label_value(value))


def _pod_term(errors: Errors, term: Obj, path: str) -> None:
    label_selector(errors, term.get("labelSelector"), f"{path}.labelSelector")
    label_selector(errors, term.get("namespaceSelector"), f"{path}.namespaceSelector")
    for namespace in term.get("namespaces") or ():
        add(errors, f"{path}.namespace", namespace, names.label(namespace))
    _label_keys(errors, term, path)
    key = term.get("topologyKey") or ""
    if not key:
        errors.append(required(f"{path}.topologyKey", "can not be empty"))
    label_name(errors, key, f"{path}.topologyKey")


def _label_keys(errors: Errors, term: Obj, path: str) -> None:
    selector = term.get("labelSelector")
    for field in ("matchLabelKeys", "mismatchLabelKeys"):
        keys = term.get(field) or []
        if keys and selector is None:
            errors.append(forbidden_field(f"{path}.{field}", "must not be specified when labelSelector is not set"))
            continue
        for index, key in enumerate(keys):
            label_name(errors, key, f"{path}.{field}[{index}]")
    mismatch = set(term.get("mismatchLabelKeys") or ())
    for index, key in enumerate(term.get("matchLabelKeys") or ()):
        if key in mismatch:
            errors.append(
                invalid_value(f"{path}.matchLabelKeys[{index}]", key, "exists in both matchLabelKeys and mismatchLabelKeys")
            )


def tolerations(errors: Errors, given: list[Obj], path: str) -> None:
    for index, toleration in enumerate(given):
        at, key, operator = f"{path}[{index}]", toleration.get("key") or "", toleration.get("operator") or ""
        value, effect = toleration.get("value") or "", toleration.get("effect") or ""
        if key:
            label_name(errors, key, f"{at}.key")
        elif operator != "Exists":
            detail = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            errors.append(invalid_value(f"{at}.operator", operator, detail))
        if "tolerationSeconds" in toleration and effect != "NoExecute":
            errors.append(invalid_value(f"{at}.effect", effect, "effect must be 'NoExecute' when `tolerationSeconds` is set"))
        if operator in ("", "Equal"):
            faults = names.label_value(value)
            if faults:
                errors.append(invalid_value(f"{at}.operator", value, ";".join(faults)))
        elif operator == "Exists":
            if value:
                errors.append(invalid_value(f"{at}.operator", value, "value must be empty when `operator` is 'Exists'"))
        else:
            errors.append(not_supported(f"{at}.operator", operator, ["Equal", "Exists"]))
        if effect and effect not in EFFECTS:
            errors.append(not_supported(f"{at}.effect", effect, EFFECTS))


def taints(errors: Errors, given: list[Obj], path: str) -> None:
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(given):
        at, key, value, effect = f"{path}[{index}]", taint.get("key") or "", taint.get("value") or "", taint.get("effect") or ""
        label_name(errors, key, f"{at}.key")
        faults = names.label_value(value)
        if faults:
            errors.append(invalid_value(f"{at}.value", value, ";".join(faults)))
        if not effect:
            errors.append(required(f"{at}.effect"))
        elif effect not in EFFECTS:
            errors.append(not_supported(f"{at}.effect", effect, EFFECTS))
        if (key, effect) in seen:
            shown = {"Key": key, "Value": value, "Effect": effect, "TimeAdded": taint.get("timeAdded")}
            errors.append(duplicate(at, shown, "taints must be unique by key and effect pair"))
        seen.add((key, effect))


def spread(errors: Errors, constraints: list[Obj], path: str) -> None:
    pairs = [(each.get("topologyKey") or "", each.get("whenUnsatisfiable") or "") for each in constraints]
    last = {pair: index for index, pair in enumerate(pairs)}
    for index, constraint in enumerate(constraints):
        at, (key, action) = f"{path}[{index}]", pairs[index]
        if constraint.get("maxSkew", 0) <= 0:
            errors.append(invalid_value(f"{at}.maxSkew", constraint.get("maxSkew", 0), "must be greater than zero"))
        if not key:
            errors.append(required(f"{at}.topologyKey", "can not be empty"))
        if action not in ("DoNotSchedule", "ScheduleAnyway"):
            errors.append(not_supported(f"{at}.whenUnsatisfiable", action, ["DoNotSchedule", "ScheduleAnyway"]))
        if last[pairs[index]] > index:
            errors.append(duplicate(f"{at}.{{topologyKey, whenUnsatisfiable}}", f"{{{key}, {action}}}"))
        domains = constraint.get("minDomains")
        if domains is not None:
            if domains <= 0:
                errors.append(invalid_value(f"{at}.minDomains", domains, "must be greater than zero"))
            if action != "DoNotSchedule":
                detail = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"
                errors.append(invalid_value(f"{at}.minDomains", domains, detail))
        for field in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            if field in constraint and constraint[field] not in ("Honor", "Ignore"):
                errors.append(not_supported(f"{at}.{field}", constraint[field], ["Honor", "Ignore"]))
        _spread_keys(errors, constraint, f"{at}.matchLabelKeys")
        label_selector(errors, constraint.get("labelSelector"), f"{at}.labelSelector")


def _spread_keys(errors: Errors, constraint: Obj, path: str) -> None:
    keys, selector = constraint.get("matchLabelKeys") or [], constraint.get("labelSelector")
    if not keys:
        return
    if selector is None:
        errors.append(forbidden_field(path, "must not be specified when labelSelector is not set"))
    selected = set((selector or {}).get("matchLabels") or ()) | {
        e.get("key") for e in (selector or {}).get("matchExpressions") or ()
    }
    for index, key in enumerate(keys):
        label_name(errors, key, f"{path}[{index}]")
        if key in selected:
            errors.append(invalid_value(f"{path}[{index}]", key, "exists in both matchLabelKeys and labelSelector"))
