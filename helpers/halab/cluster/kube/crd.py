"""Custom resources: from a CustomResourceDefinition to kinds, shapes, columns; and what its schema does to objects.

``register`` makes a definition's versions known to ``schema``, ``table`` and this module; ``kinds_of`` gives the ``Kind`` values
to serve. Structural schemas only, as in apiextensions.k8s.io/v1. https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from halab.cluster.kube import crd_values, exact, schema, table
from halab.cluster.kube.cel import rules
from halab.cluster.kube.crd_columns import layout
from halab.cluster.kube.kinds import SCALE, STATUS, Kind, Subresource
from halab.cluster.kube.schema import ANY, LIST, MAP, OBJECT_META, STRING, STRUCT, Node, definition_node
from halab.cluster.kube.status import FieldError, invalid_value
from halab.cluster.kube.types import Obj

_OPEN: Obj = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


@dataclass(frozen=True, slots=True)
class Version:
    """One served version: its schema as given and as a tree, and what its subresources say."""

    kind: Kind
    raw: Obj
    node: Node
    scale: Obj = field(default_factory=dict)
    selectable: frozenset[str] = field(default_factory=frozenset)
    rules: rules.Tree | None = None
    reads: bool = False  # whether what is stored may differ from what is to be seen


_versions: dict[tuple[str, str, str], Version] = {}


def kinds_of(definition: Obj) -> list[Kind]:
    """The kinds that a definition serves, the preferred version first as the definition lists them.

    None before its names are accepted.
    """
    spec = definition["spec"]
    names = spec["names"]
    return [
        Kind(
            group=spec["group"],
            version=version["name"],
            kind=names["kind"],
            plural=names["plural"],
            singular=names.get("singular") or names["kind"].lower(),
            namespaced=spec.get("scope") == "Namespaced",
            short_names=tuple(names.get("shortNames") or ()),
            categories=tuple(names.get("categories") or ()),
            subresources=_subresources(version),
            storage=f"{names['plural']}.{spec['group']}",
            generation=True,
            custom=True,
            list_kind=names.get("listKind") or f"{names['kind']}List",
        )
        for version in spec.get("versions") or ()
        if version.get("served")
    ]


def register(definition: Obj) -> list[Kind]:
    """Make the definition's versions known; replaces what was known of it. Returns its kinds."""
    versions = {version["name"]: version for version in definition["spec"].get("versions") or ()}
    kinds = kinds_of(definition)
    for kind in kinds:
        given = versions[kind.version]
        raw = (given.get("schema") or {}).get("openAPIV3Schema") or _OPEN
        node = _root(raw)
        selectable = frozenset(item["jsonPath"].lstrip(".") for item in given.get("selectableFields") or ())
        scale = dict((given.get("subresources") or {}).get("scale") or {})
        reads = _has_defaults(raw) or (definition["metadata"].get("generation") or 1) > 1
        _versions[_key(kind)] = Version(kind, raw, node, scale, selectable, rules.tree_of(raw, root=True), reads)
        schema.register(kind, node)
        table.register(kind, layout(given.get("additionalPrinterColumns")))
    return kinds


def unregister(kinds: Sequence[Kind]) -> None:
    """Forget versions that are no longer served."""
    for kind in kinds:
        _versions.pop(_key(kind), None)
        schema.register(kind, None)
        table.register(kind, None)


def version_of(kind: Kind) -> Version | None:
    return _versions.get(_key(kind))


def openapi_schema(kind: Kind) -> Obj:
    """The schema as the definition gives it; an open object where it gives none."""
    version = version_of(kind)
    return version.raw if version else _OPEN


def scale_paths(kind: Kind) -> Obj:
    """``specReplicasPath``, ``statusReplicasPath`` and ``labelSelectorPath`` of the scale subresource; empty without one."""
    version = version_of(kind)
    return version.scale if version else {}


def selectable_fields(kind: Kind) -> frozenset[str]:
    """Fields that ``fieldSelector`` may name beside name and namespace."""
    version = version_of(kind)
    return version.selectable if version else frozenset()


def apply_defaults(kind: Kind, obj: Obj) -> None:
    """Fill in the schema's defaults, in place."""
    if version := version_of(kind):
        crd_values.apply_defaults(version.raw, obj)


def reads(kind: Kind) -> bool:
    """Whether stored objects of the kind go through ``read`` before anybody sees them."""
    version = version_of(kind)
    return version is not None and version.reads


def read(kind: Kind, obj: Obj) -> Obj:
    """A stored object by today's schema: without what that lacks, and with its defaults. ``obj`` is changed."""
    if version := version_of(kind):
        exact.prune(obj, version.node)
        crd_values.apply_defaults(version.raw, obj)
    return obj


def _has_defaults(raw: Any) -> bool:
    if not isinstance(raw, dict):
        return False
    children = [*(raw.get("properties") or {}).values(), raw.get("items"), raw.get("additionalProperties")]
    return "default" in raw or any(_has_defaults(child) for child in children)


def validate(kind: Kind, obj: Obj, old: Obj | None = None) -> list[FieldError]:
    """What the schema and its rules find wrong with an object; metadata is validated elsewhere. What an update leaves as it was is not held
    against it."""
    version = version_of(kind)
    if version is None:
        return []
    faults = crd_values.validate(version.raw, obj, old)
    if version.rules is None:
        return faults
    if any(fault.reason in _BLOCKING for fault in faults):
        return [*faults, invalid_value("<nil>", None, rules.NOT_CHECKED)]
    return faults + rules.evaluate(version.rules, obj, rules.ABSENT if old is None else old)


_BLOCKING = frozenset({
    "FieldValueNotSupported", "FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", "FieldValueTypeInvalid",
})  # fmt: skip
"""Faults that keep rules from being asked: they would stumble over them."""


