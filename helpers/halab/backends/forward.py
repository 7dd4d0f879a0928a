"""Ports of pods, reached through the API server as ``kubectl port-forward`` does: what works with every cluster that one has a kubeconfig for.

A ``Session`` is one connection to the API server that stays, and carries any number of connections to a pod's ports as SPDY streams, so that a
request costs two small frames and not a TLS handshake. It is a WebSocket (as kubectl's is since 1.31), or a plain upgrade to SPDY where the
cluster, or something before it, speaks no such WebSocket. Who is to blame when it breaks off is a question of its own: see ``Sessions.blame``.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import os
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

from halab.aio import websocket
from halab.cluster.client.kubeconfig import Access
from halab.cluster.node.server import spdy
from halab.errors import HalabError

log = logging.getLogger(__name__)

TUNNEL, PROTOCOL = "SPDY/3.1+portforward.k8s.io", "portforward.k8s.io"
READ = 64 * 1024
# A user gives up after 5 s: by then it must be known whether it was the way or the pod.
CONNECT_SECONDS = 2.0  # to the API server
UPGRADE_SECONDS = 10.0  # until the API server has reached the pod's node
OPEN_SECONDS = 2.0  # until the node has taken a stream of a session that is there
TICK_SECONDS = (
    1.0  # a session with streams on which nothing came for so long is asked for a sign of life, and given up after as long again
)
IDLE_TICKS = 60  # without any stream, after which it is closed
YOUNG_SECONDS = (
    1.0  # a session that fails is replaced by a new one, but not one that is as new as this: a pod may refuse for long
)
STREAMS = 64  # of one session; then another is opened beside it
HIGH_WATER = 1 << 20  # bytes waiting to be sent, from which on a sender has to wait


class Place(NamedTuple):
    """A port of a pod. A StatefulSet's pod comes back under its name as another one: ``uid`` tells them apart."""

    pod: str
    port: int
    uid: str = ""


Key = tuple[str, str, str]  # namespace, pod, uid


class Refused(ConnectionError):
    """The API server, or the node behind it, does not take the connection: so it would be for anybody. ``gone``: there is no such pod."""

    def __init__(self, text: str, *, gone: bool = False) -> None:
        super().__init__(text)
        self.gone = gone


class Lost(ConnectionError):
    """The way to the API server is broken: it says nothing about the pod."""


class Sink(Protocol):
    """Who wants what comes back on a stream. After ``ended`` or ``broken`` nothing more is told."""

    def received(self, data: bytes) -> None: ...

    def ended(self) -> None:
        """The pod, or its node, has closed the connection."""

    def broken(self, reason: str) -> None:
        """The session broke off under it."""


class Stream:
    """One connection to a port of the session's pod."""

    def __init__(self, session: Session, number: int, sink: Sink) -> None:
        self.session, self.number, self.sink = session, number, sink
        self.finished = False

    def send(self, data: bytes) -> None:
        self.session.send(self.number, data)

    def finish(self) -> None:
        """Nothing more will be sent; the answer may still come."""
        if not self.finished:
            self.finished = True
            self.session.send(self.number, b"", fin=True)

    def close(self) -> None:
        """Nobody wants the rest."""
        self.session.forget(self)


