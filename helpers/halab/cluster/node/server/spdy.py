"""SPDY/3.1 framing, as kubectl speaks it for exec, attach and port-forward (a protocol long dead elsewhere).

Sans-I/O: bytes in, events out, bytes to send. Flow control is not used by Kubernetes' library (moby/spdystream), so WINDOW_UPDATE is read over.
The format is that of the SPDY/3 draft: https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1/
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field

SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY, HEADERS, WINDOW_UPDATE = 1, 2, 3, 4, 6, 7, 8, 9
FIN = 1
PROTOCOL_VERSION = 3
MAX_DATA = 1 << 16  # of one data frame that we send

_WORDS = [
    "options",
    "head",
    "post",
    "put",
    "delete",
    "trace",
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "accept-ranges",
    "age",
    "allow",
    "authorization",
    "cache-control",
    "connection",
    "content-base",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-md5",
    "content-range",
    "content-type",
    "date",
    "etag",
    "expect",
    "expires",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-modified",
    "location",
    "max-forwards",
    "pragma",
    "proxy-authenticate",
    "proxy-authorization",
    "range",
    "referer",
    "retry-after",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "vary",
    "via",
    "warning",
    "www-authenticate",
    "method",
    "get",
    "status",
]
_TAIL = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found"
    "500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec "
    "00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,"
    "application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)


def _prefixed(word: str) -> bytes:
    return struct.pack(">I", len(word)) + word.encode()


# The dictionary that both sides preload into zlib (section 2.6.10.1 of the draft).
DICTIONARY = b"".join(
    map(_prefixed, [*_WORDS, "200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie", "keep-alive", "origin"])
) + _TAIL.encode("ascii")


@dataclass(frozen=True, slots=True)
class Opened:
    stream: int
    headers: dict[str, str]
    fin: bool


@dataclass(frozen=True, slots=True)
class Data:
    stream: int
    data: bytes
    fin: bool


@dataclass(frozen=True, slots=True)
class Replied:
    stream: int
    fin: bool


@dataclass(frozen=True, slots=True)
class Reset:
    stream: int


@dataclass(frozen=True, slots=True)
class GoneAway:
    """The other side will open no more streams."""


Event = Opened | Data | Replied | Reset | GoneAway


class SpdyError(Exception):
    """The bytes are no SPDY/3.1."""


@dataclass(slots=True)
class Connection:
    """One side of a connection (``server`` unless told otherwise). ``outgoing`` holds what is to be written."""

    server: bool = True
    outgoing: bytearray = field(default_factory=bytearray)
    _buffer: bytearray = field(default_factory=bytearray)
    _deflate: zlib._Compress = field(init=False)
    _inflate: zlib._Decompress = field(init=False)

    def __post_init__(self) -> None:
        self._deflate = zlib.compressobj(9, zlib.DEFLATED, 15, zdict=DICTIONARY)
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)

    # Receiving

    def receive(self, data: bytes) -> list[Event]:
        """The events in ``data`` (and what came before). Pings are answered in ``outgoing``."""
        self._buffer += data
        events: list[Event] = []
        while len(self._buffer) >= 8:
            length = int.from_bytes(self._buffer[5:8], "big")
            if len(self._buffer) < 8 + length:
                break
            head, payload = bytes(self._buffer[:8]), bytes(self._buffer[8 : 8 + length])
            del self._buffer[: 8 + length]
            event = self._control(head, payload) if head[0] & 0x80 else self._data(head, payload)
            if event is not None:
                events.append(event)
        return events

    def _data(self, head: bytes, payload: bytes) -> Event:
        return Data(int.from_bytes(head[:4], "big") & 0x7FFFFFFF, payload, bool(head[4] & FIN))

    def _control(self, head: bytes, payload: bytes) -> Event | None:
        version, kind, flags = struct.unpack(">HHB", head[:5])
        if version & 0x7FFF != PROTOCOL_VERSION:
            raise SpdyError(f"SPDY version {version & 0x7FFF}")
        first = int.from_bytes(payload[:4], "big") & 0x7FFFFFFF
        if kind == SYN_STREAM:
            return Opened(first, self._headers(payload[10:]), bool(flags & FIN))
        if kind == SYN_REPLY:
            self._headers(payload[4:])
            return Replied(first, bool(flags & FIN))
        if kind == HEADERS:
            self._headers(payload[4:])
        elif kind == RST_STREAM:
            return Reset(first)
        elif kind == PING:
            if bool(first % 2) == self.server:  # not the echo of one of ours
                self._send_control(PING, 0, payload)
        elif kind == GOAWAY:
            return GoneAway()
        return None

    def _headers(self, block: bytes) -> dict[str, str]:
        try:
            text = self._inflate.decompress(block)
        except zlib.error as error:
            raise SpdyError(f"header block: {error}") from error
        count, at = int.from_bytes(text[:4], "big"), 4
        found: dict[str, str] = {}
        for _ in range(min(count, 1000)):
            parts = []
            for _ in range(2):
                size = int.from_bytes(text[at : at + 4], "big")
                parts.append(text[at + 4 : at + 4 + size].decode("latin-1"))
                at += 4 + size
            found[parts[0].lower()] = parts[1].split("\0")[0]
        return found

    # Sending

    def _send_control(self, kind: int, flags: int, payload: bytes) -> None:
        self.outgoing += (
            struct.pack(">HH", 0x8000 | PROTOCOL_VERSION, kind) + bytes((flags,)) + len(payload).to_bytes(3, "big") + payload
        )

    def _block(self, headers: dict[str, str]) -> bytes:
        plain = struct.pack(">I", len(headers)) + b"".join(
            _prefixed(name.lower()) + _prefixed(value) for name, value in headers.items()
        )
        return self._deflate.compress(plain) + self._deflate.flush(zlib.Z_SYNC_FLUSH)

    def open(self, stream: int, headers: dict[str, str], *, fin: bool = False) -> None:
        self._send_control(SYN_STREAM, FIN if fin else 0, struct.pack(">IIH", stream, 0, 0) + self._block(headers))

    def reply(self, stream: int) -> None:
        self._send_control(SYN_REPLY, 0, struct.pack(">I", stream) + self._block({}))

    def send(self, stream: int, data: bytes, *, fin: bool = False) -> None:
        for at in range(0, len(data), MAX_DATA) or (0,):
            piece = data[at : at + MAX_DATA]
            last = fin and at + MAX_DATA >= len(data)
            self.outgoing += struct.pack(">I", stream) + bytes((FIN if last else 0,)) + len(piece).to_bytes(3, "big") + piece

    def reset(self, stream: int, status: int = 5) -> None:
        self._send_control(RST_STREAM, 0, struct.pack(">II", stream, status))

    def ping(self, number: int) -> None:
        """``number`` is odd from a client, even from a server; the other side sends it back."""
        self._send_control(PING, 0, struct.pack(">I", number))

    def take(self) -> bytes:
        data = bytes(self.outgoing)
        self.outgoing.clear()
        return data