def has_schema(definition: Obj) -> bool:
    return all((v.get("schema") or {}).get("openAPIV3Schema") for v in definition["spec"].get("versions") or ())


def accepted_status(definition: Obj, others: Sequence[Obj], now: str) -> Obj:
    """The status that the naming and establishing controllers give: names are accepted unless another definition of the group has
    them.

    ``others`` are all other definitions; ``now`` is used for conditions that change.
    """
    spec, before = definition["spec"], definition.get("status") or {}
    names = spec["names"]
    taken = _conflict(definition, others)
    accepted = (
        {"status": "False", **taken} if taken else {"status": "True", "reason": "NoConflicts", "message": "no conflicts found"}
    )
    established = (
        {"status": "False", "reason": "NotAccepted", "message": "not all names are accepted"}
        if taken
        else {"status": "True", "reason": "InitialNamesAccepted", "message": "the initial names have been accepted"}
    )
    former = {condition["type"]: condition for condition in before.get("conditions") or ()}
    conditions = []
    for name, wanted in (("NamesAccepted", accepted), ("Established", established)):
        known = former.pop(name, None)
        changed = known is None or known.get("status") != wanted["status"]
        since = now if changed or known is None else known.get("lastTransitionTime", now)
        conditions.append(
            {
                "type": name,
                "status": wanted["status"],
                "lastTransitionTime": since,
                "reason": wanted["reason"],
                "message": wanted["message"],
            }
        )
    stored = list(before.get("storedVersions") or ())
    stored += [v["name"] for v in spec.get("versions") or () if v.get("storage") and v["name"] not in stored]
    shown = names if not taken else before.get("acceptedNames") or {"plural": "", "kind": ""}
    return {"conditions": [*conditions, *former.values()], "acceptedNames": shown, "storedVersions": stored}


def _conflict(definition: Obj, others: Sequence[Obj]) -> Obj | None:
    """The reason and message of the first name of the definition that another one of its group was given before."""
    spec = definition["spec"]
    names = spec["names"]
    used: set[str] = set()
    used_kinds: set[str] = set()
    for other in others:
        if other["spec"]["group"] != spec["group"] or other["metadata"].get("name") == definition["metadata"].get("name"):
            continue
        accepted = (other.get("status") or {}).get("acceptedNames") or {}
        used |= {accepted.get("plural", ""), accepted.get("singular", ""), *(accepted.get("shortNames") or ())}
        used_kinds |= {accepted.get("kind", ""), accepted.get("listKind", "")}
    wanted = (
        ("PluralConflict", "plural", [names["plural"]]),
        ("SingularConflict", "singular", [names.get("singular", "")]),
        ("ShortNamesConflict", "shortNames", names.get("shortNames") or []),
    )
    for reason, _, candidates in wanted:
        for name in candidates:
            if name and name in used:
                return {"reason": reason, "message": f'"{name}" is already in use'}
    for reason, name in (("KindConflict", names["kind"]), ("ListKindConflict", names.get("listKind", ""))):
        if name and name in used_kinds:
            return {"reason": reason, "message": f'"{name}" is already in use'}
    return None


def _key(kind: Kind) -> tuple[str, str, str]:
    return kind.group, kind.version, kind.plural


def _subresources(version: Obj) -> tuple[Subresource, ...]:
    given = version.get("subresources") or {}
    found = []
    if given.get("scale") is not None:
        found.append(SCALE)
    if given.get("status") is not None:
        found.append(STATUS)
    return tuple(found)


# --- schemas as nodes -----------------------------------------------------------------------------------------------------------


def _root(raw: Obj) -> Node:
    """The node of a whole object: the schema's, with the members that every object has."""
    node = node_of(raw)
    properties = dict(node.properties or {})
    properties["apiVersion"] = properties["kind"] = Node("string", code=STRING, go_type="string")
    properties["metadata"] = definition_node(OBJECT_META)
    node.type, node.code, node.properties = "object", STRUCT, properties
    return node


def node_of(raw: Obj) -> Node:
    """The node of a structural schema."""
    kind = raw.get("type", "")
    open_ended = bool(raw.get("x-kubernetes-preserve-unknown-fields"))
    node = Node(
        kind,
        code=_CODES.get(kind, ANY),
        format=raw.get("format", ""),
        required=frozenset(raw.get("required") or ()),
        enum=tuple(raw.get("enum") or ()),
        list_type=raw.get("x-kubernetes-list-type", ""),
        list_map_keys=tuple(raw.get("x-kubernetes-list-map-keys") or ()),
        map_type=raw.get("x-kubernetes-map-type", ""),
        int_or_string=bool(raw.get("x-kubernetes-int-or-string")),
        preserve_unknown=open_ended,
        embedded_resource=bool(raw.get("x-kubernetes-embedded-resource")),
        nullable=bool(raw.get("nullable")),
        default=raw.get("default"),
        raw=raw,
    )
    if kind == "object":
        if raw.get("properties"):
            node.properties = {name: node_of(child) for name, child in raw["properties"].items()}
        additional: Any = raw.get("additionalProperties")
        if isinstance(additional, dict):
            node.additional = node_of(additional)
            node.code = MAP if not node.properties else STRUCT
        elif additional is True:
            node.additional = Node("", code=ANY, preserve_unknown=True, raw={})
        if node.embedded_resource:
            node.properties = {"metadata": definition_node(OBJECT_META), **(node.properties or {})}
            node.properties.setdefault("apiVersion", Node("string", code=STRING))
            node.properties.setdefault("kind", Node("string", code=STRING))
    elif kind == "array" and isinstance(raw.get("items"), dict):
        node.items = node_of(raw["items"])
    return node


_CODES = {"object": STRUCT, "array": LIST, "string": STRING}
