"""Listening, upkeep and the end of all connections."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path

from halab.aio.http.connection import Connection
from halab.aio.http.tls import Tls
from halab.aio.http.types import SWEEP_SECONDS, App

LAST_REQUESTS_SECONDS = 0.2  # what short requests are given to finish when the server closes


class Server:
    """What all connections of one listener share."""

    def __init__(self, app: App, tls: bool, client_certificates: bool = False) -> None:
        self.app = app
        self.tls = tls
        self.client_certificates = client_certificates
        self.closing = False
        self.connections: set[Connection] = set()
        self.handshakes: set[Tls] = set()
        self.upgraded: set[asyncio.Transport] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self._date: tuple[int, bytes] = (0, b"")

    def date(self) -> bytes:
        """The Date header and the blank line after it, made once a second."""
        now = int(time.time())
        if self._date[0] != now:
            self._date = (now, time.strftime("date: %a, %d %b %Y %H:%M:%S GMT\r\n\r\n", time.gmtime(now)).encode())
        return self._date[1]

    async def sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = time.monotonic()
            waiting: list[Connection | Tls] = [*self.connections, *self.handshakes]
            for connection in waiting:
                connection.sweep(now)

    async def close(self) -> None:
        """Let short requests finish, then drop everything."""
        self.closing = True
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=LAST_REQUESTS_SECONDS)
        for task in list(self.tasks):
            task.cancel()
        for connection in list(self.connections):
            connection.transport.abort()
        for transport in [*self.upgraded, *self.handshakes]:
            transport.abort()


def server_context(certificate: Path, key: Path, client_ca: str = "") -> ssl.SSLContext:
    """A TLS context for serving. HTTP/1.1 is the only protocol offered; no session is ever resumed, so no tickets are made.

    With ``client_ca`` (PEM) a client may prove itself by a certificate of that authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    if client_ca:
        context.load_verify_locations(cadata=client_ca)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


async def serve(
    app: App,
    host: str,
    port: int,
    certificate: Path | None = None,
    key: Path | None = None,
    *,
    on_ready: Callable[[], None] | None = None,
    sock: socket.socket | None = None,
    backlog: int = 1024,
    client_ca: str = "",
) -> None:
    """Serve ``app`` on ``host:port`` (or on the listening socket ``sock``) until cancelled. TLS if a certificate is given; with
    ``client_ca`` (PEM) a client's own certificate is in ``scope["extensions"]["tls"]["client_certificate"]``, as ``ssl`` decodes it.

    Raises OSError if the address cannot be bound. ``on_ready`` is called once connections are accepted.
    """
    context = server_context(certificate, key, client_ca) if certificate is not None and key is not None else None
    server = Server(app, context is not None, bool(client_ca))

    def connection() -> asyncio.BaseProtocol:
        return Connection(server)

    def encrypted() -> asyncio.BaseProtocol:
        assert context is not None
        return Tls(server, context, lambda: Connection(server))  # type: ignore[return-value]  # a protocol by its methods

    make = connection if context is None else encrypted
    loop = asyncio.get_running_loop()
    if sock is not None:
        listener = await loop.create_server(make, sock=sock, backlog=backlog)
    else:
        listener = await loop.create_server(make, host, port, backlog=backlog)
    sweeper = loop.create_task(server.sweep())
    try:
        if on_ready is not None:
            on_ready()
        await loop.create_future()
    finally:
        sweeper.cancel()
        listener.close()
        await server.close()
