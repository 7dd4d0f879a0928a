"""Where the failure catalogue asks for a node's part: ``POST /halab/node`` and ``POST /halab/containers/NAMESPACE/POD/CONTAINER``.

Beside kubelet's own paths and open to the administrator's token alone. Each request is one JSON object whose ``do`` says what to do.
"""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

from halab.aio.http import Receive
from halab.cluster.node import clockfile
from halab.cluster.node.ailments import Ailment
from halab.cluster.node.fill import fill, unfill
from halab.cluster.node.probes import KINDS
from halab.cluster.node.runtime import Container, StartFailed

if TYPE_CHECKING:
    from halab.cluster.node.agent import Agent
    from halab.cluster.node.worker import PodWorker

MAX_BODY = 1 << 16
SIGNALS = ("SIGKILL", "SIGSTOP", "SIGCONT", "SIGTERM")
MAX_PROGRAMS = 64
BRACED_BYTES = 1 << 20  # a container's output while its agent is frozen: about ten thousand lines of a server's log


class Impossible(Exception):
    """Why it cannot be done, and the HTTP status that says so."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


async def body_of(receive: Receive) -> dict[str, Any]:
    data = b""
    while True:
        message = await receive()
        data += message.get("body", b"")
        if len(data) > MAX_BODY or message["type"] == "http.disconnect":
            raise Impossible(413, "the request is too long or was broken off")
        if not message.get("more_body"):
            break
    try:
        found = json.loads(data)
    except ValueError as error:
        raise Impossible(400, f"not JSON: {error}") from error
    if not isinstance(found, dict):
        raise Impossible(400, "not a JSON object")
    return found


async def handle(agent: Agent, parts: list[str], request: dict[str, Any]) -> dict[str, Any]:
    """The answer. Raises Impossible."""
    match parts:
        case ["halab", "node"]:
            return _node(agent, request)
        case ["halab", "containers", namespace, pod, container]:
            worker = agent.find(namespace, pod)
            if worker is None:
                raise Impossible(404, f'pod "{pod}" not found on node {agent.node.name}')
            return await _container(agent, worker, container, request)
    raise Impossible(404, "404 page not found")


def _node(agent: Agent, request: dict[str, Any]) -> dict[str, Any]:
    ailments = agent.node.ailments
    if "cut_off" in request:
        ailments.cut(agent.node.client, bool(request["cut_off"]))
    if "skew" in request:
        ahead = float(request["skew"])
        ailments.skew(ahead)
        clockfile.write(agent.node.directory, ahead)
    if request.get("brace"):
        for worker in agent.workers.values():
            for record in worker.record.containers.values():
                if record.running and record.run is not None and record.run.handle is not None:
                    record.run.handle.widen(BRACED_BYTES)
    return {"cut_off": ailments.cut_off}


async def _container(agent: Agent, worker: PodWorker, name: str, request: dict[str, Any]) -> dict[str, Any]:
    record = worker.record.containers.get(name)
    if record is None:
        known = ", ".join(worker.record.containers)
        raise Impossible(404, f'pod "{worker.name}" has no container "{name}" (it has {known})')
    ailments, key = agent.node.ailments, (worker.uid, name)

    def running() -> Container:
        if not record.running or record.run is None or record.run.handle is None:
            raise Impossible(409, f'container "{name}" of pod "{worker.name}" does not run now')
        found: Container = record.run.handle
        return found

    match request.get("do"):
        case "signal":
            number = signal.Signals.__members__.get(str(request.get("signal")))
            if number is None or number.name not in SIGNALS:
                raise Impossible(400, f"signal must be one of {', '.join(SIGNALS)}")
            running().signal_all(number)
        case "set":
            probes = frozenset(request.get("probes") or ())
            if not probes <= set(KINDS):
                raise Impossible(400, f"probes are {', '.join(KINDS)}")
            ailments.set(key, Ailment(bool(request.get("crash")), probes, float(request.get("slow") or 0)))
            if request.get("wake") and record.running:
                running().signal_all(signal.SIGCONT)
            if request.get("restart") and record.running:
                running().kill()
        case "run":
            count = int(request.get("count") or 1)
            if not 1 <= count <= MAX_PROGRAMS:
                raise Impossible(400, f"count must be 1 to {MAX_PROGRAMS}")
            try:
                await ailments.run(key, running(), [str(part) for part in request.get("argv") or ()], count)
            except StartFailed as error:
                raise Impossible(409, str(error)) from error
        case "end":
            ailments.end_programs(key)
        case "fill" | "unfill" as action:
            path = str(request.get("path") or "")
            work = fill if action == "fill" else unfill
            if obstacle := await work(running().pid, path):
                raise Impossible(409, obstacle)
        case other:
            raise Impossible(400, f"do {other!r} is not known")
    return {"restarts": record.run.attempt if record.run else 0}
