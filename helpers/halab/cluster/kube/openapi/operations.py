"""The operations of each kind, in a form that both versions of OpenAPI are written from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from halab.cluster.kube import kinds as known
from halab.cluster.kube.kinds import Kind, Subresource

META = "io.k8s.apimachinery.pkg.apis.meta.v1."
STATUS, DELETE_OPTIONS, PATCH = META + "Status", META + "DeleteOptions", META + "Patch"
PATCH_TYPES = (
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)
CUSTOM_PATCH_TYPES = PATCH_TYPES[:3]  # custom resources have no merge keys of their own
BODY_TYPES = ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf")


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str
    type: str
    description: str
    place: str = "query"


DRY_RUN = Parameter(
    "dryRun",
    "string",
    "When present, indicates that modifications should not be persisted. An invalid or unrecognized dryRun directive will result in an error response and "
    "no further processing of the request. Valid values are: - All: all dry run stages will be processed",
)
MANAGER = Parameter(
    "fieldManager", "string", "fieldManager is a name associated with the actor or entity that is making these changes."
)
VALIDATION = Parameter(
    "fieldValidation",
    "string",
    "fieldValidation instructs the server on how to handle objects in the request (POST/PUT/PATCH) containing unknown or duplicate fields. Valid values "
    "are: Ignore, Warn (the default), Strict.",
)
FORCE = Parameter(
    "force",
    "boolean",
    'Force is going to "force" Apply requests. It means user will re-acquire conflicting fields owned by other people.',
)
PRETTY = Parameter("pretty", "string", "If 'true', then the output is pretty printed.")
_SELECT = (
    Parameter(
        "fieldSelector", "string", "A selector to restrict the list of returned objects by their fields. Defaults to everything."
    ),
    Parameter(
        "labelSelector", "string", "A selector to restrict the list of returned objects by their labels. Defaults to everything."
    ),
    Parameter("limit", "integer", "limit is a maximum number of responses to return for a list call."),
    Parameter("continue", "string", "The continue option should be set when retrieving more results from the server."),
    Parameter(
        "resourceVersion", "string", "resourceVersion sets a constraint on what resource versions a request may be served from."
    ),
    Parameter("resourceVersionMatch", "string", "resourceVersionMatch determines how resourceVersion is applied to list calls."),
    Parameter("timeoutSeconds", "integer", "Timeout for the list/watch call."),
)
_WATCH = (
    Parameter("allowWatchBookmarks", "boolean", 'allowWatchBookmarks requests watch events with type "BOOKMARK".'),
    Parameter("sendInitialEvents", "boolean", "sendInitialEvents=true may be set together with watch=true."),
    Parameter(
        "watch",
        "boolean",
        "Watch for changes to the described resources and return them as a stream of add, update, and remove notifications.",
    ),
)
_DELETE = (
    Parameter("gracePeriodSeconds", "integer", "The duration in seconds before the object should be deleted."),
    Parameter("orphanDependents", "boolean", "Deprecated: please use the PropagationPolicy."),
    Parameter("propagationPolicy", "string", "Whether and how garbage collection will be performed."),
)


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of a path.

    ``gvk`` is (group, version, kind) of what it speaks; ``body`` and ``answer`` are names of definitions ("" none).
    """

    method: str
    action: str
    id: str
    description: str
    gvk: tuple[str, str, str]
    answer: str
    body: str = ""
    consumes: Sequence[str] = ("*/*",)
    parameters: Sequence[Parameter] = ()
    status: int = 200


@dataclass(frozen=True, slots=True)
class PathItem:
    path: str
    parameters: Sequence[Parameter]
    operations: Sequence[Operation] = field(default_factory=tuple)


def definition_of(kind: Kind) -> str:
    """The name of a kind's definition; custom resources get one from their group: ``com.example.v1.Widget``."""
    if kind.definition:
        return kind.definition
    return ".".join([*reversed(kind.group.split(".")), kind.version, kind.kind])


def list_definition_of(kind: Kind) -> str:
    return definition_of(kind).removesuffix(kind.kind) + kind.list_kind


def paths(kind: Kind) -> Iterator[PathItem]:
    """The paths of a kind and its subresources, with their operations."""
    own = (kind.group, kind.version, kind.kind)
    definition = definition_of(kind)
    namespace = "{namespace}" if kind.namespaced else None
    scope = "Namespaced" if kind.namespaced else ""
    in_namespace = (
        (Parameter("namespace", "string", "object name and auth scope, such as for teams and projects", "path"),)
        if kind.namespaced
        else ()
    )
    named = (Parameter("name", "string", f"name of the {kind.kind}", "path"), *in_namespace)

    collection = [op for op in (_list(kind, scope), _create(kind, own, definition, scope), _delete_all(kind, scope)) if op]
    if collection:
        yield PathItem(kind.path(namespace), (*in_namespace, PRETTY), collection)
    if kind.namespaced and (everywhere := _list(kind, "", "ForAllNamespaces")):
        yield PathItem(kind.path(), (PRETTY,), (everywhere,))
    item = [*_item(kind, kind.verbs, own, definition, kind.kind, scope, bool(kind.definition))]
    if item:
        yield PathItem(kind.path(namespace, "{name}"), (*named, PRETTY), item)
    for sub in kind.subresources:
        found = list(_subresource(kind, sub, scope))
        if found:
            yield PathItem(kind.path(namespace, "{name}", sub.name), (*named, PRETTY), found)