class Session:
    """A connection to one pod. ``open`` it, then ``stream`` as often as wanted."""

    def __init__(self, access: Access, namespace: str, pod: str) -> None:
        self.access, self.namespace, self.pod = access, namespace, pod
        self.connected = self._leaving = False
        self._spdy = spdy.Connection(server=False)
        self._receiver: websocket.Receiver | None = None
        self._streams: dict[int, Stream] = {}
        self._opening: dict[int, asyncio.Future[None]] = {}
        self._next, self._requests, self._since = 1, 0, 0.0
        self._heard = True
        self._tasks: list[asyncio.Task[None]] = []

    def __str__(self) -> str:
        return f"pod {self.namespace}/{self.pod}"

    @property
    def alive(self) -> bool:
        """Whether it takes new streams."""
        return self.connected and not self._leaving

    def _age(self) -> float:
        return asyncio.get_running_loop().time() - self._since

    @property
    def load(self) -> int:
        return len(self._streams)

    # Opening

    async def open(self) -> None:
        """Raises Refused or Lost."""
        try:
            await self._dial(TUNNEL)
        except Refused as refused:
            if refused.gone:
                raise
            await self._dial("")  # an old API server, or a proxy without WebSockets; what is wrong with the pod is said again
        self.connected, self._since = True, asyncio.get_running_loop().time()
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._tick())]

    async def _dial(self, protocol: str) -> None:
        url = urlsplit(self.access.server)
        secure, host = url.scheme == "https", url.hostname or "localhost"
        port = url.port or (443 if secure else 80)
        try:
            credential, tls = await self.access.login()
        except HalabError as error:
            raise Lost(str(error)) from error
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                self._reader, self._writer = await asyncio.open_connection(
                    host, port, ssl=tls, server_hostname=(self.access.server_name or host) if tls is not None else None
                )
        except (OSError, TimeoutError) as error:
            raise Lost(f"{self.access.server} does not answer ({error or type(error).__name__})") from error
        try:
            async with asyncio.timeout(UPGRADE_SECONDS):
                await self._upgrade(f"{host}:{port}", url.path.rstrip("/"), credential.token, protocol)
        except TimeoutError as error:
            self._writer.transport.abort()
            raise Refused(f"{self}: the API server does not reach its node") from error
        except BaseException:
            self._writer.transport.abort()
            raise

    async def _upgrade(self, authority: str, prefix: str, token: str, protocol: str) -> None:
        path = f"{prefix}/api/v1/namespaces/{self.namespace}/pods/{self.pod}/portforward"
        lines = [f"{'GET' if protocol else 'POST'} {path} HTTP/1.1", f"Host: {authority}", "Connection: Upgrade"]
        key = base64.b64encode(os.urandom(16)).decode()
        if protocol:
            lines += ["Upgrade: websocket", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}"]
            lines += [f"Sec-WebSocket-Protocol: {protocol}"]
        else:
            lines += ["Upgrade: SPDY/3.1", f"X-Stream-Protocol-Version: {PROTOCOL}", "Content-Length: 0"]
        if token:
            lines.append(f"Authorization: Bearer {token}")
        self._writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError) as error:
            raise Lost(f"{self}: the API server broke the connection off") from error
        status = head.split(b" ", 2)[1].decode(errors="replace")
        if status != "101":
            text = (await self._reader.read(2000)).decode(errors="replace")
            raise Refused(f"{self}: {status} {text}", gone=status == "404")
        if protocol:
            if f"sec-websocket-protocol: {protocol.lower()}" not in head.decode("latin-1").lower():
                raise Refused(f"{self}: the API server speaks another protocol")
            self._receiver = websocket.Receiver(client=True)

    # Streams

    async def stream(self, port: int, sink: Sink) -> Stream:
        """A connection to ``port``. Raises Refused or Lost. Nothing may be sent before the other side has agreed, so this waits for it."""
        error, data = self._next, self._next + 2
        self._next, request = self._next + 4, str(self._requests)
        self._requests += 1
        agreed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._opening[data] = agreed
        stream = self._streams[data] = Stream(self, data, sink)
        common = {"port": str(port), "requestid": request}
        self._spdy.open(error, {"streamtype": "error", **common}, fin=True)
        self._spdy.open(data, {"streamtype": "data", **common})
        self._flush()
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await agreed
        except TimeoutError as late:
            self._break("it does not answer")
            raise Lost(f"{self}: the session does not answer") from late
        except BaseException:
            self.forget(stream)
            raise
        finally:
            self._opening.pop(data, None)
        return stream

    def send(self, number: int, data: bytes, *, fin: bool = False) -> None:
        if self.connected:
            self._spdy.send(number, data, fin=fin)
            self._flush()

    def forget(self, stream: Stream) -> None:
        """Nothing more is told of it. An unfinished one is reset, so that the other side forgets it too."""
        if self._streams.pop(stream.number, None) is None:
            return
        if self.connected:
            self._spdy.reset(stream.number)
            self._flush()

    @property
    def congested(self) -> bool:
        return self.connected and self._writer.transport.get_write_buffer_size() > HIGH_WATER

    async def drained(self) -> None:
        with contextlib.suppress(ConnectionError):
            await self._writer.drain()

    # What comes

    async def _read(self) -> None:
        try:
            while data := await self._reader.read(READ):
                self._heard = True
                for piece in self._receiver.receive(data) if self._receiver is not None else (data,):
                    for event in self._spdy.receive(piece):
                        self._event(event)
                if self._receiver is not None:
                    if self._receiver.outgoing:
                        self._writer.write(bytes(self._receiver.outgoing))
                        self._receiver.outgoing.clear()
                    if self._receiver.closed:
                        break
                self._flush()
            self._break("the API server closed the session")
        except (OSError, spdy.SpdyError, websocket.WebSocketError) as error:
            self._break(str(error) or type(error).__name__)

    def _event(self, event: spdy.Event) -> None:
        match event:
            case spdy.Replied(stream=number):
                if (agreed := self._opening.get(number)) and not agreed.done():
                    agreed.set_result(None)
            case spdy.Data(stream=number, data=data) if number % 4 == 1:  # the error stream, two before its data stream
                if data:
                    log.debug("%s: %s", self, data.decode(errors="replace"))
                    self._leaving = self._leaving or self._age() > YOUNG_SECONDS  # it may lead to a pod that is gone
                    self._end(number + 2)
            case spdy.Data(stream=number, data=data, fin=fin):
                if data and (stream := self._streams.get(number)):
                    stream.sink.received(data)
                if fin:
                    self._end(number)
            case spdy.Reset(stream=number):
                self._end(number + 2 if number % 4 == 1 else number)
            case spdy.GoneAway():
                self._leaving = True
            case _:
                pass

    def _end(self, number: int) -> None:
        stream = self._streams.get(number)
        if stream is None:
            return
        if (agreed := self._opening.get(number)) and not agreed.done():
            agreed.set_exception(Refused(f"{self}: the connection was refused"))
            return
        stream.finish()
        self._streams.pop(number, None)
        stream.sink.ended()

    async def _tick(self) -> None:
        quiet = idle = 0
        while self.connected:
            await asyncio.sleep(TICK_SECONDS)
            quiet, self._heard = (0 if self._heard or not self.load else quiet + 1), False
            idle = 0 if self.load else idle + 1
            if idle >= IDLE_TICKS or (idle and self._leaving):
                break
            if quiet >= 2:
                self._break("it gives no sign of life")
                return
            if quiet:
                self._spdy.ping(1)
                self._flush()
        self.close()

    def _flush(self) -> None:
        if (data := self._spdy.take()) and self.connected:
            self._writer.write(websocket.encode(websocket.BINARY, data, os.urandom(4)) if self._receiver is not None else data)

    def _break(self, reason: str) -> None:
        if not self.connected:
            return
        self.connected = False
        self._writer.transport.abort()
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()
        opening, self._opening = self._opening, {}
        for agreed in opening.values():
            if not agreed.done():
                agreed.set_exception(Lost(f"{self}: {reason}"))
        streams, self._streams = self._streams, {}
        for number, stream in streams.items():
            if number not in opening:
                stream.sink.broken(reason)

    def close(self) -> None:
        self._break("closed")


