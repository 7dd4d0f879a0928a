"""The kubelet's own HTTPS server: logs, exec, attach, port-forward, statistics. Only the API server and the administrator may ask.

Paths and texts are kubelet's: ``/containerLogs/NS/POD/CONTAINER``, ``/exec/...``, ``/attach/...``, ``/portForward/NS/POD``, ``/stats/summary``,
``/pods``, ``/healthz``; ``/logs/``, ``/metrics`` and others that only tell something are in ``about``.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from halab.aio.http import Receive, Scope, Send
from halab.cluster.client import Client, seconds_of
from halab.cluster.kube.status import ApiError
from halab.cluster.kube.types import Obj
from halab.cluster.node import logs
from halab.cluster.node.records import Record, specs_of
from halab.cluster.node.status import pod_status

from . import ailments, forward_channels
from .about import about
from .access import Access, Denied
from .commands import attach, execute
from .forward import TUNNEL, Forwarder, Ports
from .forward_channels import ChannelForwarder
from .remote import failure, open_session

if TYPE_CHECKING:
    from halab.cluster.node.agent import Agent
    from halab.cluster.node.worker import PodWorker

Query = dict[str, list[str]]


class Refused(Exception):
    """An answer other than success: its HTTP status and plain text."""

    def __init__(self, status: int, message: str) -> None:
        self.status, self.message = status, message
        super().__init__(message)


def _flag(query: Query, *names: str) -> bool:
    return any(query.get(name, ["0"])[-1] in ("1", "true") for name in names)


def log_options(query: Query, now: float) -> logs.LogOptions:
    """Raises Refused for values that make no sense."""

    def number(name: str) -> int | None:
        text = query.get(name, [""])[-1]
        if not text:
            return None
        if not text.lstrip("-").isdecimal():
            raise Refused(400, f"Invalid {name} value")
        return int(text)

    since = 0.0
    if (seconds := number("sinceSeconds")) is not None:
        since = now - seconds
    elif text := query.get("sinceTime", [""])[-1]:
        since = seconds_of(text)
    return logs.LogOptions(
        follow=_flag(query, "follow"),
        timestamps=_flag(query, "timestamps"),
        since=since,
        tail=number("tailLines"),
        limit=number("limitBytes"),
        stream=query.get("stream", ["All"])[-1] or "All",
    )


def upgrade_refused(message: str) -> Obj:
    """What a WebSocket client is told, on its error channel, whose exec or attach cannot begin."""
    return failure(f"Internal error occurred: unable to upgrade connection: {message}")


class Server:
    def __init__(self, agent: Agent, client: Client | None = None) -> None:
        """``client``: to the API server that judges who may ask, where that is not the agent's own."""
        self.agent = agent
        tokens = agent.node.config.tokens
        own = [token for user in ("system:apiserver", "admin") if (token := tokens.get(user))]
        self.access = Access(agent.node.name, own, client)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: dict[str, str] = {}
        for raw_name, raw_value in scope["headers"]:  # one that comes again (kubectl names each protocol so) is one list
            name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        try:
            if scope["path"].startswith("/halab/"):
                await self._ailments(scope, receive, send, headers)
            else:
                await self._route(scope, send, headers)
        except Refused as refused:
            take_over = scope["extensions"].get("halab.upgrade")
            opened = scope["path"].startswith(("/exec/", "/attach/")) and headers.get("upgrade", "").lower() == "websocket"
            if take_over is not None and opened and refused.status != 401:
                # Behind a real API server, which speaks SPDY to the kubelet, the WebSocket is open by the time the kubelet refuses.
                session = await open_session(await take_over(), headers, set())
                await session.finish(upgrade_refused(refused.message))
                return
            await _answer(send, refused.status, refused.message.encode(), "text/plain; charset=utf-8")

    async def _authorize(self, scope: Scope, headers: dict[str, str]) -> None:
        try:
            await self.access.check(scope, headers.get("authorization", ""))
        except Denied as denied:
            raise Refused(denied.status, denied.message) from None
        except (ApiError, OSError) as error:  # who judges cannot be asked
            raise Refused(500, f"Authentication or authorization error ({error})") from None

    async def _ailments(self, scope: Scope, receive: Receive, send: Send, headers: dict[str, str]) -> None:
        await self._authorize(scope, headers)
        try:
            answer = await ailments.handle(self.agent, scope["path"].strip("/").split("/"), await ailments.body_of(receive))
        except ailments.Impossible as error:
            raise Refused(error.status, str(error)) from error
        except (ValueError, TypeError) as error:
            raise Refused(400, str(error)) from error
        await _answer(send, 200, json.dumps(answer).encode(), "application/json")

    async def _route(self, scope: Scope, send: Send, headers: dict[str, str]) -> None:
        parts = scope["path"].strip("/").split("/")
        query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        if parts == ["healthz"]:
            await _answer(send, 200, b"ok", "text/plain; charset=utf-8")
            return
        if self.agent.node.ailments.cut_off:
            raise Refused(503, "this node is cut off from the API server (halab fault)")
        await self._authorize(scope, headers)
        if (told := await about(self.agent, scope["method"], scope["path"])) is not None:
            await _answer(send, *told)
            return
        match parts:
            case ["containerLogs", namespace, name, container]:
                await self._logs(scope, send, self._worker(namespace, name), container, query)
            case ["exec" | "attach" as verb, namespace, name, *rest] if rest:
                await self._command(scope, headers, verb, self._worker(namespace, name), rest[-1], query)
            case ["portForward", namespace, name, *_]:
                await self._forward(scope, headers, self._worker(namespace, name), query)
            case _:
                raise Refused(404, "404 page not found\n")

    def _worker(self, namespace: str, name: str) -> PodWorker:
        worker = self.agent.find(namespace, name)
        if worker is None:
            raise Refused(404, f'pod "{name}" not found')
        return worker

    # Logs

    async def _logs(self, scope: Scope, send: Send, worker: PodWorker, container: str, query: Query) -> None:
        import time

        options = log_options(query, time.time())
        record = worker.record.containers.get(container)
        if record is None:
            raise Refused(400, f'container "{container}" in pod "{worker.name}" is not available')
        attempt = log_attempt(worker, record, _flag(query, "previous"))
        path = worker.starter.log_path(container, attempt)
        run = record.run
        live = run is not None and run.attempt == attempt and run.handle is not None and run.state == "running"
        head = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}
        if not options.follow:
            await send(head)
            await send({"type": "http.response.body", "body": logs.read(path, options)})
            return
        await send(head)
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        pieces = logs.follow(path, options, run.handle.log if live and run is not None else None)
        gone = asyncio.create_task(scope["extensions"]["halab.answer"].disconnect())
        try:
            await _stream(send, pieces, gone)
        finally:
            gone.cancel()
            await pieces.aclose()  # type: ignore[attr-defined]

    # Commands

    async def _command(
        self, scope: Scope, headers: dict[str, str], verb: str, worker: PodWorker, container: str, query: Query
    ) -> None:
        record = worker.record.containers.get(container)
        if record is None or not record.running or record.run is None:
            pod = f"{worker.name}_{worker.namespace}"
            raise Refused(
                404, f'container not found ("{container}")' if verb == "exec" else f"container {container} not found in pod {pod}"
            )
        take_over = scope["extensions"].get("halab.upgrade")
        if take_over is None:
            raise Refused(
                400, "you must specify at least 1 of stdin, stdout, stderr" if not query else "Upgrade request required"
            )
        stdin = _flag(query, "input", "stdin")
        terminal = _flag(query, "tty")
        wanted = {
            name
            for name, on in (
                ("stdin", stdin),
                ("stdout", _flag(query, "output", "stdout")),
                ("stderr", _flag(query, "error", "stderr") and not terminal),
                ("resize", terminal),
            )
            if on
        }
        session = await open_session(await take_over(), headers, wanted)
        handle = record.run.handle
        if verb == "exec":
            await execute(handle, query.get("command", []), session, stdin=stdin, terminal=terminal)
        else:
            spec = specs_of(worker.pod)[container]
            await attach(
                handle,
                session,
                stdin=stdin and bool(spec.get("stdin")),
                stdin_once=bool(spec.get("stdinOnce")),
                terminal=bool(spec.get("tty")),
            )

    async def _forward(self, scope: Scope, headers: dict[str, str], worker: PodWorker, query: Query) -> None:
        take_over = scope["extensions"].get("halab.upgrade")
        if take_over is None:
            raise Refused(400, "Upgrade request required")
        if not worker.record.sandbox_ready:
            raise Refused(404, f'sandbox of pod "{worker.name}" not found')
        address = worker.record.address
        node = self.agent.node
        dial = node.runtime.dialler(worker.ground.sandbox) if worker.ground.sandbox is not None else None
        ports = Ports(node.inside(address), node.target(address), dial)
        offered = headers.get("sec-websocket-protocol", "")
        if headers.get("upgrade", "").lower() != "websocket" or TUNNEL in offered:
            await Forwarder(await take_over(), headers, ports).run()
            return
        protocol = forward_channels.protocol_of(offered)
        if protocol is None:
            raise Refused(403, "")
        try:
            wanted = forward_channels.ports_of(query.get("port", []))
        except ValueError as error:
            raise Refused(400, str(error)) from None
        connection = await take_over()
        await ChannelForwarder(connection, headers.get("sec-websocket-key", ""), protocol, ports, wanted).run()


