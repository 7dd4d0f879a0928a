"""Rules of CustomResourceDefinitions: names, versions, and that each schema is structural."""

from __future__ import annotations

from halab.cluster.kube.cel.fields import BadPath, resolve
from halab.cluster.kube.status import duplicate, invalid_value, not_supported, required
from halab.cluster.kube.types import Obj
from halab.cluster.kube.validation import names
from halab.cluster.kube.validation.definitions_schema import root_schema
from halab.cluster.kube.validation.meta import IMMUTABLE, Errors, metadata, metadata_update


def definition(errors: Errors, obj: Obj) -> None:
    spec = obj["spec"]
    expected = f"{(spec.get('names') or {}).get('plural', '')}.{spec.get('group', '')}"
    meta = obj["metadata"]
    name = meta.get("name") or ""
    found: Errors = []
    metadata(found, meta, False, names.subdomain)
    errors += [e for e in found if e.path != "metadata.name"]
    if not name:
        errors.append(required("metadata.name", "name or generateName is required"))
    elif name != expected:
        errors.append(invalid_value("metadata.name", name, 'must be spec.names.plural+"."+spec.group'))
    _spec(errors, spec)


def _spec(errors: Errors, spec: Obj) -> None:
    group = spec.get("group") or ""
    if not group:
        errors.append(required("spec.group"))
    elif names.subdomain(group):
        errors.append(invalid_value("spec.group", group, ",".join(names.subdomain(group))))
    elif "." not in group:
        errors.append(invalid_value("spec.group", group, "should be a domain with at least one dot"))
    scope = spec.get("scope") or ""
    if not scope:
        errors.append(required("spec.scope"))
    elif scope not in ("Cluster", "Namespaced"):
        errors.append(not_supported("spec.scope", scope, ["Cluster", "Namespaced"]))
    if spec.get("preserveUnknownFields"):
        detail = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        errors.append(invalid_value("spec.preserveUnknownFields", True, detail))
    _versions(errors, spec.get("versions") or [])
    _names(errors, spec.get("names") or {}, "spec.names")
    _shared_parts(errors, spec.get("versions") or [])
    conversion = spec.get("conversion") or {}
    if conversion.get("strategy") not in ("None", "Webhook"):
        errors.append(not_supported("spec.conversion.strategy", conversion.get("strategy") or "", ["None", "Webhook"]))


def _versions(errors: Errors, versions: list[Obj]) -> None:
    """Schemas, subresources and columns are looked at version by version; but where all versions have the same, Kubernetes keeps one for all, and
    says ``spec.validation``, ``spec.subresources`` and ``spec.additionalPrinterColumns``."""
    stored = [v for v in versions if v.get("storage")]
    seen: set[str] = set()
    shared = {part: all(v.get(part) == versions[0].get(part) for v in versions) for part in _PARTS}
    for index, version in enumerate(versions):
        if not (version.get("schema") or {}).get("openAPIV3Schema"):
            errors.append(required(f"spec.versions[{index}].schema.openAPIV3Schema"))
    for index, version in enumerate(versions):
        path, name = f"spec.versions[{index}]", version.get("name") or ""
        faults = names.label_1035(name)
        if faults:
            errors.append(invalid_value(f"{path}.name", name, ",".join(faults)))
        warning = version.get("deprecationWarning")
        if warning is not None and not version.get("deprecated"):
            errors.append(invalid_value(f"{path}.deprecationWarning", warning, "can only be set for deprecated versions"))
        _parts(errors, {part: version.get(part) for part in _PARTS if not shared[part]}, version, path, "schema")
        seen.add(name)
    if len(seen) < len(versions):
        errors.append(invalid_value("spec.versions", versions, "must contain unique version names"))
    if len(stored) != 1:
        detail = "must have exactly one version marked as storage version"
        errors.append(invalid_value("spec.versions", versions or None, detail))


_PARTS = ("schema", "subresources", "additionalPrinterColumns", "selectableFields")


def _shared_parts(errors: Errors, versions: list[Obj]) -> None:
    if versions:
        same = {part: versions[0].get(part) for part in _PARTS if all(v.get(part) == versions[0].get(part) for v in versions)}
        _parts(errors, same, versions[0], "spec", "validation")


def _parts(errors: Errors, parts: Obj, version: Obj, path: str, schema_name: str) -> None:
    schema = (parts.get("schema") or {}).get("openAPIV3Schema")
    if schema is not None:
        root_schema(errors, schema, f"{path}.{schema_name}.openAPIV3Schema")
    scale = (parts.get("subresources") or {}).get("scale")
    if scale is not None:
        _scale(errors, scale, f"{path}.subresources.scale")
    for number, column in enumerate(parts.get("additionalPrinterColumns") or ()):
        _column(errors, column, f"{path}.additionalPrinterColumns[{number}]")
    if parts.get("selectableFields"):
        whole = (version.get("schema") or {}).get("openAPIV3Schema") or {}
        _selectable(errors, parts["selectableFields"], whole, f"{path}.selectableFields")


