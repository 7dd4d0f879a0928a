"""Rules of ``metadata``, and of labels and label selectors wherever they stand."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from halab.cluster.kube.schema import definition_node, in_order
from halab.cluster.kube.status import OMITTED, FieldError, forbidden_field, invalid_value, required, too_long
from halab.cluster.kube.types import Obj
from halab.cluster.kube.validation import names

Errors = list[FieldError]
IMMUTABLE = "field is immutable"
NOT_NEGATIVE = "must be greater than or equal to 0"
ANNOTATIONS_LIMIT = 256 * 1024
_STANDARD_FINALIZERS = frozenset({"kubernetes", "orphan", "foregroundDeletion"})
_OWNER = "io.k8s.apimachinery.pkg.apis.meta.v1.OwnerReference"
LABEL_SELECTOR = "io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector"


def add(errors: Errors, path: str, value: Any, faults: Iterable[str]) -> None:
    for fault in faults:
        errors.append(invalid_value(path, value, fault))


def not_negative(errors: Errors, value: int | None, path: str) -> None:
    if value is not None and value < 0:
        errors.append(invalid_value(path, value, NOT_NEGATIVE))


def immutable(errors: Errors, new: Any, old: Any, path: str, shown: Any = OMITTED) -> None:
    """``shown`` is what the message prints instead of ``new`` (a value in Go's order of fields)."""
    if new != old and (new or old or type(new) is not type(old)):
        errors.append(invalid_value(path, new if shown is OMITTED else shown, IMMUTABLE))


def metadata(
    errors: Errors, meta: Obj, namespaced: bool, name_rule: Callable[[str], Iterable[str]], path: str = "metadata"
) -> None:
    """The metadata of a new object; ``name_rule`` gives the faults of its name."""
    prefix = meta.get("generateName")
    if prefix:
        add(errors, f"{path}.generateName", prefix, name_rule(names.trailing_dash_masked(prefix)))
    name = meta.get("name")
    if not name:
        errors.append(required(f"{path}.name", "name or generateName is required"))
    else:
        add(errors, f"{path}.name", name, name_rule(name))
    namespace = meta.get("namespace")
    if namespaced:
        if not namespace:
            errors.append(required(f"{path}.namespace"))
        else:
            add(errors, f"{path}.namespace", namespace, names.label(namespace))
    elif namespace:
        errors.append(forbidden_field(f"{path}.namespace", "not allowed on this type"))
    not_negative(errors, meta.get("generation"), f"{path}.generation")
    labels(errors, meta.get("labels"), f"{path}.labels")
    annotation_map(errors, meta.get("annotations"), f"{path}.annotations")
    if "ownerReferences" in meta:
        _owners(errors, meta["ownerReferences"], f"{path}.ownerReferences")
    if "finalizers" in meta:
        _finalizers(errors, meta["finalizers"], f"{path}.finalizers")
    if "managedFields" in meta:
        _managed_fields(errors, meta["managedFields"], f"{path}.managedFields")


def core_finalizers(errors: Errors, meta: Obj, path: str = "metadata") -> None:
    """Objects of the older groups also want finalizers to be qualified names."""
    for index, name in enumerate(meta.get("finalizers") or ()):
        finalizer_is_standard(errors, name, f"{path}.finalizers[{index}]")


def finalizer_is_standard(errors: Errors, name: str, path: str) -> None:
    if "/" not in name and name not in _STANDARD_FINALIZERS:
        errors.append(invalid_value(path, name, "name is neither a standard finalizer name nor is it fully qualified"))


def metadata_update(errors: Errors, new: Obj, old: Obj, path: str = "metadata") -> None:
    """What may change of the metadata. A missing resourceVersion is the caller's affair."""
    if "deletionTimestamp" in old:
        extra = sorted(set(new.get("finalizers") or ()) - set(old.get("finalizers") or ()))
        if extra:
            listed = ", ".join(f'"{name}"' for name in extra)
            detail = f"no new finalizers can be added if the object is being deleted, found new finalizers []string{{{listed}}}"
            errors.append(forbidden_field(f"{path}.finalizers", detail))
    if (new.get("generation") or 0) < (old.get("generation") or 0):
        errors.append(invalid_value(f"{path}.generation", new.get("generation") or 0, "must not be decremented"))
    for name in ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"):
        if new.get(name) != old.get(name):
            errors.append(invalid_value(f"{path}.{name}", new.get(name), IMMUTABLE))
    labels(errors, new.get("labels"), f"{path}.labels")
    annotation_map(errors, new.get("annotations"), f"{path}.annotations")
    if "ownerReferences" in new:
        _owners(errors, new["ownerReferences"], f"{path}.ownerReferences")
    if "managedFields" in new:
        _managed_fields(errors, new["managedFields"], f"{path}.managedFields")


def label_name(errors: Errors, name: str, path: str) -> None:
    add(errors, path, name, names.qualified(name))


def labels(errors: Errors, values: dict[str, str] | None, path: str) -> None:
    for key in sorted(values) if values else ():
        add(errors, path, key, names.qualified(key))
        value = values[key]  # type: ignore[index]
        add(errors, path, value, names.label_value(value))


def annotation_map(errors: Errors, values: dict[str, str] | None, path: str) -> None:
    if not values:
        return
    size = 0
    for key, value in values.items():
        faults = names.qualified(key.lower())
        if faults:
            add(errors, path, key, faults)
        size += len(key) + (len(value) if value.isascii() else len(value.encode()))
    if size > ANNOTATIONS_LIMIT:
        errors.append(too_long(path, ANNOTATIONS_LIMIT))


def _owners(errors: Errors, references: list[Obj], path: str) -> None:
    controller = ""
    for reference in references:
        version = (reference.get("apiVersion") or "").rpartition("/")[2]
        if not version:
            errors.append(invalid_value(f"{path}.apiVersion", reference.get("apiVersion") or "", "version must not be empty"))
        for name in ("kind", "name", "uid"):
            if not reference.get(name):
                errors.append(invalid_value(f"{path}.{name}", "", "must not be empty"))
        if (reference.get("apiVersion"), reference.get("kind")) == ("v1", "Event"):
            shown = in_order(definition_node(_OWNER), reference)
            errors.append(invalid_value(path, shown, "/v1, Kind=Event is disallowed from being an owner"))
        if reference.get("controller"):
            current = f"{reference.get('kind', '')}/{reference.get('name', '')}"
            if controller:
                shown = [in_order(definition_node(_OWNER), r) for r in references]
                detail = f'Only one reference can have Controller set to true. Found "true" in references for {controller} and {current}'
                errors.append(invalid_value(path, shown, detail))
            else:
                controller = current


def _finalizers(errors: Errors, finalizers: list[str], path: str) -> None:
    for name in finalizers:
        add(errors, path, name, names.qualified(name))
    if "orphan" in finalizers and "foregroundDeletion" in finalizers:
        errors.append(invalid_value(path, finalizers, "finalizer orphan and foregroundDeletion cannot be both set"))


def _managed_fields(errors: Errors, entries: list[Obj], path: str) -> None:
    for index, entry in enumerate(entries):
        if entry.get("operation") not in ("Apply", "Update"):
            errors.append(
                invalid_value(f"{path}[{index}].operation", entry.get("operation") or "", "must be `Apply` or `Update`")
            )
        if entry.get("fieldsType") and entry["fieldsType"] != "FieldsV1":
            errors.append(invalid_value(f"{path}[{index}].fieldsType", entry["fieldsType"], "must be `FieldsV1`"))
        if len(entry.get("manager") or "") > 128:
            errors.append(too_long(f"{path}[{index}].manager", 128))


def label_selector(errors: Errors, selector: Obj | None, path: str) -> None:
    if not selector:
        return
    labels(errors, selector.get("matchLabels"), f"{path}.matchLabels")
    for index, requirement in enumerate(selector.get("matchExpressions") or ()):
        at = f"{path}.matchExpressions[{index}]"
        operator, values = requirement.get("operator"), requirement.get("values")
        if operator in ("In", "NotIn"):
            if not values:
                errors.append(required(f"{at}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                errors.append(
                    forbidden_field(f"{at}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
                )
        else:
            errors.append(invalid_value(f"{at}.operator", operator or "", "not a valid selector operator"))
        label_name(errors, requirement.get("key") or "", f"{at}.key")
        for number, value in enumerate(values or ()):
            add(errors, f"{at}.values[{number}]", value, names.label_value(value))


def shown_selector(selector: Obj | None) -> Obj | None:
    """A label selector as Go prints it."""
    return None if selector is None else in_order(definition_node(LABEL_SELECTOR), selector)