def _id(verb: str, kind: Kind, scope: str, rest: str) -> str:
    group = "".join(part.capitalize() for part in kind.group.removesuffix(".k8s.io").split(".")) if kind.group else "Core"
    return f"{verb}{group}{kind.version.capitalize()}{scope}{rest}"


def _list(kind: Kind, scope: str, suffix: str = "") -> Operation | None:
    if "list" not in kind.verbs:
        return None
    own = (kind.group, kind.version, kind.kind)
    parameters = (*_SELECT, *(_WATCH if "watch" in kind.verbs else ()))
    text = f"list or watch objects of kind {kind.kind}"
    return Operation(
        "get", "list", _id("list", kind, scope, kind.kind + suffix), text, own, list_definition_of(kind), parameters=parameters
    )


def _create(kind: Kind, own: tuple[str, str, str], definition: str, scope: str) -> Operation | None:
    if "create" not in kind.verbs:
        return None
    text = f"create {_article(kind.kind)} {kind.kind}"
    parameters = (DRY_RUN, MANAGER, VALIDATION)
    return Operation(
        "post",
        "post",
        _id("create", kind, scope, kind.kind),
        text,
        own,
        definition,
        definition,
        parameters=parameters,
        status=201,
    )


def _delete_all(kind: Kind, scope: str) -> Operation | None:
    if "deletecollection" not in kind.verbs:
        return None
    own = (kind.group, kind.version, kind.kind)
    text = f"delete collection of {kind.kind}"
    parameters = (*_SELECT, DRY_RUN, *_DELETE)
    return Operation(
        "delete",
        "deletecollection",
        _id("delete", kind, scope, f"Collection{kind.kind}"),
        text,
        own,
        STATUS,
        DELETE_OPTIONS,
        parameters=parameters,
    )


def _item(
    kind: Kind,
    verbs: Sequence[str],
    gvk: tuple[str, str, str],
    definition: str,
    name: str,
    scope: str,
    builtin: bool,
    about: str = "",
) -> Iterator[Operation]:
    written = (DRY_RUN, MANAGER, VALIDATION)
    subject = f"{about} of the specified {kind.kind}" if about else f"the specified {kind.kind}"
    if "get" in verbs:
        yield Operation("get", "get", _id("read", kind, scope, name), f"read {subject}", gvk, definition)
    if "create" in verbs and about:
        text = f"create {about} of {_article(kind.kind)} {kind.kind}"
        yield Operation(
            "post", "post", _id("create", kind, scope, name), text, gvk, definition, definition, parameters=written, status=201
        )
    if "update" in verbs:
        yield Operation(
            "put", "put", _id("replace", kind, scope, name), f"replace {subject}", gvk, definition, definition, parameters=written
        )
    if "delete" in verbs and not about:
        text = f"delete {_article(kind.kind)} {kind.kind}"
        yield Operation(
            "delete",
            "delete",
            _id("delete", kind, scope, name),
            text,
            gvk,
            STATUS,
            DELETE_OPTIONS,
            parameters=(DRY_RUN, *_DELETE),
        )
    if "patch" in verbs:
        types = PATCH_TYPES if builtin else CUSTOM_PATCH_TYPES
        text = f"partially update {subject}"
        yield Operation("patch", "patch", _id("patch", kind, scope, name), text, gvk, definition, PATCH, types, (*written, FORCE))


def _subresource(kind: Kind, sub: Subresource, scope: str) -> Iterator[Operation]:
    """Subresources that speak objects; streams (exec, attach, proxy ...) and logs have no schema and are left out."""
    if sub.kind.endswith("Options") or sub.name == "log":
        return
    spoken = known.by_gvk(sub.group or kind.group, sub.version or kind.version, sub.kind) if sub.kind else kind
    if spoken is None:
        return
    gvk = (spoken.group, spoken.version, spoken.kind)
    about = sub.name if sub.name in ("status", "scale") else sub.name.capitalize()
    name = kind.kind + sub.name.capitalize()
    yield from _item(kind, sub.verbs, gvk, definition_of(spoken), name, scope, bool(kind.definition), about)


def _article(word: str) -> str:
    return "an" if word[0] in "AEIO" else "a"
