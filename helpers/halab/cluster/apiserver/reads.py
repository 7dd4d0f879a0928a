"""get and list: pages, versions, selectors (https://kubernetes.io/docs/reference/using-api/api-concepts/)."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from typing import Any

import orjson

from halab.cluster.apiserver.context import Context
from halab.cluster.apiserver.render import negotiate
from halab.cluster.apiserver.request import Request
from halab.cluster.apiserver.selection import Selection, selection_of
from halab.cluster.kube import status
from halab.cluster.kube.kinds import Kind
from halab.cluster.kube.status import ApiError
from halab.cluster.store.cache import Entry, namespace_name
from halab.cluster.store.store import Compacted

FUTURE_SECONDS = 3.0  # how long a version that is yet to come is waited for

LIST_OPTIONS = Kind("meta.k8s.io", "v1", "ListOptions", "listoptions", "", False)
_BASE64 = re.compile(r"[^A-Za-z0-9_-]")
TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue "
    "parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token "
    "results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and "
    "now may show up in the list."
)


def parse_version(text: str) -> int:
    """A resourceVersion parameter; 0 if empty. Raises a 400."""
    if not text:
        return 0
    if not text.isascii() or not text.isdigit() or len(text) > 20:
        raise status.ApiError(
            400,
            f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax',
            "BadRequest",
        )
    return int(text)


async def wait_for_version(context: Context, version: int) -> None:
    """Wait until the store has reached ``version``; 504 after FUTURE_SECONDS."""
    if version <= context.store.revision:
        return
    deadline = asyncio.get_running_loop().time() + FUTURE_SECONDS
    while context.store.revision < version:
        left = deadline - asyncio.get_running_loop().time()
        if left <= 0:
            message = f"Timeout: Too large resource version: {version}, current: {context.store.revision}"
            details = {
                "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
                "retryAfterSeconds": 1,
            }
            raise ApiError(504, message, "Timeout", details, {"Retry-After": "1"})
        await asyncio.sleep(min(left, 0.1))


async def get(context: Context, request: Request, kind: Kind) -> None:
    form = negotiate(request)
    await wait_for_version(context, parse_version(request.param("resourceVersion")))
    context.store.sync()
    entry = context.store.get(kind.storage, request.namespace if kind.namespaced else "", request.name)
    if entry is None:
        raise status.not_found(kind, request.name)
    renderer = context.renderer(kind, form)
    await request.answer(200, *renderer.finish(renderer.one(renderer.value(entry))))


def check_list_options(request: Request) -> None:
    match, version = request.param("resourceVersionMatch"), request.param("resourceVersion")
    path, errors = "resourceVersionMatch", []
    if match:
        if not version:
            errors.append(status.forbidden_field(path, "resourceVersionMatch is forbidden unless resourceVersion is provided"))
        if request.param("continue"):
            errors.append(status.forbidden_field(path, "resourceVersionMatch is forbidden when continue is provided"))
        if match not in ("Exact", "NotOlderThan"):
            errors.append(status.not_supported(path, match, ["Exact", "NotOlderThan", ""]))
        if match == "Exact" and version == "0":
            errors.append(status.forbidden_field(path, 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'))
    if request.param("sendInitialEvents"):
        errors.append(status.forbidden_field("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    if errors:
        raise status.invalid(LIST_OPTIONS, "", errors)


def encode_continue(revision: int, start: str) -> str:
    token = orjson.dumps({"v": "meta.k8s.io/v1", "rv": revision, "start": start})
    return base64.urlsafe_b64encode(token).decode().rstrip("=")


def decode_continue(text: str) -> tuple[int, str]:
    """(revision, or -1 for "now"; the key to start at). Raises a 400."""
    if illegal := _BASE64.search(text):
        raise _bad_token(f": illegal base64 data at input byte {illegal.start()}")
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        raise _bad_token(f": illegal base64 data at input byte {len(text) - 1}") from None
    try:
        token: Any = orjson.loads(raw)
    except ValueError:
        raise _bad_token(f": invalid character '{raw[:1].decode(errors='replace')}' looking for beginning of value") from None
    if not isinstance(token, dict) or not isinstance(token.get("rv", 0), int) or not isinstance(token.get("start", ""), str):
        raise _bad_token(": json: cannot unmarshal into Go value of type storage.continueToken")
    if token.get("v") != "meta.k8s.io/v1":
        raise _bad_token(f": server does not recognize this encoded version {token.get('v', '')}")
    if not token.get("rv"):
        raise _bad_token(": incorrect encoded start resourceVersion (version meta.k8s.io/v1)")
    if not token.get("start"):
        raise _bad_token(": encoded start key empty (version meta.k8s.io/v1)")
    return token["rv"], token["start"]


def _bad_token(detail: str) -> ApiError:
    return status.bad_request(f"invalid continue token: continue key is not valid{detail}")


async def list_objects(context: Context, request: Request, kind: Kind) -> None:
    form = negotiate(request)
    check_list_options(request)
    selection = selection_of(request, kind)
    if not kind.namespaced:
        selection.namespace = ""
    request.integer("timeoutSeconds")  # a list never lasts that long, but what is no number is refused
    limit = request.integer("limit") or 0
    version = parse_version(request.param("resourceVersion"))
    exact = request.param("resourceVersionMatch") == "Exact"
    start = ""
    if token := request.param("continue"):
        if version:
            raise status.bad_request("specifying resource version is not allowed when using continue")
        version, start = decode_continue(token)
        exact = version > 0
        version = max(version, 0)
    elif limit > 0 and version > 0 and not request.param("resourceVersionMatch"):
        exact = True  # the legacy meaning of limit with a version
    await wait_for_version(context, version)
    context.store.sync()
    revision = version if exact else context.store.revision
    try:
        entries = context.store.at(kind.storage, selection.namespace, version) if exact else current(context, kind, selection)
    except Compacted:
        raise too_old(start) from None
    body = page(context, request, kind, selection, entries, start, limit, revision, form_key=form)
    await request.answer(200, *body)


def current(context: Context, kind: Kind, selection: Selection) -> list[Entry]:
    collection = context.store.collection(kind.storage)
    if selection.name is not None and (selection.namespace or not kind.namespaced):
        entry = collection.get(selection.namespace, selection.name)
        return [entry] if entry else []
    return collection.select(selection.namespace)


def too_old(start: str) -> ApiError:
    if not start:
        return status.expired("The resourceVersion for the provided list is too old.")
    error = status.expired(TOO_OLD)
    metadata = {"continue": encode_continue(-1, start)}
    whole = error.status() | {"metadata": metadata}
    error.status = lambda: whole  # type: ignore[method-assign]
    return error


def page(
    context: Context,
    request: Request,
    kind: Kind,
    selection: Selection,
    entries: list[Entry],
    start: str,
    limit: int,
    revision: int,
    form_key: Any,
) -> tuple[bytes, bytes]:
    """(body, content type) of one page. Keys are compared in the listed namespace."""

    def key(entry: Entry) -> str:
        return entry.name if selection.namespace else namespace_name(entry.namespace, entry.name)

    if start:
        entries = [entry for entry in entries if key(entry) >= start]
    chosen = selection.filter(entries)
    meta: dict[str, Any] = {"resourceVersion": str(revision)}
    if 0 < limit < len(chosen):
        meta["continue"] = encode_continue(revision, key(chosen[limit - 1]) + "\0")
        if selection.all:
            meta["remainingItemCount"] = len(chosen) - limit
        chosen = chosen[:limit]
    renderer = context.renderer(kind, form_key)
    return renderer.finish(renderer.many(chosen, meta))
