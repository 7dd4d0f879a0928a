"""Request bodies become objects, with the faults, words and tolerances of Kubernetes' decoders.

The common case is one fast parse and one walk (``normalise``). Only when something is off (a field that the schema lacks, a key
that may be there twice, a wrong type) is the body read again, slowly and exactly, to name it as Kubernetes does
(``exact.examine``). ``fieldValidation`` decides what unknown and duplicate fields mean: ``Strict`` refuses, ``Warn`` (the default)
warns, ``Ignore`` drops them silently.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from halab.cluster.kube import exact
from halab.cluster.kube.gotext import quote
from halab.cluster.kube.kinds import Kind, by_api_version, by_gvk, split_api_version
from halab.cluster.kube.normalise import Odd, normalise
from halab.cluster.kube.parse import Document, Malformed, parse_json, parse_yaml
from halab.cluster.kube.schema import OBJECT_META, Node, definition_node
from halab.cluster.kube.status import ApiError, bad_request, unsupported_media_type
from halab.cluster.kube.types import Obj

JSON, YAML = "application/json", "application/yaml"
SCHEME = "k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30"
_SPACED_KEY = re.compile(rb'"[ \t\r\n]+:')


def decode(body: bytes, content_type: str, kind: Kind, node: Node, field_validation: str = "Warn") -> tuple[Obj, list[str]]:
    """The object in ``body``, normalised, and warnings (without the ``299`` part). Raises ApiError (400, 415).

    ``content_type`` is the request's header as it came (empty means JSON). ``apiVersion`` and ``kind`` may be missing in the body: the
    path says them.
    """
    media = content_type.partition(";")[0].strip().lower() or JSON
    if media == JSON:
        obj = _fast(body, kind, node)
        if obj is not None:
            return obj, []
        parsed = parse_json
    elif media == YAML or media in ("text/yaml", "application/x-yaml"):
        parsed = parse_yaml
    else:
        raise unsupported_media_type()
    try:
        document = parsed(body)
    except Malformed as error:
        raise bad_request(_unrecognized(kind, f"couldn't get version/kind; json parse error: {error}", body)) from error
    if not isinstance(document.value, dict):
        what = "array" if isinstance(document.value, list) else exact.json_type(document.value)
        reason = f"couldn't get version/kind; json parse error: json: cannot unmarshal {what} into Go value of type {_TYPE_META}"
        if document.value is not None:
            raise bad_request(_unrecognized(kind, reason, body))
        document.value = {}
    return _examined(document, kind, node, field_validation)


def decode_object(obj: Any, kind: Kind, node: Node, field_validation: str = "Ignore") -> tuple[Obj, list[str]]:
    """Like ``decode`` for an object at hand (the outcome of a patch). ``obj`` is changed in place and may be returned."""
    return _examined(Document(obj), kind, node, field_validation)


class StrictError(ApiError):
    """Strict field validation met unknown or duplicate fields: ``faults`` as ``unknown field "spec.replica"``.

    A create or an update answers with this (400); a patch answers with 422 instead and builds that from ``faults``.
    """

    def __init__(self, message: str, faults: list[str]) -> None:
        super().__init__(400, message, "BadRequest")
        self.faults = faults


_TYPE_META = 'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'


def _fast(body: bytes, kind: Kind, node: Node) -> Obj | None:
    """The object if nothing at all is odd about the body, else None."""
    try:
        obj = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if obj.__class__ is not dict or kind.custom:
        return None
    if obj.get("kind") != kind.kind or obj.get("apiVersion") != kind.api_version:
        return None
    try:
        keys = normalise(node, obj)
    except Odd:
        return None
    # A key that is there twice shows as fewer keys in the object than in the text. In the text a key is a quote and a colon;
    # the quotes inside strings are escaped, so counting is exact unless an escaped backslash or a blank stands before them.
    if keys != body.count(b'":') - body.count(b'\\":') or b'\\\\"' in body or _SPACED_KEY.search(body):
        return None
    return obj


def _examined(document: Document, kind: Kind, node: Node, field_validation: str) -> tuple[Obj, list[str]]:
    obj: Obj = document.value
    _check_type(obj, kind)
    try:
        if kind.custom:
            meta = definition_node(OBJECT_META)
            faults = exact.examine_custom(document, node, meta)
            if isinstance(obj.get("metadata"), dict):
                normalise(meta, obj["metadata"])
        else:
            faults = exact.examine(document, node)
            normalise(node, obj)
    except exact.WrongType as error:
        raise bad_request(_cannot_be_handled(kind, str(error))) from error
    except Odd as error:  # what Go can read but has no one spelling here: a list of numbers as bytes
        raise bad_request(_cannot_be_handled(kind, "json: cannot unmarshal array into Go value of type []uint8")) from error
    warnings: list[str] = []
    if faults:
        if field_validation == "Strict":
            raise StrictError(_cannot_be_handled(kind, f"strict decoding error: {', '.join(faults)}"), faults)
        if field_validation != "Ignore":
            warnings = faults
    return obj, warnings


def _check_type(obj: Obj, kind: Kind) -> None:
    """``apiVersion`` and ``kind`` are those of the path, or left out."""
    api_version, name = obj.get("apiVersion") or "", obj.get("kind") or ""
    if not isinstance(api_version, str) or not isinstance(name, str):
        wrong = "apiVersion" if not isinstance(api_version, str) else "kind"
        value = exact.json_type(obj[wrong])
        message = f"couldn't get version/kind; json parse error: json: cannot unmarshal {value} into Go struct field .{wrong} of type string"
        raise bad_request(f"the object provided is unrecognized (must be of type {kind.kind}): {message}")
    api_version, name = api_version or kind.api_version, name or kind.kind
    if (api_version, name) != (kind.api_version, kind.kind):
        group, version = split_api_version(api_version)
        raise bad_request(_mismatch(kind, group, version, name, api_version))
    obj["apiVersion"], obj["kind"] = api_version, name


_OLD_VERSIONS = frozenset({
    "apps/v1beta1", "apps/v1beta2", "extensions/v1beta1", "batch/v1beta1", "autoscaling/v2beta1", "autoscaling/v2beta2", "policy/v1beta1",
    "networking.k8s.io/v1beta1", "discovery.k8s.io/v1beta1", "rbac.authorization.k8s.io/v1beta1", "rbac.authorization.k8s.io/v1alpha1",
    "events.k8s.io/v1beta1", "storage.k8s.io/v1beta1", "scheduling.k8s.io/v1beta1", "coordination.k8s.io/v1beta1",
})  # fmt: skip
"""Versions that Kubernetes' scheme still knows though nothing serves them."""


