"""From the bytes of a body to an object that may be stored: the order in which Kubernetes applies its rules.

The rules themselves are pure functions in ``halab.cluster.kube``. Objects are in the version of the request here; ``convert`` turns
them into what is stored and back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from halab.cluster.apiserver.admission import chain
from halab.cluster.apiserver.admission.attributes import Attributes
from halab.cluster.apiserver.names import generated_name, new_uid, now
from halab.cluster.apiserver.options import WriteOptions
from halab.cluster.apiserver.request import Request
from halab.cluster.kube import decode as decoding
from halab.cluster.kube import managed_fields, protobuf, status, strategy, validation
from halab.cluster.kube.kinds import Kind
from halab.cluster.kube.schema import Node

Obj = dict[str, Any]


def decode(request: Request, kind: Kind, node: Node, options: WriteOptions) -> Obj:
    """The object in the request's body, with defaults. Warnings go to the request. Raises 400 and 415."""
    obj, warnings = read(request.body, request.header(b"content-type"), kind, node, options.field_validation)
    request.warnings += [warning for warning in warnings if warning not in request.warnings]
    if not isinstance(obj.get("metadata"), dict):
        obj["metadata"] = {}
    return obj


def read(body: bytes, content_type: str, kind: Kind, node: Node, field_validation: str = "Warn") -> tuple[Obj, list[str]]:
    """Decode JSON, YAML or protobuf: (object, warnings). Raises 400 and 415."""
    if content_type.partition(";")[0].strip() != protobuf.CONTENT_TYPE:
        return decoding.decode(body, content_type, kind, node, field_validation)
    try:
        obj = protobuf.decode(body, kind.definition)
    except KeyError:
        raise status.unsupported_media_type() from None
    except protobuf.Malformed as error:
        raise status.bad_request(f"the object provided is unrecognized (must be of type {kind.kind}): {error}") from None
    return decoding.decode_object(obj, kind, node, "Ignore")


def check_namespace(kind: Kind, obj: Obj, namespace: str) -> None:
    """The object's namespace is that of the path, or left out. Raises a 400."""
    meta = obj["metadata"]
    if not kind.namespaced:
        if meta.get("namespace"):
            raise (
                status.bad_request("namespace may not be set on cluster-scoped resources")
                if kind.custom
                else status.bad_request("the namespace of the provided object does not match the namespace sent on the request")
            )
        return
    given = meta.get("namespace")
    if given and given != namespace:
        raise status.bad_request("the namespace of the provided object does not match the namespace sent on the request")
    meta["namespace"] = namespace


def begin_metadata(obj: Obj) -> None:
    """What the server alone decides of a new object's metadata: uid, times, a generated name."""
    meta = obj["metadata"]
    if not meta.get("name") and meta.get("generateName"):
        meta["name"] = generated_name(meta["generateName"])
    meta["uid"] = new_uid()
    meta["creationTimestamp"] = now()
    for name in ("selfLink", "deletionTimestamp", "deletionGracePeriodSeconds"):
        meta.pop(name, None)


def track(kind: Kind, node: Node, old: Obj | None, new: Obj, manager: str, subresource: str = "") -> None:
    """Write down in ``new`` who owns which field."""
    managers = managed_fields.track(
        old,
        new,
        node,
        manager,
        api_version=kind.api_version,
        subresource=subresource,
        now=now(),
        has_status=kind.has_status,
    )
    if managers:
        new["metadata"]["managedFields"] = managers
    else:
        new["metadata"].pop("managedFields", None)


def finish_create(kind: Kind, attributes: Attributes, allocate: Callable[[], None] | None = None) -> None:
    """From a decoded, defaulted, tracked object to what is stored; ``allocate`` runs before validation. Raises ApiError."""
    obj = attributes.obj
    chain.mutate(attributes)
    begin_metadata(obj)
    strategy.prepare_create(kind, obj)
    if allocate is not None:
        allocate()
    errors = validation.validate_create(kind, obj)
    if errors:
        raise status.invalid(kind, obj["metadata"].get("name", ""), errors)
    attributes.name = obj["metadata"]["name"]
    chain.validate(attributes)


def finish_update(kind: Kind, attributes: Attributes, allocate: Callable[[], None] | None = None) -> None:
    """The same for an update of ``attributes.old``."""
    obj, old = attributes.obj, attributes.old
    assert old is not None
    chain.mutate(attributes)
    subresource = attributes.subresource or None
    strategy.prepare_update(kind, obj, old, subresource)
    if allocate is not None:
        allocate()
    errors = validation.validate_update(kind, obj, old, subresource)
    if errors:
        raise status.invalid(kind, attributes.name, errors)
    chain.validate(attributes)
    managed_fields.keep_times(old, obj)