def _selectable(errors: Errors, given: list[Obj], schema: Obj, path: str) -> None:
    seen: set[str] = set()
    for index, item in enumerate(given):
        at, text = f"{path}[{index}].jsonPath", item.get("jsonPath") or ""
        if not text:
            errors.append(required(at))
            continue
        try:
            shown, found = resolve(text, schema, arrays=False)
        except BadPath as error:
            errors.append(invalid_value(at, text, f"is an invalid path: {error}"))
            continue
        if shown.startswith("metadata"):
            errors.append(invalid_value(at, text, "must not point to fields in metadata"))
        if found.get("type") not in ("string", "boolean", "integer"):
            detail = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed."
            errors.append(invalid_value(at, text, detail))
        if shown in seen:
            errors.append(duplicate(at, text))
        seen.add(shown)


def _scale(errors: Errors, scale: Obj, path: str) -> None:
    for field, under in (("specReplicasPath", ".spec"), ("statusReplicasPath", ".status")):
        value = scale.get(field) or ""
        if not value:
            errors.append(required(f"{path}.{field}"))
        elif not value.startswith("."):
            errors.append(invalid_value(f"{path}.{field}", value, "must be a simple json path starting with ."))
        elif not value.startswith(f"{under}."):
            errors.append(invalid_value(f"{path}.{field}", value, f"should be a json path under {under}"))
    selector = scale.get("labelSelectorPath")
    if selector and not selector.startswith("."):
        errors.append(invalid_value(f"{path}.labelSelectorPath", selector, "must be a simple json path starting with ."))
    elif selector and not selector.startswith((".spec.", ".status.")):
        errors.append(invalid_value(f"{path}.labelSelectorPath", selector, "should be a json path under either .spec or .status"))


_COLUMN_TYPES = "boolean,date,integer,number,string"
_COLUMN_FORMATS = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")


def _column(errors: Errors, column: Obj, path: str) -> None:
    if not column.get("name"):
        errors.append(required(f"{path}.name"))
    if not column.get("type"):
        errors.append(required(f"{path}.type", f"must be one of {_COLUMN_TYPES}"))
    elif column["type"] not in _COLUMN_TYPES.split(","):
        errors.append(invalid_value(f"{path}.type", column["type"], f"must be one of {_COLUMN_TYPES}"))
    if column.get("format") and column["format"] not in _COLUMN_FORMATS:
        errors.append(invalid_value(f"{path}.format", column["format"], f"must be one of {','.join(_COLUMN_FORMATS)}"))
    if not column.get("jsonPath"):
        errors.append(required(f"{path}.JSONPath"))
    elif not column["jsonPath"].startswith("."):
        errors.append(invalid_value(f"{path}.JSONPath", column["jsonPath"], "must be a simple json path starting with ."))


def _names(errors: Errors, given: Obj, path: str) -> None:
    wanted = ("plural", "singular", "kind", "listKind")
    errors += [required(f"{path}.{field}") for field in wanted if not given.get(field)]
    for field in wanted:
        value = given.get(field) or ""
        mixed = field.endswith("ind")
        faults = names.label_1035(value.lower() if mixed else value) if value else ()
        if faults:
            prefix = "may have mixed case, but should otherwise match: " if mixed else ""
            errors.append(invalid_value(f"{path}.{field}", value, prefix + ",".join(faults)))
    for index, value in enumerate(given.get("shortNames") or ()):
        if faults := names.label_1035(value):
            errors.append(invalid_value(f"{path}.shortNames[{index}]", value, ",".join(faults)))
    if given.get("kind") and given.get("kind") == given.get("listKind"):
        errors.append(invalid_value(f"{path}.listKind", given["listKind"], "kind and listKind may not be the same"))
    for index, value in enumerate(given.get("categories") or ()):
        if faults := names.label_1035(value):
            errors.append(invalid_value(f"{path}.categories[{index}]", value, ",".join(faults)))


def definition_update(errors: Errors, new: Obj, old: Obj) -> None:
    metadata_update(errors, new["metadata"], old["metadata"])
    definition(errors, new)
    established = any(c.get("type") == "Established" and c.get("status") == "True" for c in old["status"].get("conditions") or ())
    for field in ("group", "scope"):
        if new["spec"].get(field) != old["spec"].get(field) and (field == "group" or established):
            errors.append(invalid_value(f"spec.{field}", new["spec"].get(field) or "", IMMUTABLE))
    if established:
        for field in ("plural", "kind"):
            now = (new["spec"].get("names") or {}).get(field)
            if now != (old["spec"].get("names") or {}).get(field):
                errors.append(invalid_value(f"spec.names.{field}", now or "", IMMUTABLE))
    served = {v.get("name") for v in new["spec"].get("versions") or ()}
    for index, name in enumerate(new["status"].get("storedVersions") or ()):
        if name not in served:
            detail = "missing from spec.versions; v1 was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in v1 and removes v1 from status.storedVersions"
            errors.append(invalid_value(f"status.storedVersions[{index}]", name, detail.replace("v1", name)))


def definition_status_update(errors: Errors, new: Obj, old: Obj) -> None:
    metadata_update(errors, new["metadata"], old["metadata"])