def _mismatch(kind: Kind, group: str, version: str, name: str, api_version: str) -> str:
    wrong_version = f"the API version in the data ({api_version}) does not match the expected API version ({kind.api_version})"
    if kind.custom:
        return wrong_version if api_version != kind.api_version else f"the kind in the data ({name}) does not match ({kind.kind})"
    known = by_gvk(group, version, name)
    if known is None and not (api_version in _OLD_VERSIONS and by_api_version(kind.api_version, name)):
        unknown = f'no kind "{name}" is registered for version "{api_version}" in scheme "{SCHEME}"'
        return f"{name} in version {quote(version)} cannot be handled as a {kind.kind}: {unknown}"
    if name == kind.kind:
        return wrong_version
    package = kind.definition.split(".")[-3]
    converting = f"converting ({version}.{name}) to ({package}.{kind.kind}): unknown conversion"
    return f"{name} in version {quote(version)} cannot be handled as a {kind.kind}: {converting}"


def _cannot_be_handled(kind: Kind, reason: str) -> str:
    return f"{kind.kind} in version {quote(kind.version)} cannot be handled as a {kind.kind}: {reason}"


def _unrecognized(kind: Kind, reason: str, body: bytes) -> str:
    if not body:
        summary = "<empty>"
    elif body[:1] == b"{":
        summary = body.decode(errors="replace") if len(body) <= 30 else f"{body[:30].decode(errors='replace')} ..."
    else:
        summary = body.hex() if len(body) <= 30 else f"{body[:30].hex()} ..."
    return f"the object provided is unrecognized (must be of type {kind.kind}): {reason} ({summary})"