class Sessions:
    """The sessions of one cluster, opened when they are needed and shared by all who want the same pod."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self._open: dict[Key, list[Session]] = {}
        self._opening: dict[Key, asyncio.Task[Session]] = {}  # whoever comes meanwhile shares what becomes of it

    async def get(self, namespace: str, place: Place) -> Session:
        """Raises Refused or Lost."""
        key = (namespace, place.pod, place.uid)
        if found := self._free(key):
            return found
        if key not in self._opening:
            task = self._opening[key] = asyncio.create_task(self._new(key, Session(self.access, namespace, place.pod)))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())  # seen, also where all who waited have left
        return await asyncio.shield(self._opening[key])

    async def _new(self, key: Key, session: Session) -> Session:
        try:
            await session.open()
            self._open.setdefault(key, []).append(session)
            return session
        finally:
            del self._opening[key]

    def _free(self, key: Key) -> Session | None:
        alive = [session for session in self._open.get(key, ()) if session.alive]
        if alive:
            self._open[key] = alive
        else:
            self._open.pop(key, None)
        best = min(alive, key=lambda session: session.load, default=None)
        return best if best is not None and best.load < STREAMS else None

    async def blame(self, namespace: str, place: Place) -> str:
        """A session to this pod broke off: why that was the way's fault, not the pod's; empty where anybody's connection would have broken.

        The API server is asked again. Where it does not answer, or leads to the pod as if nothing had been, the way was broken; where it
        says that the pod is gone or its node does not answer, so it is for users.
        """
        try:
            await self.get(namespace, place)
        except Refused:
            return ""
        except Lost as error:
            return str(error)
        return f"the API server broke off the session to pod {namespace}/{place.pod}"

    def count(self) -> int:
        return sum(session.alive for sessions in self._open.values() for session in sessions)

    def close(self) -> None:
        for sessions in self._open.values():
            for session in sessions:
                session.close()
        self._open.clear()
