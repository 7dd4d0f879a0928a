"""Rules of the schemas in CustomResourceDefinitions: structural, with lists and maps that can be merged, and with rules that compile."""

from __future__ import annotations

import re
from typing import Any

from halab.cluster.kube.cel.engine import CompileError, mentions
from halab.cluster.kube.cel.fields import BadPath, resolve
from halab.cluster.kube.cel.rules import compiled
from halab.cluster.kube.status import forbidden_field, invalid_value, not_supported, required
from halab.cluster.kube.types import Obj
from halab.cluster.kube.validation.meta import Errors

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
_BREAK = re.compile(r"[\n\r]")


def root_schema(errors: Errors, schema: Obj, path: str) -> None:
    """A whole resource's schema at ``path``."""
    kind = schema.get("type") or ""
    if not kind:
        errors.append(required(f"{path}.type", "must not be empty at the root"))
    elif kind != "object":
        errors.append(invalid_value(f"{path}.type", kind, "must be object at the root"))
    if schema.get("nullable"):
        errors.append(forbidden_field(f"{path}.nullable", "nullable cannot be true at the root"))
    _structural(errors, schema, path, root=True)
    sound = not errors
    _schema(errors, schema, path)
    if sound and not errors:
        _rules(errors, schema, path, root=True)


def _structural(errors: Errors, schema: Any, path: str, root: bool = False, kind: str = "object fields") -> None:
    """A structural schema says the type of everything it names."""
    if not isinstance(schema, dict):
        return
    given = schema.get("type") or ""
    free = schema.get("x-kubernetes-int-or-string") or schema.get("x-kubernetes-preserve-unknown-fields")
    if not root and not given and not free:
        errors.append(required(f"{path}.type", f"must not be empty for specified {kind}"))
    if schema.get("x-kubernetes-embedded-resource") and given != "object":
        errors.append(invalid_value(f"{path}.type", given, "must be object if x-kubernetes-embedded-resource is true"))
    if given == "array" and "items" not in schema:
        errors.append(required(f"{path}.items", "must be specified"))
    for name in sorted(schema.get("properties") or ()):
        _structural(errors, schema["properties"][name], f"{path}.properties[{name}]")
    if isinstance(schema.get("items"), dict):
        _structural(errors, schema["items"], f"{path}.items", kind="array items")
    _structural(errors, schema.get("additionalProperties"), f"{path}.additionalProperties")


def _schema(errors: Errors, schema: Any, path: str) -> None:
    if not isinstance(schema, dict):
        return
    given = schema.get("type") or ""
    if given and given not in _TYPES:
        errors.append(not_supported(f"{path}.type", given, _TYPES))
    if schema.get("uniqueItems"):
        detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        errors.append(forbidden_field(f"{path}.uniqueItems", detail))
    additional = schema.get("additionalProperties")
    if additional is not None and additional is not True and schema.get("properties"):
        errors.append(forbidden_field(f"{path}.additionalProperties", "additionalProperties and properties are mutual exclusive"))
    _schema(errors, additional, f"{path}.additionalProperties")
    for name in sorted(schema.get("properties") or ()):
        _schema(errors, schema["properties"][name], f"{path}.properties[{name}]")
    _schema(errors, schema.get("items"), f"{path}.items")
    if schema.get("x-kubernetes-preserve-unknown-fields") is False:
        errors.append(invalid_value(f"{path}.x-kubernetes-preserve-unknown-fields", False, "must be true or undefined"))
    _kinds_of_maps_and_lists(errors, schema, path)
    _rule_texts(errors, schema, path)


def _kinds_of_maps_and_lists(errors: Errors, schema: Obj, path: str) -> None:
    given = schema.get("type") or ""
    maps, lists, keys = (
        schema.get("x-kubernetes-map-type"),
        schema.get("x-kubernetes-list-type"),
        schema.get("x-kubernetes-list-map-keys") or [],
    )
    for extension, value, wanted, choices in (
        ("x-kubernetes-map-type", maps, "object", ["atomic", "granular"]),
        ("x-kubernetes-list-type", lists, "array", ["atomic", "set", "map"]),
    ):
        detail = f"must be {wanted} if {extension} is specified"
        if value is not None and given != wanted:
            errors.append(invalid_value(f"{path}.type", given, detail) if given else required(f"{path}.type", detail))
        if value is not None and value not in choices:
            errors.append(not_supported(f"{path}.{extension}", value, choices))
    if keys and lists is None:
        errors.append(required(f"{path}.x-kubernetes-list-type", "must be map if x-kubernetes-list-map-keys is non-empty"))
    elif keys and lists != "map":
        errors.append(
            invalid_value(f"{path}.x-kubernetes-list-type", lists, "must be map if x-kubernetes-list-map-keys is non-empty")
        )
    items = schema.get("items")
    if lists == "map":
        _map_keys(errors, keys, items, path)
    if lists in ("set", "map") and isinstance(items, dict):
        if items.get("nullable"):
            errors.append(forbidden_field(f"{path}.items.nullable", f"cannot be nullable when x-kubernetes-list-type is {lists}"))
        properties = items.get("properties") or {}
        for key in keys if lists == "map" else ():
            if key in properties and key not in (items.get("required") or ()) and "default" not in properties[key]:
                detail = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"
                errors.append(required(f"{path}.items.properties[{key}].default", detail))