def log_attempt(worker: PodWorker, record: Record, previous: bool) -> int:
    """Which run's log is meant. Raises Refused with kubelet's words when there is none."""
    where = f'container "{record.name}" in pod "{worker.name}"'
    run = record.run
    waits = record.waiting is not None and not record.running and run is not None and run.state == "exited"
    if previous:
        # For a container that waits to be started again the run before is the one that ended last.
        last = run if waits else record.last
        if last is None:
            raise Refused(400, f"previous terminated {where} not found")
        return last.attempt
    if run is not None and run.state in ("running", "exited"):
        return run.attempt
    status = pod_status(worker.pod, worker.record, worker.node.address)
    entries = [
        item
        for section in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
        for item in status.get(section) or ()
    ]
    reason = next((item["state"]["waiting"].get("reason", "") for item in entries if item["name"] == record.name), "")
    if reason == "ErrImagePull":
        raise Refused(400, f"{where} is waiting to start: image can't be pulled")
    if reason == "ImagePullBackOff":
        raise Refused(400, f"{where} is waiting to start: trying and failing to pull image")
    raise Refused(400, f"{where} is waiting to start: {reason}" if reason else f"{where} is waiting to start - no logs yet")


async def _stream(send: Send, pieces: AsyncIterator[bytes], gone: asyncio.Task[None]) -> None:
    while True:
        piece = asyncio.ensure_future(anext(pieces, None))
        await asyncio.wait([piece, gone], return_when=asyncio.FIRST_COMPLETED)
        if not piece.done():
            piece.cancel()
            await asyncio.gather(piece, return_exceptions=True)
            return
        if (data := piece.result()) is None:
            await send({"type": "http.response.body", "body": b""})
            return
        await send({"type": "http.response.body", "body": data, "more_body": True})


async def _answer(send: Send, status: int, body: bytes, content_type: str) -> None:
    place, content = (b"location", body) if status == 301 else (b"content-type", content_type.encode())
    body = b"" if status == 301 else body
    headers = [(place, content), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
