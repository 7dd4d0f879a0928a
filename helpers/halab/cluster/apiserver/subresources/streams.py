"""``log``, ``exec``, ``attach``, ``portforward``: carried on to the agent of the pod's node (kubelet's own paths)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, urlencode

from halab.cluster.apiserver import forward
from halab.cluster.apiserver.context import Context
from halab.cluster.apiserver.forward import Target
from halab.cluster.apiserver.nodes import node_target
from halab.cluster.apiserver.request import Request
from halab.cluster.kube import gotext, kinds, status
from halab.cluster.kube.kinds import Kind
from halab.cluster.kube.status import FieldError

Obj = dict[str, Any]
LOG_OPTIONS = Kind("", "v1", "PodLogOptions", "podlogoptions", "", True)
LOG_STREAMS = ("All", "Stdout", "Stderr")


def find_pod(context: Context, request: Request) -> Obj:
    context.store.sync()
    entry = context.store.get(kinds.PODS.storage, request.namespace, request.name)
    if entry is None:
        raise status.not_found(kinds.PODS, request.name)
    return entry.obj()


def container_of(pod: Obj, wanted: str) -> str:
    """The container that is meant. Raises a 400 that lists them."""
    spec, name = pod["spec"], pod["metadata"]["name"]
    names = [container["name"] for container in spec.get("containers") or ()]
    starting = [container["name"] for container in spec.get("initContainers") or ()]
    ephemeral = [container["name"] for container in spec.get("ephemeralContainers") or ()]
    if wanted:
        if wanted not in (*names, *starting, *ephemeral):
            raise status.bad_request(f"container {wanted} is not valid for pod {name}")
        return wanted
    if len(names) == 1:
        return str(names[0])
    message = f"a container name must be specified for pod {name}, choose one of: [{' '.join(names)}]"
    if starting:
        message += f" or one of the init containers: [{' '.join(starting)}]"
    raise status.bad_request(message)


def _path(*parts: str, query: Iterable[tuple[str, str]] = ()) -> str:
    path = "/" + "/".join(quote(part, safe="") for part in parts)
    pairs = list(query)
    return f"{path}?{urlencode(pairs)}" if pairs else path


# --- log ---------------------------------------------------------------------------------------------------------------------------


async def log(context: Context, request: Request, kind: Kind) -> None:
    pod = find_pod(context, request)
    query = _log_query(request, pod)
    container = container_of(pod, request.param("container"))
    node = pod["spec"].get("nodeName")
    if not node:
        await request.answer(204, b"", b"")
        return
    target = node_target(context.store, context.config, node)
    answer = await forward.stream(target, "GET", _path("containerLogs", request.namespace, request.name, container, query=query))
    if answer.status >= 400:
        text = (await answer.read()).decode("utf-8", "replace").strip()
        raise _backend_error(answer.status, text)
    await forward.copy_answer(request, answer)


def _backend_error(code: int, text: str) -> status.ApiError:
    if code == 400:
        return status.bad_request(text)
    if code == 404:
        return status.ApiError(404, text or "the server could not find the requested resource", "NotFound")
    return status.internal(text or f"an error on the server answered {code}")


_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")


def _log_query(request: Request, pod: Obj) -> list[tuple[str, str]]:
    """The options for the agent. Raises a 422 for ones that make no sense."""
    errors: list[FieldError] = []
    moment = request.param("sinceTime")
    if moment and not _TIME.fullmatch(moment):
        layout = "2006-01-02T15:04:05Z07:00"
        raise status.bad_request(
            f'parsing time {gotext.quote(moment)} as "{layout}": cannot parse {gotext.quote(moment)} as "2006"'
        )
    tail, limit, since = request.integer("tailLines"), request.integer("limitBytes"), request.integer("sinceSeconds")
    if tail is not None and tail < 0:
        errors.append(status.invalid_value("tailLines", tail, "must be greater than or equal to 0"))
    if limit is not None and limit < 1:
        errors.append(status.invalid_value("limitBytes", limit, "must be greater than 0"))
    if since is not None and request.param("sinceTime"):
        errors.append(status.forbidden_field("", "at most one of `sinceTime` or `sinceSeconds` may be specified"))
    elif since is not None and since < 1:
        errors.append(status.invalid_value("sinceSeconds", since, "must be greater than 0"))
    wanted = request.param("stream")
    if wanted and wanted not in LOG_STREAMS:
        errors.append(status.not_supported("stream", wanted, list(LOG_STREAMS)))
    if tail is not None and wanted in ("Stdout", "Stderr"):
        errors.append(status.forbidden_field("", "`tailLines` and specific `stream` are mutually exclusive for now"))
    if errors:
        raise status.invalid(LOG_OPTIONS, "", errors)
    flags = [(name, "true") for name in ("follow", "previous", "timestamps") if request.flag(name)]
    values = [(name, request.param(name)) for name in ("tailLines", "limitBytes", "sinceSeconds", "sinceTime", "stream")]
    return flags + [(name, value) for name, value in values if value]


# --- exec, attach, portforward -------------------------------------------------------------------------------------------------------

STREAM_FLAGS = (("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty"))


async def execute(context: Context, request: Request, kind: Kind) -> None:
    """``exec`` and ``attach``."""
    pod = find_pod(context, request)
    commands = request.params.get("command") or []
    if request.subresource == "exec" and not commands:
        options = Kind("", "v1", "PodExecOptions", "podexecoptions", "", True)
        raise status.invalid(options, "", [status.required("command", "")])
    if not any(request.flag(name) for name, _ in STREAM_FLAGS[:3]):
        raise status.bad_request("you must specify at least 1 of stdin, stdout, stderr")
    container = container_of(pod, request.param("container"))
    target = _target_of_pod(context, pod)
    query = [(theirs, "1") for ours, theirs in STREAM_FLAGS if request.flag(ours)]
    query += [("command", command) for command in commands]
    await forward.tunnel(request, target, _path(request.subresource, request.namespace, request.name, container, query=query))


async def port_forward(context: Context, request: Request, kind: Kind) -> None:
    pod = find_pod(context, request)
    target = _target_of_pod(context, pod)
    query = [("port", port) for port in request.params.get("ports") or []]
    await forward.tunnel(request, target, _path("portForward", request.namespace, request.name, query=query))


def _target_of_pod(context: Context, pod: Obj) -> Target:
    node = pod["spec"].get("nodeName")
    if not node:
        raise status.bad_request(f"pod {pod['metadata']['name']} does not have a host assigned")
    return node_target(context.store, context.config, node)
