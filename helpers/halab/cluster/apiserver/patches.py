"""The four kinds of PATCH bodies, applied to a live object and read back through the decoder."""

from __future__ import annotations

from typing import Any

import orjson

from halab.cluster.apiserver import names
from halab.cluster.apiserver.context import Context
from halab.cluster.apiserver.options import WriteOptions
from halab.cluster.apiserver.request import Request
from halab.cluster.kube import decode as decoding
from halab.cluster.kube import exact, status
from halab.cluster.kube.apply import server_side_apply
from halab.cluster.kube.gotext import to_json
from halab.cluster.kube.kinds import Kind
from halab.cluster.kube.normalise import Odd, normalise
from halab.cluster.kube.parse import Malformed, parse_json, parse_yaml
from halab.cluster.kube.patch import json_patch, merge_patch
from halab.cluster.kube.restore import misfit
from halab.cluster.kube.schema import Node
from halab.cluster.kube.status import ApiError
from halab.cluster.kube.strategic import go_text, strategic_merge

Obj = dict[str, Any]
JSON = "application/json-patch+json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"


def content_type(request: Request, kind: Kind) -> str:
    """The kind of patch. Raises 415."""
    given = request.header(b"content-type").partition(";")[0].strip().lower()
    if given not in (JSON, MERGE, STRATEGIC, APPLY) or (given == STRATEGIC and kind.custom):
        raise status.unsupported_patch_type()
    return given


def parse(request: Request, kind_of_patch: str, options: WriteOptions) -> Any:
    """The patch as a value. Raises a 400."""
    if kind_of_patch == APPLY:
        return _parse_apply(request, options)
    try:
        return orjson.loads(request.body)
    except orjson.JSONDecodeError:
        pass
    try:
        return parse_json(request.body).value
    except Malformed as error:
        raise status.bad_request(str(error) if kind_of_patch == STRATEGIC else f"error decoding patch: {error}") from None


def _parse_apply(request: Request, options: WriteOptions) -> Any:
    try:
        document = parse_yaml(request.body)
    except Malformed as error:
        raise status.bad_request(f"error decoding YAML: {error}") from None
    if not isinstance(document.value, dict):
        raise status.bad_request("error decoding YAML: the configuration is not an object")
    return document.value


def _invalid_patch(shown: str, message: str) -> ApiError:
    """A patch whose outcome is no object of the kind is 422, and names no object."""
    fault = status.invalid_value("patch", shown, message)
    text = f' "" is invalid: {fault}'
    return ApiError(422, text, "Invalid", {"causes": [fault.cause()]})


def apply_patch(
    context: Context, request: Request, kind: Kind, node: Node, live: Obj, kind_of_patch: str, body: Any, options: WriteOptions
) -> Obj:
    """The patched object, read through the decoder (without defaults). ``live`` is not changed."""
    match kind_of_patch:
        case "application/json-patch+json":
            patched = json_patch(live, body)
        case "application/merge-patch+json":
            patched = merge_patch(live, body)
        case "application/strategic-merge-patch+json":
            patched = strategic_merge(live, body, node)
            # Read into the type at hand, whatever the patch calls it; the other patches' outcome is decoded anew.
            patched = {
                **patched,
                **{name: live[name] for name in ("apiVersion", "kind") if isinstance(patched.get(name), str | None)},
            }
        case _:
            applied = _applied(kind, node, live, body, options, request.subresource)
            _check_applied(request, options)
            return applied
    twice = _repeated(request.body, body, kind_of_patch, options)
    if not isinstance(patched, dict):
        raise _invalid_patch(to_json(patched), "json: cannot unmarshal into Go value of type map[string]interface {}")
    # The decoder changes its argument, and patches share what they do not touch with the live object.
    text = orjson.dumps(patched)
    new = None if twice else _read_fast(kind, node, orjson.loads(text))
    if new is not None:
        return _with_metadata(new)
    try:
        new, warnings = decoding.decode_object(orjson.loads(text), kind, node, options.field_validation)
        if twice and options.field_validation == "Strict":
            raise decoding.StrictError("", [])
        warnings = twice + warnings
    except ApiError as error:
        strategic = kind_of_patch == STRATEGIC
        message = (strategic and misfit(node, patched)) or error.message
        if isinstance(error, decoding.StrictError):
            message = f"strict decoding error: {', '.join(twice + (sorted(error.faults) if strategic else error.faults))}"
        raise _invalid_patch(go_text(body) if strategic else to_json(patched), message) from None
    request.warnings += [warning for warning in warnings if warning not in request.warnings]
    return _with_metadata(new)


def _repeated(raw: bytes, value: Any, kind_of_patch: str, options: WriteOptions) -> list[str]:
    """Keys that the patch has twice, named as Kubernetes does; found by counting, so that a patch without any costs next to nothing."""
    if options.field_validation == "Ignore" or _keys(value) >= raw.count(b'":'):
        return []
    prefix = "json patch " if kind_of_patch == JSON else ""
    return [f"{prefix}{fault}" for fault in exact.repeated(parse_json(raw))]


def _keys(value: Any) -> int:
    if isinstance(value, dict):
        return len(value) + sum(map(_keys, value.values()))
    return sum(map(_keys, value)) if isinstance(value, list) else 0


def _check_applied(request: Request, options: WriteOptions) -> None:
    """Strict validation of an apply comes after the apply itself, and looks for repeated keys alone."""
    if options.field_validation == "Strict" and (faults := parse_yaml(request.body).faults):
        raise status.bad_request(f"error strict decoding YAML: error converting YAML to JSON: {faults[0]}")


def _read_fast(kind: Kind, node: Node, obj: Obj) -> Obj | None:
    """The object, if nothing about it is odd (no unknown field, no wrong type); else None, and the slow way says what it is."""
    if kind.custom or obj.get("kind") != kind.kind or obj.get("apiVersion") != kind.api_version:
        return None
    try:
        normalise(node, obj)
    except Odd:
        return None
    return obj


def _with_metadata(obj: Obj) -> Obj:
    if not isinstance(obj.get("metadata"), dict):
        obj["metadata"] = {}
    return obj


def _applied(kind: Kind, node: Node, live: Obj | None, body: Any, options: WriteOptions, subresource: str) -> Obj:
    result = server_side_apply(
        live,
        body,
        node,
        options.manager,
        kind=kind.kind,
        api_version=kind.api_version,
        force=options.force,
        subresource=subresource,
        now=names.now(),
        has_status=kind.has_status,
    )
    managers = result.get("metadata", {}).get("managedFields")
    copy = orjson.loads(orjson.dumps(result))
    new, _ = decoding.decode_object(copy, kind, node, "Ignore")
    _with_metadata(new)
    if managers:
        new["metadata"]["managedFields"] = managers
    return new


def apply_new(context: Context, request: Request, kind: Kind, node: Node, body: Any, options: WriteOptions) -> Obj:
    """The object that an apply creates."""
    new = _applied(kind, node, None, body, options, request.subresource)
    _check_applied(request, options)
    return new


__all__ = ["APPLY", "apply_new", "apply_patch", "content_type", "parse"]
