"""CreateOptions, UpdateOptions, PatchOptions and DeleteOptions: what a client asks of a write beside the object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from halab.cluster.apiserver.request import Request
from halab.cluster.kube import exact, protobuf, status
from halab.cluster.kube.kinds import Kind
from halab.cluster.kube.normalise import Odd, normalise
from halab.cluster.kube.parse import Document, Malformed, parse_yaml
from halab.cluster.kube.schema import DELETE_OPTIONS, definition_node
from halab.cluster.kube.status import FieldError

Obj = dict[str, Any]
MAX_MANAGER = 128
_SCHEME = "k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme/register.go:27"


def _kind(name: str) -> Kind:
    return Kind("meta.k8s.io", "v1", name, name.lower(), "", False)


@dataclass(slots=True)
class WriteOptions:
    dry_run: bool
    manager: str
    field_validation: str
    force: bool = False


def _manager_of_agent(agent: str) -> str:
    """What stands before the first slash of a User-Agent, printable, at most 128 characters."""
    name = agent.partition("/")[0]
    return "".join(letter for letter in name if letter.isprintable())[:MAX_MANAGER]


def _common_errors(request: Request) -> list[FieldError]:
    errors: list[FieldError] = []
    dry_run = request.params.get("dryRun") or []
    if set(dry_run) - {"All", ""}:
        errors.append(status.not_supported("dryRun", dry_run, ["All"]))
    manager = request.param("fieldManager")
    if len(manager) > MAX_MANAGER:
        errors.append(status.too_long("fieldManager", MAX_MANAGER))
    if not manager.isprintable():
        errors.append(status.invalid_value("fieldManager", manager, "should only contain printable characters"))
    validation = request.param("fieldValidation")
    if validation not in ("", "Ignore", "Warn", "Strict"):
        errors.append(status.not_supported("fieldValidation", validation, ["Ignore", "Strict", "Warn"]))
    return errors


def write_options(request: Request, name: str) -> WriteOptions:
    """``name`` is CreateOptions, UpdateOptions or PatchOptions. Raises a 422."""
    applies = (
        name == "PatchOptions" and request.header(b"content-type").partition(";")[0].strip() == "application/apply-patch+yaml"
    )
    if not request.scope["query_string"] and not applies:
        return WriteOptions(False, _manager_of_agent(request.header(b"user-agent")), "Warn")
    errors = _common_errors(request)
    force = request.flag("force")
    if name == "PatchOptions":
        if applies and not request.param("fieldManager"):
            errors.insert(0, status.required("fieldManager", "is required for apply patch"))
        elif not applies and request.param("force"):
            errors.insert(0, status.forbidden_field("force", "may not be specified for non-apply patch"))
    if errors:
        raise status.invalid(_kind(name), "", errors)
    manager = request.param("fieldManager") or _manager_of_agent(request.header(b"user-agent"))
    return WriteOptions(bool(request.param("dryRun")), manager, request.param("fieldValidation") or "Warn", force)


@dataclass(slots=True)
class DeleteOptions:
    """``propagation`` is Orphan, Background, Foreground or empty (the kind's default)."""

    dry_run: bool = False
    grace: int | None = None
    propagation: str = ""
    orphan: bool | None = None
    uid: str = ""
    resource_version: str = ""


def delete_options(request: Request) -> DeleteOptions:
    """From the body, or from the query where there is no body. Raises 400 or 422."""
    if request.body.strip():
        return from_object(_decoded(request))
    query: Obj = {}
    if request.scope["query_string"]:
        if (grace := request.integer("gracePeriodSeconds")) is not None:
            query["gracePeriodSeconds"] = grace
        if policy := request.param("propagationPolicy"):
            query["propagationPolicy"] = policy
        if request.param("orphanDependents"):
            query["orphanDependents"] = request.flag("orphanDependents")
        if dry_run := request.params.get("dryRun"):
            query["dryRun"] = dry_run
    return from_object(query)


def _decoded(request: Request) -> Obj:
    content_type = request.header(b"content-type")
    if content_type.partition(";")[0].strip() == protobuf.CONTENT_TYPE:
        try:
            return protobuf.decode(request.body, DELETE_OPTIONS)
        except protobuf.Malformed as error:
            raise status.bad_request(str(error)) from None
    body: Obj
    try:
        body = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        try:
            body = parse_yaml(request.body).value
        except Malformed as error:
            raise status.bad_request(f"couldn't get version/kind; json parse error: {error}") from None
    if not isinstance(body, dict):
        raise status.bad_request("couldn't get version/kind; json parse error: the options are not an object")
    _check_type(body)
    try:
        normalise(definition_node(DELETE_OPTIONS), body)
    except Odd:
        body = _examined(body)
    return body


def _check_type(body: Obj) -> None:
    """Options may say any version, as those of older groups do, but no other kind."""
    kind, version = body.get("kind") or "DeleteOptions", body.get("apiVersion") or "v1"
    if isinstance(kind, str) and kind != "DeleteOptions":
        detail = f'no kind "{kind}" is registered for version "{version}" in scheme "{_SCHEME}"'
        raise status.bad_request(detail)


def _examined(body: Obj) -> Obj:
    """Wrong types are refused, unknown fields left out."""
    node = definition_node(DELETE_OPTIONS)
    try:
        exact.examine(Document(body), node)
    except exact.WrongType as error:
        raise status.bad_request(f'DeleteOptions in version "v1" cannot be handled as a DeleteOptions: {error}') from None
    normalise(node, body)
    return body


def from_object(body: Obj) -> DeleteOptions:
    """Raises a 422 for options that contradict each other."""
    errors: list[FieldError] = []
    policy, orphan = body.get("propagationPolicy"), body.get("orphanDependents")
    if policy and orphan is not None:
        errors.append(
            status.invalid_value("propagationPolicy", policy, "orphanDependents and deletionPropagation cannot be both set")
        )
    if policy and policy not in ("Foreground", "Background", "Orphan"):
        errors.append(status.not_supported("propagationPolicy", policy, ["Foreground", "Background", "Orphan", "nil"]))
    dry_run = body.get("dryRun") or []
    if set(dry_run) - {"All"}:
        errors.append(status.not_supported("dryRun", dry_run, ["All"]))
    if errors:
        raise status.invalid(_kind("DeleteOptions"), "", errors)
    conditions = body.get("preconditions") or {}
    grace = body.get("gracePeriodSeconds")
    return DeleteOptions(
        bool(dry_run), grace, policy or "", orphan, conditions.get("uid") or "", conditions.get("resourceVersion") or ""
    )
