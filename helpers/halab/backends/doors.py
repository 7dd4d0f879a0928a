"""Local addresses that lead into a cluster: one listener on 127.0.0.1 for each pod's or Service's port that was asked for.

A Service's door follows its EndpointSlices: connections go to ready pods in turn, and while there is none the listener is closed, so that a
connection is refused as it would be inside the cluster. Doors live as long as the process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from halab.aio.portal import portal
from halab.backends.access import Obj
from halab.backends.calls import Call
from halab.backends.forward import Place, Sessions
from halab.cluster.client import kubeconfig
from halab.cluster.client.client import Client
from halab.cluster.client.informer import Informer
from halab.cluster.kube import kinds

HOST = "127.0.0.1"
BACKLOG = 1024  # connections that wait to be taken: users come at once
SYNC_SECONDS = 15.0


def places(slices: Sequence[Obj], port_name: str, protocol: str = "TCP") -> list[Place]:
    """The pods behind one port of a Service that take new connections (ready; else terminating but serving), by name."""
    ready: set[Place] = set()
    last: set[Place] = set()
    for piece in slices:
        ports = [
            p["port"]
            for p in piece.get("ports") or ()
            if (p.get("name") or "") == port_name and (p.get("protocol") or "TCP") == protocol and p.get("port")
        ]
        for endpoint in piece.get("endpoints") or ():
            target = endpoint.get("targetRef") or {}
            conditions = endpoint.get("conditions") or {}
            if target.get("kind") != "Pod":
                continue
            found = {Place(target["name"], port, target.get("uid", "")) for port in ports}
            if conditions.get("ready") is not False:
                ready |= found
            elif conditions.get("serving") and conditions.get("terminating"):
                last |= found
    return sorted(ready or last)


class Door:
    """Listens at one port of this machine. ``choose`` gives the pods to try, best first; ``gate`` opens and closes the listener."""

    def __init__(self, sessions: Sessions, namespace: str, choose: Callable[[], list[Place]]) -> None:
        self.sessions, self.namespace, self.choose = sessions, namespace, choose
        self.port = 0
        self._server: asyncio.Server | None = None
        self._wanted = False
        self._turning = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def gate(self, wanted: bool) -> None:
        """Listen, or refuse connections. The port stays the same."""
        self._wanted = wanted
        async with self._turning:
            if self._wanted and self._server is None:
                self._server = await asyncio.get_running_loop().create_server(self._call, HOST, self.port, backlog=BACKLOG)
                self.port = self._server.sockets[0].getsockname()[1]
            elif not self._wanted and self._server is not None:
                self._server.close()
                self._server = None

    def _call(self) -> Call:
        return Call(self.sessions, self.namespace, self.choose, self.port)

    def turn(self, wanted: bool) -> None:
        task = asyncio.get_running_loop().create_task(self.gate(wanted))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class Doors:
    """The doors of one cluster, for this process. ``pod`` and ``service`` may be called again: they give the same door."""

    def __init__(self, config: Path) -> None:
        access = kubeconfig.load(config)
        self._sessions = Sessions(access)
        self._client = Client.from_access(access, user_agent="halab-course")
        self._open: dict[tuple[str, str, str, int], Door] = {}
        self._known: dict[tuple[str, str, str, int], Place] = {}
        self._followed: list[Informer] = []

    def sessions(self) -> int:
        """How many there are now."""
        return self._sessions.count()

    def pod(self, pod: Obj, port: int) -> tuple[str, int]:
        return portal.run(self._pod(pod["metadata"], port), SYNC_SECONDS)

    async def _pod(self, meta: Obj, port: int) -> tuple[str, int]:
        namespace, name = meta["namespace"], meta["name"]
        key = ("pod", namespace, name, port)
        self._known[key] = Place(name, port, meta.get("uid", ""))  # the pod that has the name now
        if key not in self._open:
            door = Door(self._sessions, namespace, lambda: [self._known[key]])
            await door.gate(True)
            self._open[key] = door
        return HOST, self._open[key].port

    def service(self, service: Obj, port: Obj) -> tuple[str, int]:
        """``port`` is an entry of the Service's ``spec.ports``."""
        return portal.run(self._service(service, port), SYNC_SECONDS)

    async def _service(self, service: Obj, port: Obj) -> tuple[str, int]:
        meta = service["metadata"]
        key = ("service", meta["namespace"], meta["name"], int(port["port"]))
        if key in self._open:
            return HOST, self._open[key].port
        slices = Informer(
            self._client,
            kinds.ENDPOINT_SLICES,
            meta["namespace"],
            label_selector=f"kubernetes.io/service-name={meta['name']}",
        )
        sticky = service["spec"].get("sessionAffinity") == "ClientIP"
        turn = 0

        def now() -> list[Place]:
            return places(list(slices.cache.values()), port.get("name") or "", port.get("protocol") or "TCP")

        def choose() -> list[Place]:
            nonlocal turn
            found = now()
            turn += 0 if sticky else 1
            at = turn % len(found) if found else 0
            return found[at:] + found[:at]

        door = Door(self._sessions, meta["namespace"], choose)
        await door.gate(True)  # takes a port, which stays this Service's
        self._open[key] = door
        slices.add_handler(lambda old, new: door.turn(bool(now())))
        self._followed.append(slices)
        slices.start()
        await slices.synced()
        await door.gate(bool(now()))
        return HOST, door.port
