"""Rules of CustomResourceDefinitions: names, versions, and that each schema is structural."""

from __future__ import annotations

from typing import Any

from halab.cluster.kube.status import forbidden_field, invalid_value, not_supported, required
from halab.cluster.kube.types import Obj
from halab.cluster.kube.validation import names
from halab.cluster.kube.validation.meta import IMMUTABLE, Errors, metadata, metadata_update

_TYPES = ("array", "boolean", "integer", "number", "object", "string")


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
    conversion = spec.get("conversion") or {}
    if conversion.get("strategy") not in ("None", "Webhook"):
        errors.append(not_supported("spec.conversion.strategy", conversion.get("strategy") or "", ["None", "Webhook"]))


def _versions(errors: Errors, versions: list[Obj]) -> None:
    stored = [v for v in versions if v.get("storage")]
    seen: set[str] = set()
    for index, version in enumerate(versions):
        path, name = f"spec.versions[{index}]", version.get("name") or ""
        if name in seen:
            errors.append(invalid_value("spec.versions", versions, "must contain unique version names"))
        seen.add(name)
        faults = names.label_1035(name)
        if faults:
            errors.append(invalid_value(f"{path}.name", name, ",".join(faults)))
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if schema is None:
            errors.append(required(f"{path}.schema.openAPIV3Schema", "schemas are required"))
        else:
            _root_schema(errors, schema, f"{path}.schema.openAPIV3Schema")
        scale = (version.get("subresources") or {}).get("scale")
        if scale is not None:
            _scale(errors, scale, f"{path}.subresources.scale")
        for number, column in enumerate(version.get("additionalPrinterColumns") or ()):
            _column(errors, column, f"{path}.additionalPrinterColumns[{number}]")
    if len(stored) != 1:
        detail = "must have exactly one version marked as storage version"
        errors.append(invalid_value("spec.versions", versions or None, detail))


def _root_schema(errors: Errors, schema: Obj, path: str) -> None:
    kind = schema.get("type") or ""
    if not kind:
        errors.append(required(f"{path}.type", "must not be empty at the root"))
    elif kind != "object":
        errors.append(invalid_value(f"{path}.type", kind, "must be object at the root"))
    _schema(errors, schema, path, root=True)


def _schema(errors: Errors, schema: Any, path: str, root: bool = False, kind: str = "object fields") -> None:
    """A structural schema says the type of everything it names."""
    if not isinstance(schema, dict):
        return
    given = schema.get("type") or ""
    free = schema.get("x-kubernetes-int-or-string") or schema.get("x-kubernetes-preserve-unknown-fields")
    if not root and not given and not free:
        errors.append(required(f"{path}.type", f"must not be empty for specified {kind}"))
    if given and given not in _TYPES:
        errors.append(not_supported(f"{path}.type", given, _TYPES))
    if given == "array" and "items" not in schema:
        errors.append(required(f"{path}.items", "must be specified"))
    if schema.get("uniqueItems"):
        detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        errors.append(forbidden_field(f"{path}.uniqueItems", detail))
    additional = schema.get("additionalProperties")
    if additional is not None and schema.get("properties"):
        errors.append(forbidden_field(f"{path}.additionalProperties", "additionalProperties and properties are mutual exclusive"))
    for name in sorted(schema.get("properties") or ()):
        _schema(errors, schema["properties"][name], f"{path}.properties[{name}]")
    if isinstance(schema.get("items"), dict):
        _schema(errors, schema["items"], f"{path}.items", kind="array items")
    _schema(errors, additional, f"{path}.additionalProperties")


def _scale(errors: Errors, scale: Obj, path: str) -> None:
    for field, under in (("specReplicasPath", ".spec"), ("statusReplicasPath", ".status")):
        value = scale.get(field) or ""
        if not value:
            errors.append(required(f"{path}.{field}"))
        elif not value.startswith(f"{under}."):
            errors.append(invalid_value(f"{path}.{field}", value, f"should be a json path under {under}"))


def _column(errors: Errors, column: Obj, path: str) -> None:
    for field in ("name", "type", "jsonPath"):
        if not column.get(field):
            errors.append(required(f"{path}.{field}"))
    kinds = ("boolean", "date", "integer", "number", "string")
    if column.get("type") and column["type"] not in kinds:
        errors.append(invalid_value(f"{path}.type", column["type"], f"must be one of {','.join(kinds)}"))


def _names(errors: Errors, given: Obj, path: str) -> None:
    for field in ("plural", "singular", "kind", "listKind"):
        value = given.get(field) or ""
        if not value:
            errors.append(required(f"{path}.{field}"))
            continue
        lower = value.lower() if field.endswith("ind") else value
        faults = names.label_1035(lower)
        if faults:
            errors.append(invalid_value(f"{path}.{field}", value, ",".join(faults)))
    if given.get("kind") and given.get("kind") == given.get("listKind"):
        errors.append(invalid_value(f"{path}.listKind", given["listKind"], "kind and listKind may not be the same"))
    for field in ("shortNames", "categories"):
        for index, value in enumerate(given.get(field) or ()):
            faults = names.label_1035(value)
            if faults:
                errors.append(invalid_value(f"{path}.{field}[{index}]", value, ",".join(faults)))


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
