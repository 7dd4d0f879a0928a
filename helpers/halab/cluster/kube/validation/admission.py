"""Rules of what extends admission: webhook configurations, admission policies and their bindings."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from halab.cluster.kube.cel.admission import compiled
from halab.cluster.kube.cel.engine import CompileError
from halab.cluster.kube.status import duplicate, invalid_value, not_supported, required, too_many
from halab.cluster.kube.types import Obj
from halab.cluster.kube.validation import names
from halab.cluster.kube.validation.meta import Errors, add, label_selector, metadata

_OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_BREAK = re.compile(r"[\n\r]")


def webhooks(errors: Errors, obj: Obj) -> None:
    metadata(errors, obj["metadata"], False, names.subdomain)
    seen: set[str] = set()
    for index, hook in enumerate(obj.get("webhooks") or ()):
        path, name = f"webhooks[{index}]", hook.get("name") or ""
        _hook_name(errors, name, path)
        for number, rule in enumerate(hook.get("rules") or ()):
            _rule(errors, rule, f"{path}.rules[{number}]")
        _choice(errors, hook, path, "failurePolicy", ("Fail", "Ignore"))
        _choice(errors, hook, path, "matchPolicy", ("Equivalent", "Exact"))
        if hook.get("sideEffects") is None:
            errors.append(required(f"{path}.sideEffects", "must specify one of None, NoneOnDryRun"))
        _choice(errors, hook, path, "sideEffects", ("None", "NoneOnDryRun"))
        seconds = hook.get("timeoutSeconds")
        if seconds is not None and not 1 <= seconds <= 30:
            errors.append(invalid_value(f"{path}.timeoutSeconds", seconds, "the timeout value must be between 1 and 30 seconds"))
        label_selector(errors, hook.get("namespaceSelector"), f"{path}.namespaceSelector")
        label_selector(errors, hook.get("objectSelector"), f"{path}.objectSelector")
        _choice(errors, hook, path, "reinvocationPolicy", ("IfNeeded", "Never"))
        _client(errors, hook.get("clientConfig") or {}, f"{path}.clientConfig")
        _conditions(errors, hook.get("matchConditions") or [], f"{path}.matchConditions")
        _review_versions(errors, hook.get("admissionReviewVersions") or [], f"{path}.admissionReviewVersions")
        if name and name in seen:
            errors.append(duplicate(f"{path}.name", name))
        seen.add(name)


def _hook_name(errors: Errors, name: str, path: str) -> None:
    if not name:
        errors.append(required(f"{path}.name"))
    elif names.subdomain(name):
        errors.append(invalid_value(f"{path}.name", name, ",".join(names.subdomain(name))))
    elif name.count(".") < 2:
        errors.append(invalid_value(f"{path}.name", name, "should be a domain with at least three segments separated by dots"))


def _choice(errors: Errors, holder: Obj, path: str, field: str, choices: Iterable[str]) -> None:
    value = holder.get(field)
    if value is not None and value not in choices:
        errors.append(not_supported(f"{path}.{field}", value, list(choices)))


def _rule(errors: Errors, rule: Obj, path: str) -> None:
    for field, what in (("operations", "operations"), ("apiGroups", "API groups"), ("apiVersions", "API versions")):
        values = rule.get(field) or []
        if not values:
            errors.append(required(f"{path}.{field}"))
        if len(values) > 1 and "*" in values:
            errors.append(invalid_value(f"{path}.{field}", values, f"if '*' is present, must not specify other {what}"))
        for index, value in enumerate(values):
            if field == "operations" and value not in _OPERATIONS:
                errors.append(not_supported(f"{path}.{field}[{index}]", value, _OPERATIONS))
            elif field == "apiVersions" and not value:
                errors.append(required(f"{path}.{field}[{index}]"))
    _resources(errors, rule.get("resources") or [], f"{path}.resources")
    _choice(errors, rule, path, "scope", ("*", "Cluster", "Namespaced"))


def _resources(errors: Errors, values: list[str], path: str) -> None:
    if not values:
        errors.append(required(path))
    of_all: set[str] = set()  # subresources that "*/x" names
    whole: set[str] = set()  # resources that "x/*" names
    for index, value in enumerate(values):
        at = f"{path}[{index}]"
        if not value:
            errors.append(required(at))
            continue
        if value == "*/*" and len(values) > 1:
            errors.append(invalid_value(path, values, "if '*/*' is present, must not specify other resources"))
        resource, slash, sub = value.partition("/")
        if not slash:
            continue
        if resource in whole:
            errors.append(invalid_value(at, value, f"if '{resource}/*' is present, must not specify {value}"))
        if sub in of_all:
            errors.append(invalid_value(at, value, f"if '*/{sub}' is present, must not specify {value}"))
        if sub == "*":
            whole.add(resource)
        if resource == "*":
            of_all.add(sub)
    plain = [value for value in values if "/" not in value]
    if "*" in plain and len(plain) > 1:
        errors.append(invalid_value(path, values, "if '*' is present, must not specify other resources without subresources"))


def _client(errors: Errors, client: Obj, path: str) -> None:
    url, service = client.get("url"), client.get("service")
    if (url is None) == (service is None):
        errors.append(required(path, "exactly one of url or service is required"))
    elif url is not None:
        _url(errors, url, f"{path}.url")
    elif service is not None:
        for field in ("name", "namespace"):
            if not service.get(field):
                errors.append(required(f"{path}.service.{field}", f"service {field} is required"))
        port = service.get("port")
        if port is not None and names.port_number(port):
            errors.append(invalid_value(f"{path}.service.port", port, "port is not valid: " + ",".join(names.port_number(port))))


_URL_FORM = "; desired format: https://host[/path]"


def _url(errors: Errors, url: str, path: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https":
        errors.append(invalid_value(path, parts.scheme, f"'https' is the only allowed URL scheme{_URL_FORM}"))
    if not parts.netloc:
        errors.append(invalid_value(path, parts.netloc, f"host must be specified{_URL_FORM}"))
    if "@" in parts.netloc:
        errors.append(invalid_value(path, parts.netloc.rpartition("@")[0], "user information is not permitted in the URL"))
    if parts.fragment:
        errors.append(invalid_value(path, parts.fragment, "fragments are not permitted in the URL"))
    if parts.query:
        errors.append(invalid_value(path, parts.query, "query parameters are not permitted in the URL"))


def _review_versions(errors: Errors, versions: list[str], path: str) -> None:
    if not versions:
        errors.append(required(path, "must specify one of v1, v1beta1"))
        return
    for index, version in enumerate(versions):
        if version in versions[:index]:
            errors.append(invalid_value(f"{path}[{index}]", version, "duplicate version"))
        else:
            add(errors, f"{path}[{index}]", version, names.label_1035(version))
    if not {"v1", "v1beta1"} & set(versions):
        errors.append(invalid_value(path, versions, "must include at least one of v1, v1beta1"))


def _conditions(errors: Errors, conditions: list[Obj], path: str, params: bool = False) -> None:
    if len(conditions) > 64:
        errors.append(too_many(path, len(conditions), 64))
    seen: set[str] = set()
    for index, condition in enumerate(conditions):
        at, name = f"{path}[{index}]", condition.get("name") or ""
        expression = (condition.get("expression") or "").strip()
        if not expression:
            errors.append(required(f"{at}.expression"))
        else:
            _expression(errors, expression, "bool", f"{at}.expression", params=params)
        if not name:
            errors.append(required(f"{at}.name"))
        else:
            add(errors, f"{at}.name", name, names.qualified(name))
        if name and name in seen:
            errors.append(duplicate(f"{at}.name", name))
        seen.add(name)


def _expression(
    errors: Errors,
    expression: str,
    returns: str,
    path: str,
    variables: Iterable[str] = (),
    params: bool = False,
    authorizer: bool = True,
) -> None:
    try:
        compiled(expression, returns, variables, params, authorizer)
    except CompileError as error:
        errors.append(invalid_value(path, expression, str(error)))


# --- policies --------------------------------------------------------------------------------------------------------------------------


def policy(errors: Errors, obj: Obj) -> None:
    metadata(errors, obj["metadata"], False, names.subdomain)
    spec, params = obj["spec"], bool(obj["spec"].get("paramKind"))
    if spec.get("failurePolicy") is None:
        errors.append(required("spec.failurePolicy"))
    _choice(errors, spec, "spec", "failurePolicy", ("Fail", "Ignore"))
    if params:
        _param_kind(errors, spec["paramKind"], "spec.paramKind")
    constraints = spec.get("matchConstraints")
    if constraints is None:
        errors.append(required("spec.matchConstraints"))
    else:
        _match_resources(errors, constraints, "spec.matchConstraints")
        if not constraints.get("resourceRules"):
            errors.append(required("spec.matchConstraints.resourceRules"))
    _conditions(errors, spec.get("matchConditions") or [], "spec.matchConditions", params)
    known = _variables(errors, spec.get("variables") or [], params)
    validations, annotations = spec.get("validations") or [], spec.get("auditAnnotations") or []
    if not validations and not annotations:
        detail = "validations or auditAnnotations must contain at least one item"
        errors += [required("spec.validations", detail), required("spec.auditAnnotations", detail)]
    for index, validation in enumerate(validations):
        _validation(errors, validation, known, params, f"spec.validations[{index}]")
    seen: set[str] = set()
    for index, annotation in enumerate(annotations):
        _annotation(errors, annotation, obj["metadata"].get("name") or "", known, params, f"spec.auditAnnotations[{index}]")
        key = annotation.get("key") or ""
        if key in seen:
            errors.append(duplicate(f"spec.auditAnnotations[{index}].key", key))
        seen.add(key)


def _param_kind(errors: Errors, given: Obj, path: str) -> None:
    api_version, kind = given.get("apiVersion") or "", given.get("kind") or ""
    if not api_version:
        errors.append(required(f"{path}.apiVersion"))
    elif api_version.count("/") > 1:
        errors.append(invalid_value(f"{path}.apiVersion", api_version, f"unexpected GroupVersion string: {api_version}"))
    else:
        group, _, version = api_version.rpartition("/")
        if group and names.subdomain(group):
            errors.append(invalid_value(f"{path}.apiVersion", group, ",".join(names.subdomain(group))))
        if not version:
            errors.append(invalid_value(f"{path}.apiVersion", api_version, "version must be specified"))
        elif names.label_1035(version):
            errors.append(invalid_value(f"{path}.apiVersion", version, ",".join(names.label_1035(version))))
    if not kind:
        errors.append(required(f"{path}.kind"))
    elif faults := names.label_1035(kind.lower()):
        errors.append(invalid_value(f"{path}.kind", kind, "may have mixed case, but should otherwise match: " + ",".join(faults)))


def _match_resources(errors: Errors, given: Obj, path: str) -> None:
    if given.get("matchPolicy") is None:
        errors.append(required(f"{path}.matchPolicy"))
    _choice(errors, given, path, "matchPolicy", ("Equivalent", "Exact"))
    for field in ("namespaceSelector", "objectSelector"):
        if given.get(field) is None:
            errors.append(required(f"{path}.{field}"))
        else:
            label_selector(errors, given[field], f"{path}.{field}")
    for field in ("resourceRules", "excludeResourceRules"):
        for index, rule in enumerate(given.get(field) or ()):
            at, seen = f"{path}.{field}[{index}]", set[str]()
            for number, name in enumerate(rule.get("resourceNames") or ()):
                if name in seen:
                    errors.append(duplicate(f"{at}.resourceNames[{number}]", name))
                seen.add(name)
            _rule(errors, rule, at)


def _variables(errors: Errors, given: list[Obj], params: bool) -> list[str]:
    known: list[str] = []
    for index, variable in enumerate(given):
        at, name = f"spec.variables[{index}]", (variable.get("name") or "").strip()
        if not name:
            errors.append(required(f"{at}.name", "name is not specified"))
        elif not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            errors.append(invalid_value(f"{at}.name", name, "name is not a valid CEL identifier"))
        if not (variable.get("expression") or "").strip():
            errors.append(required(f"{at}.expression", "expression is not specified"))
        else:
            _expression(errors, variable["expression"], "dyn", f"{at}.expression", known, params)
        known.append(name)
    return known


def _validation(errors: Errors, given: Obj, known: list[str], params: bool, path: str) -> None:
    expression, message = given.get("expression") or "", given.get("message") or ""
    if not expression.strip():
        errors.append(required(f"{path}.expression", "expression is not specified"))
    else:
        _expression(errors, expression, "bool", f"{path}.expression", known, params)
    told = given.get("messageExpression") or ""
    if told and not told.strip():
        errors.append(invalid_value(f"{path}.messageExpression", told, "must be non-empty if specified"))
    elif told:
        _expression(errors, told, "string", f"{path}.messageExpression", known, params, authorizer=False)
    if message and not message.strip():
        errors.append(invalid_value(f"{path}.message", message, "message must be non-empty if specified"))
    elif _BREAK.search(message.strip()):
        errors.append(invalid_value(f"{path}.message", message, "message must not contain line breaks"))
    _choice(errors, given, path, "reason", ("Forbidden", "Invalid", "RequestEntityTooLarge"))


def _annotation(errors: Errors, given: Obj, name: str, known: list[str], params: bool, path: str) -> None:
    key, expression = given.get("key") or "", (given.get("valueExpression") or "").strip()
    if name:
        add(errors, f"{path}.key", f"{name}/{key}", names.qualified(f"{name}/{key}"))
    else:
        errors.append(invalid_value(f"{path}.key", key, "requires metadata.name be non-empty"))
    if not expression:
        errors.append(required(f"{path}.valueExpression", "valueExpression is not specified"))
    else:
        _expression(errors, expression, "dyn", f"{path}.valueExpression", known, params)


def binding(errors: Errors, obj: Obj) -> None:
    metadata(errors, obj["metadata"], False, names.subdomain)
    spec = obj["spec"]
    name = spec.get("policyName") or ""
    if not name:
        errors.append(required("spec.policyName"))
    else:
        add(errors, "spec.policyName", name, names.subdomain(name))
    if spec.get("paramRef") is not None:
        _param_ref(errors, spec["paramRef"], "spec.paramRef")
    if spec.get("matchResources") is not None:
        _match_resources(errors, spec["matchResources"], "spec.matchResouces")  # as Kubernetes spells it
    _actions(errors, spec.get("validationActions") or [], "spec.validationActions")


def _param_ref(errors: Errors, given: Obj, path: str) -> None:
    if given.get("name") and given.get("selector") is not None:
        errors.append(invalid_value(f"{path}.name", given["name"], "name and selector are mutually exclusive"))
    if not given.get("name") and given.get("selector") is None:
        errors.append(required(path, "one of name or selector must be specified"))
    label_selector(errors, given.get("selector"), f"{path}.selector")
    if given.get("parameterNotFoundAction") is None:
        errors.append(required(f"{path}.parameterNotFoundAction"))
    _choice(errors, given, path, "parameterNotFoundAction", ("Deny", "Allow"))


def _actions(errors: Errors, given: list[Any], path: str) -> None:
    for index, action in enumerate(given):
        if action not in ("Audit", "Deny", "Warn"):
            errors.append(not_supported(f"{path}[{index}]", action, ["Audit", "Deny", "Warn"]))
        if action in given[:index]:
            errors.append(duplicate(f"{path}[{index}]", action))
    if {"Deny", "Warn"} <= set(given):
        detail = (
            "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves "
            "no purpose)"
        )
        errors.append(invalid_value(path, given, detail))
    if not given:
        errors.append(required(path, "at least one validation action is required"))
