"""Whether an admission policy or a webhook is about a write: selectors of namespaces and objects, and rules of resources."""

from __future__ import annotations

from typing import Any

from halab.cluster.apiserver.admission.attributes import Attributes
from halab.cluster.kube import kinds
from halab.cluster.kube.kinds import Kind
from halab.cluster.kube.selectors import from_label_selector

Obj = dict[str, Any]
_NEVER = frozenset({
    kinds.VALIDATING_ADMISSION_POLICIES, kinds.VALIDATING_ADMISSION_POLICY_BINDINGS, kinds.VALIDATING_WEBHOOKS, kinds.MUTATING_WEBHOOKS,
})  # fmt: skip
"""Configurations of admission are never subject to it: nobody locks themselves out."""


def exempt(kind: Kind) -> bool:
    return kind in _NEVER


def matches(criteria: Obj, rules: str, attributes: Attributes) -> bool:
    """Whether a write is among what ``criteria`` describes."""
    return matched(criteria, rules, attributes) is not None


def matched(criteria: Obj, rules: str, attributes: Attributes) -> Kind | None:
    """The kind under which a write is what ``criteria`` describes: its own, or an equivalent one of another version or group; None if it is not.

    ``criteria`` has ``namespaceSelector``, ``objectSelector``, ``matchPolicy``, perhaps ``excludeResourceRules``, and its rules under the name
    ``rules``; without rules it matches everything that the selectors do."""
    if not _namespace(criteria.get("namespaceSelector"), attributes) or not _object(criteria.get("objectSelector"), attributes):
        return None
    same = [attributes.kind]
    if criteria.get("matchPolicy") != "Exact":
        same += attributes.equivalents()
    if any(_rule(rule, attributes, kind) for kind in same for rule in criteria.get("excludeResourceRules") or ()):
        return None
    wanted = criteria.get(rules) or ()
    if not wanted:
        return attributes.kind if rules == "resourceRules" else None
    return next((kind for kind in same for rule in wanted if _rule(rule, attributes, kind)), None)


def _namespace(selector: Obj | None, attributes: Attributes) -> bool:
    if not selector:
        return True
    if attributes.kind is kinds.NAMESPACES:
        labels = (attributes.obj or attributes.old or {}).get("metadata", {}).get("labels")
    elif attributes.namespace:
        found = attributes.find(kinds.NAMESPACES, attributes.namespace)
        labels = ((found or {}).get("metadata") or {}).get("labels")
    else:
        return True  # a cluster-scoped object has no namespace to select by
    return from_label_selector(selector).matches(labels or {})


def _object(selector: Obj | None, attributes: Attributes) -> bool:
    if not selector:
        return True
    wanted = from_label_selector(selector)
    return any(wanted.matches(obj.get("metadata", {}).get("labels") or {}) for obj in (attributes.obj, attributes.old) if obj)


def _rule(rule: Obj, attributes: Attributes, kind: Kind) -> bool:
    operations = rule.get("operations") or ()
    if "*" not in operations and attributes.operation not in operations:
        return False
    scope = rule.get("scope") or "*"
    if scope != "*" and (scope == "Namespaced") is not (attributes.kind.namespaced):
        return False
    names = rule.get("resourceNames") or ()
    if names and attributes.name not in names:
        return False
    return _resource(rule, kind, attributes.asked)


def _resource(rule: Obj, kind: Kind, subresource: str) -> bool:
    groups, versions = rule.get("apiGroups") or (), rule.get("apiVersions") or ()
    if "*" not in groups and kind.group not in groups:
        return False
    if "*" not in versions and kind.version not in versions:
        return False
    for resource in rule.get("resources") or ():
        name, _, sub = resource.partition("/")
        if name in ("*", kind.plural) and sub in ("*", subresource):
            return True
    return False


def request_of(attributes: Attributes, uid: str = "", shown: Kind | None = None) -> Obj:
    """The ``request`` of an AdmissionReview, and of expressions, without the objects. ``shown`` is the equivalent kind that was matched."""
    kind, user = attributes.kind, attributes.user
    shown = shown or kind
    request: Obj = {
        "uid": uid,
        "kind": _type(attributes.about or shown),
        "resource": _resource_name(shown),
        "requestKind": _type(attributes.about or kind),
        "requestResource": _resource_name(kind),
        "operation": attributes.operation,
        "userInfo": {"username": user.name, "groups": list(user.groups)},
        "dryRun": attributes.dry_run,
    }
    name = attributes.name or ((attributes.obj or {}).get("metadata") or {}).get("name") or ""
    if name:
        request["name"] = name
    if attributes.namespace:
        request["namespace"] = attributes.namespace
    if attributes.asked:
        request["subResource"] = request["requestSubResource"] = attributes.asked
    if user.uid:
        request["userInfo"]["uid"] = user.uid
    if user.extra:
        request["userInfo"]["extra"] = user.extra
    options = {"CREATE": "CreateOptions", "UPDATE": "UpdateOptions", "DELETE": "DeleteOptions"}.get(attributes.operation)
    request["options"] = {"kind": options, "apiVersion": "meta.k8s.io/v1"} if options else None
    return request


def _type(kind: Kind) -> Obj:
    return {"group": kind.group, "version": kind.version, "kind": kind.kind}


def _resource_name(kind: Kind) -> Obj:
    return {"group": kind.group, "version": kind.version, "resource": kind.plural}


def whole(attributes: Attributes, obj: Obj | None) -> Obj | None:
    """An object with its type, None if there is none."""
    if obj is None or (not obj and attributes.about is None):
        return None
    kind = attributes.about or attributes.kind
    return {"kind": kind.kind, "apiVersion": kind.api_version, **obj}