def _map_keys(errors: Errors, keys: list[str], items: Any, path: str) -> None:
    if not keys:
        errors.append(required(f"{path}.x-kubernetes-list-map-keys", "must not be empty if x-kubernetes-list-type is map"))
    if not isinstance(items, dict):
        errors.append(required(f"{path}.items", "must have a schema if x-kubernetes-list-type is map"))
        return
    if items.get("type") != "object":
        detail = "must be object if parent array's x-kubernetes-list-type is map"
        errors.append(invalid_value(f"{path}.items.type", items.get("type") or "", detail))
        return
    properties = items.get("properties") or {}
    for index, key in enumerate(keys):
        if key not in properties:
            errors.append(
                invalid_value(f"{path}.x-kubernetes-list-map-keys", keys, "entries must all be names of item properties")
            )
        elif properties[key].get("type") in ("array", "object"):
            detail = "must be a scalar type if parent array's x-kubernetes-list-type is map"
            errors.append(invalid_value(f"{path}.items.properties[{key}].type", "object", detail))
        if key in keys[:index]:
            errors.append(invalid_value(f"{path}.x-kubernetes-list-map-keys", keys, "must not contain duplicate entries"))


# --- x-kubernetes-validations ------------------------------------------------------------------------------------------------------


def _rule_texts(errors: Errors, schema: Obj, path: str) -> None:
    for index, rule in enumerate(schema.get("x-kubernetes-validations") or ()):
        at = f"{path}.x-kubernetes-validations[{index}]"
        text, message = (rule.get("rule") or "").strip(), rule.get("message") or ""
        if not text:
            errors.append(required(f"{at}.rule", "rule is not specified"))
        elif message and not message.strip():
            errors.append(invalid_value(f"{at}.message", message, "must be non-empty if specified"))
        elif _BREAK.search(message.strip()):
            errors.append(invalid_value(f"{at}.message", message, "must not contain line breaks"))
        elif _BREAK.search(text) and not message.strip():
            errors.append(required(f"{at}.message", "message must be specified if rule contains line breaks"))
        if rule.get("messageExpression") and not rule["messageExpression"].strip():
            errors.append(required(f"{at}.messageExpression", "messageExpression must be non-empty if specified"))
        if rule.get("reason") is not None and rule["reason"] not in _REASONS:
            errors.append(not_supported(f"{at}.reason", rule["reason"], _REASONS))
        where = rule.get("fieldPath") or ""
        if where and not where.strip():
            errors.append(invalid_value(f"{at}.fieldPath", where, "must be non-empty if specified"))
        if _BREAK.search(where):
            errors.append(invalid_value(f"{at}.fieldPath", where, "must not contain line breaks"))
        if where:
            try:
                resolve(where, schema)
            except BadPath:
                errors.append(invalid_value(f"{at}.fieldPath", where, "must be a valid path"))


def _rules(errors: Errors, schema: Any, path: str, root: bool = False, uncorrelated: str = "") -> None:
    """The rules compile. ``uncorrelated`` is the part of the schema whose former values cannot be told, where rules may not ask for them."""
    if not isinstance(schema, dict):
        return
    below = uncorrelated or (path if schema.get("x-kubernetes-map-type") == "atomic" else "")
    for name in sorted(schema.get("properties") or ()):
        _rules(errors, schema["properties"][name], f"{path}.properties[{name}]", uncorrelated=below)
    _rules(errors, schema.get("additionalProperties"), f"{path}.additionalProperties", uncorrelated=below)
    apart = uncorrelated or (path if schema.get("x-kubernetes-list-type") != "map" else "")
    _rules(errors, schema.get("items"), f"{path}.items", uncorrelated=apart)
    for index, rule in enumerate(schema.get("x-kubernetes-validations") or ()):
        at = f"{path}.x-kubernetes-validations[{index}]"
        try:
            compiled(rule["rule"], schema, root, bool(rule.get("optionalOldSelf")))
        except CompileError as error:
            errors.append(invalid_value(f"{at}.rule", _shown(rule), str(error)))
        if rule.get("messageExpression"):
            try:
                compiled(rule["messageExpression"], schema, root, returns="string")
            except CompileError as error:
                detail = str(error).replace("compilation failed:", "messageExpression compilation failed:")
                errors.append(invalid_value(f"{at}.messageExpression", _shown(rule), detail))
        if mentions(rule["rule"], "oldSelf"):
            if uncorrelated:
                detail = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {uncorrelated}"
                errors.append(invalid_value(f"{at}.rule", rule["rule"], detail))
        elif rule.get("optionalOldSelf") is not None:
            detail = "may not be set if oldSelf is not used in rule"
            errors.append(invalid_value(f"{at}.optionalOldSelf", rule["optionalOldSelf"], detail))


def _shown(rule: Obj) -> Obj:
    """A rule as Go's internal type prints."""
    return {
        "Rule": rule.get("rule", ""),
        "Message": rule.get("message", ""),
        "MessageExpression": rule.get("messageExpression", ""),
        "Reason": rule.get("reason"),
        "FieldPath": rule.get("fieldPath", ""),
        "OptionalOldSelf": rule.get("optionalOldSelf"),
    }
