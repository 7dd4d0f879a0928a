"""``serviceaccounts/token``: a TokenRequest is answered with a token."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from halab.cluster.apiserver import names, objects, render
from halab.cluster.apiserver.context import Context
from halab.cluster.apiserver.options import write_options
from halab.cluster.apiserver.request import Request
from halab.cluster.apiserver.tokens import AUDIENCES, YEAR, Bound
from halab.cluster.kube import kinds, status
from halab.cluster.kube.kinds import Kind

Obj = dict[str, Any]
DEFAULT_SECONDS = 3600
SHORTEST = 600
LONGEST = 1 << 32
EXTENDED = (
    3607  # what the pod's own volume asks for: such a token lives a year, so that old clients that never read it again go on
)


async def create(context: Context, request: Request, kind: Kind) -> None:
    form = render.negotiate(request)
    options = write_options(request, "CreateOptions")
    await request.read_body()
    asked = objects.decode(request, kinds.TOKEN_REQUESTS, context.node(kinds.TOKEN_REQUESTS), options)
    context.store.sync()
    entry = context.store.get(kind.storage, request.namespace, request.name)
    if entry is None:
        raise status.not_found(kind, request.name)
    account = entry.obj()
    meta = asked["metadata"]
    if meta.get("name") and meta["name"] != request.name:
        fault = status.invalid_value("metadata.name", meta["name"], "must match the service account name if specified")
        raise status.invalid(kinds.TOKEN_REQUESTS, request.name, [fault])
    meta |= {"name": request.name, "namespace": request.namespace, "creationTimestamp": names.now()}
    spec = asked.get("spec") or {}
    seconds = spec.get("expirationSeconds")
    seconds = DEFAULT_SECONDS if seconds is None else seconds
    _check_seconds(seconds)
    bound = _bound(context, request, spec.get("boundObjectRef"))
    audiences = spec.get("audiences") or list(AUDIENCES)
    warn_after = 0
    good_for = seconds
    if seconds == EXTENDED and bound.kind == "Pod" and list(audiences) == list(AUDIENCES):
        good_for, warn_after = YEAR, seconds
    token = context.authenticator.tokens.issue(account, good_for, audiences, bound, warn_after)
    expires = datetime.now(UTC) + timedelta(seconds=seconds)
    asked["spec"] = {"audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": spec.get("boundObjectRef")}
    asked["status"] = {"token": token, "expirationTimestamp": expires.strftime("%Y-%m-%dT%H:%M:%SZ")}
    body = render.plain(kinds.TOKEN_REQUESTS, render.untyped(asked))
    await request.answer(201, *render.finish(body, form))


def _check_seconds(seconds: int) -> None:
    text = ""
    if seconds < SHORTEST:
        text = "may not specify a duration less than 10 minutes"
    elif seconds > LONGEST:
        text = "may not specify a duration larger than 2^32 seconds"
    if text:
        raise status.invalid(kinds.TOKEN_REQUESTS, "", [status.invalid_value("spec.expirationSeconds", seconds, text)])


def _bound(context: Context, request: Request, reference: Obj | None) -> Bound:
    if not reference:
        return Bound()
    kinds_by_name = {"Pod": kinds.PODS, "Secret": kinds.SECRETS, "Node": kinds.NODES}
    kind = kinds_by_name.get(reference.get("kind") or "")
    if kind is None or reference.get("apiVersion") not in ("v1", "", None):
        what = f"{reference.get('apiVersion', '')}, Kind={reference.get('kind', '')}"
        raise status.bad_request(f"cannot bind token to object of type {what}")
    name = reference.get("name") or ""
    entry = context.store.get(kind.storage, request.namespace if kind.namespaced else "", name)
    if entry is None:
        raise status.not_found(kind, name)
    obj = entry.obj()
    if reference.get("uid") and reference["uid"] != obj["metadata"]["uid"]:
        detail = (
            f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record. "
            "The object might have been deleted and then recreated"
        )
        raise status.conflict(kind, name, detail)
    node = None
    if kind is kinds.PODS:
        if obj["spec"].get("serviceAccountName") != request.name:
            raise status.bad_request(
                f'cannot bind token for serviceaccount "{request.name}" to pod running with different serviceaccount name.'
            )
        node_name = obj["spec"].get("nodeName")
        if node_name and (node_entry := context.store.get(kinds.NODES.storage, "", node_name)):
            node = (node_name, node_entry.obj()["metadata"]["uid"])
    return Bound(kind.kind, name, obj["metadata"]["uid"], node)
