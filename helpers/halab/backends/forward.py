"""Ports of pods, reached through the API server as ``kubectl port-forward`` does: what works with every cluster that one has a kubeconfig for.

Each connection has a tunnel of its own (SPDY/3.1, which every API server speaks), so that one that breaks takes no other with it.
"""

from __future__ import annotations

import asyncio
import contextlib
from urllib.parse import urlsplit

from halab.cluster.client.kubeconfig import Access
from halab.cluster.node.server import spdy

ERROR_STREAM, DATA_STREAM = 1, 3
READ = 64 * 1024
CONNECT_SECONDS = 10.0
LINGER_SECONDS = 30.0


class Refused(ConnectionError):
    """The API server, or the pod behind it, does not take the connection; the text says why."""


class Tunnel:
    """One connection to ``port`` of a pod. ``open`` it, then ``run`` it between two streams."""

    def __init__(self, access: Access, namespace: str, pod: str, port: int) -> None:
        self.access, self.namespace, self.pod, self.port = access, namespace, pod, port
        self._spdy = spdy.Connection(server=False)
        self._head = b""

    async def open(self) -> None:
        """Raises Refused, OSError or TimeoutError."""
        url = urlsplit(self.access.server)
        port = url.port or (443 if url.scheme == "https" else 80)
        host = url.hostname or "localhost"
        async with asyncio.timeout(CONNECT_SECONDS):
            self._reader, self._writer = await asyncio.open_connection(host, port, ssl=self.access.tls)
            try:
                await self._upgrade(f"{host}:{port}", url.path.rstrip("/"))
            except BaseException:
                self._writer.transport.abort()
                raise
        common = {"port": str(self.port), "requestid": "0"}
        self._spdy.open(ERROR_STREAM, {"streamtype": "error", **common}, fin=True)
        self._spdy.open(DATA_STREAM, {"streamtype": "data", **common})
        self._writer.write(self._spdy.take())

    async def _upgrade(self, authority: str, prefix: str) -> None:
        lines = [
            f"POST {prefix}/api/v1/namespaces/{self.namespace}/pods/{self.pod}/portforward HTTP/1.1",
            f"Host: {authority}",
            "Connection: Upgrade",
            "Upgrade: SPDY/3.1",
            "X-Stream-Protocol-Version: portforward.k8s.io",
            "Content-Length: 0",
        ]
        if self.access.token:
            lines.append(f"Authorization: Bearer {self.access.token}")
        self._writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            raise Refused(f"pod {self.namespace}/{self.pod}: the API server broke the connection off") from error
        status = head.split(b" ", 2)[1]
        if status != b"101":
            text = (await self._reader.read(2000)).decode(errors="replace")
            raise Refused(f"pod {self.namespace}/{self.pod}: {status.decode()} {text}")

    async def run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry bytes until both sides have ended, or one breaks off (then the other is broken off too)."""
        up, down = asyncio.create_task(self._upwards(reader)), asyncio.create_task(self._downwards(writer))
        try:
            await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
            if not down.done():  # the client has said all: the answer may still come, unless nobody is there to give it
                await asyncio.wait({down}, timeout=LINGER_SECONDS)
        finally:
            whole = down.done() and not down.cancelled() and down.exception() is None
            up.cancel()
            down.cancel()
            await asyncio.gather(up, down, return_exceptions=True)
            if whole:
                writer.close()
            else:
                writer.transport.abort()
            self._writer.close()

    async def _upwards(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(READ):
                self._spdy.send(DATA_STREAM, data)
                await self._flush()
            self._spdy.send(DATA_STREAM, b"", fin=True)
            await self._flush()

    async def _downwards(self, writer: asyncio.StreamWriter) -> None:
        while data := await self._reader.read(READ):
            for event in self._spdy.receive(data):
                if isinstance(event, spdy.Data) and event.stream == ERROR_STREAM and event.data:
                    raise Refused(event.data.decode(errors="replace"))
                if isinstance(event, spdy.Reset | spdy.GoneAway):
                    raise Refused(f"pod {self.namespace}/{self.pod}: the connection was broken off")
                if isinstance(event, spdy.Data) and event.stream == DATA_STREAM:
                    if event.data:
                        writer.write(event.data)
                        await writer.drain()
                    if event.fin:
                        return
            await self._flush()
        raise Refused(f"pod {self.namespace}/{self.pod}: the API server broke the connection off")

    async def _flush(self) -> None:
        if data := self._spdy.take():
            self._writer.write(data)
            await self._writer.drain()
