"""TLS between a socket's transport and a protocol: an ``asyncio.Transport`` over an ``ssl.SSLObject``.

Why not the event loop's own: it gives every connection a read buffer, futures and dictionaries of its own, which thousands of idle
watches pay for (6 KB each). Here a connection costs what OpenSSL takes, and one small object.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, cast

from halab.aio.http.types import HANDSHAKE_SECONDS

if TYPE_CHECKING:
    from halab.aio.http.server import Server

RECORD = 16 * 1024  # the longest TLS record; larger writes are cut so that no buffer of OpenSSL's grows
SPOKE_HTTP = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"  # Go's net/http says so
METHODS = (b"GET ", b"HEAD", b"POST", b"PUT ", b"PATC", b"DELE", b"OPTI")


class Tls(asyncio.Transport):
    """The protocol of the socket's transport (``below``), and the transport of the protocol that ``make`` returns (``above``)."""

    __slots__ = ("_closing", "_incoming", "_outgoing", "_paused", "_ssl", "above", "below", "make", "server", "since")

    def __init__(self, server: Server, context: ssl.SSLContext, make: Callable[[], asyncio.Protocol]) -> None:
        self.server = server
        self.make = make
        self.above: asyncio.Protocol | None = None  # None until the handshake is done
        self.below: asyncio.Transport = cast(asyncio.Transport, None)
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._ssl = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._closing = False
        self._paused = False
        self.since = time.monotonic()

    # -- the protocol of the socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.below = cast(asyncio.Transport, transport)
        self.server.handshakes.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        self.server.handshakes.discard(self)
        if self.above is not None:
            self.above.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        self._incoming.write(data)
        if self.above is None and not self._shake_hands(data):
            return
        self._read()

    def eof_received(self) -> bool:
        """The socket is closed without TLS' own farewell. TLS knows no half-closed connection: the transport closes."""
        if self.above is not None and not self._closing:
            self.above.eof_received()
        return False

    def pause_writing(self) -> None:
        if self.above is not None:
            self.above.pause_writing()

    def resume_writing(self) -> None:
        if self.above is not None:
            self.above.resume_writing()

    # -- between the two

    def _shake_hands(self, data: bytes) -> bool:
        """True once the handshake is done."""
        try:
            self._ssl.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return False
        except (ssl.SSLError, OSError):
            self._flush()  # an alert says why
            if data[:4] in METHODS:
                self.below.write(SPOKE_HTTP)
            self._closing = True
            self.below.close()
            return False
        self._flush()
        self.server.handshakes.discard(self)
        self.above = self.make()
        self.above.connection_made(self)
        return True

    def _read(self) -> None:
        """Hand on all that can be decrypted."""
        above = self.above
        try:
            while not self._paused and not self._closing and above is not None:
                data = self._ssl.read(RECORD)
                if not data:
                    self._farewell()
                    return
                above.data_received(data)
                above = self.above  # an upgrade puts another protocol there
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self._farewell()
            return
        except (ssl.SSLError, OSError):
            self.abort()
            return
        if self._outgoing.pending:  # a key update wants an answer
            self._flush()

    def _farewell(self) -> None:
        """The client has said that it sends no more."""
        if self.above is not None and not self._closing:
            self.above.eof_received()
        self.close()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self.below.write(self._outgoing.read())

    # -- the transport of the protocol above

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        if self._closing or not data:
            return
        if len(data) <= RECORD:
            self._ssl.write(data)
            self.below.write(self._outgoing.read())
            return
        view = memoryview(data)
        records = []
        for start in range(0, len(view), RECORD):
            self._ssl.write(view[start : start + RECORD])
            records.append(self._outgoing.read())
        self.below.write(b"".join(records))

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview[Any]]) -> None:
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        """Say farewell and close when all is written."""
        if self._closing:
            return
        self._closing = True
        try:
            self._ssl.unwrap()
        except (ssl.SSLError, OSError):
            pass  # the client's answer is not waited for
        self._flush()
        self.below.close()

    def abort(self) -> None:
        self._closing = True
        self.below.abort()

    def is_closing(self) -> bool:
        return self._closing or self.below.is_closing()

    def pause_reading(self) -> None:
        self._paused = True
        self.below.pause_reading()

    def resume_reading(self) -> None:
        self._paused = False
        self.below.resume_reading()
        if self._ssl.pending() or self._incoming.pending:
            asyncio.get_running_loop().call_soon(self._read)

    def is_reading(self) -> bool:
        return not self._paused and not self._closing

    def get_write_buffer_size(self) -> int:
        return self.below.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self.below.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.below.set_write_buffer_limits(high, low)

    def can_write_eof(self) -> bool:
        return False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.above = cast(asyncio.Protocol, protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return cast(asyncio.Protocol, self.above)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "sslcontext":
            return self._ssl.context
        if name == "peercert":
            return self._ssl.getpeercert()
        return self._ssl if name == "ssl_object" else self.below.get_extra_info(name, default)

    def sweep(self, now: float) -> None:
        """Drop a client that does not get on with its handshake."""
        if now - self.since > HANDSHAKE_SECONDS:
            self.abort()
