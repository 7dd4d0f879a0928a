"""The DNS server: UDP and TCP at the cluster's DNS address, answering from a ``Zone`` and asking nobody else."""

from __future__ import annotations

import asyncio
import logging
import random
import struct
from collections.abc import Callable
from typing import Any, cast

from dnslib import CNAME, PTR, QTYPE, RCODE, RR, SOA, SRV, TXT, A, DNSError, DNSHeader, DNSRecord

from halab.cluster.dataplane.model import Fault
from halab.cluster.dataplane.zone import DOMAIN, TTL, Answer, Record, Zone

log = logging.getLogger(__name__)

CLASSIC_UDP_BYTES = 512
LARGEST_UDP_BYTES = 4096
TCP_IDLE_SECONDS = 10.0
TCP_CONNECTIONS = 200

_AUTHORITY = SOA(f"ns.dns.{DOMAIN}", f"hostmaster.{DOMAIN}", (1, 7200, 1800, 86400, TTL))


def _data(record: Record) -> Any:
    match record.type:
        case "A":
            return A(record.data)
        case "CNAME":
            return CNAME(record.data)
        case "PTR":
            return PTR(record.data)
        case "SRV":
            assert isinstance(record.data, tuple)
            return SRV(*record.data)
        case _:
            return TXT(record.data)


def _rr(record: Record) -> RR:
    return RR(record.name, getattr(QTYPE, record.type), ttl=TTL, rdata=_data(record))


def respond(zone: Zone, query: bytes, *, udp: bool) -> bytes | None:
    """The answer to one message; None where it is not even a question."""
    try:
        request = DNSRecord.parse(query)
    except (DNSError, struct.error, ValueError, IndexError):
        return None
    if request.header.qr or not request.questions:
        return None
    answer = Answer("NOTIMP")
    question = request.q
    if request.header.opcode == 0:
        try:
            answer = zone.answer(str(question.qname), str(QTYPE.get(question.qtype)))
        except Exception:
            log.exception("DNS: %s", question.qname)
            answer = Answer("SERVFAIL")
    reply = DNSRecord(
        DNSHeader(id=request.header.id, qr=1, aa=int(answer.code in ("NOERROR", "NXDOMAIN")), ra=1, rd=request.header.rd),
        q=question,
    )
    reply.header.rcode = getattr(RCODE, answer.code)
    for record in answer.records:
        reply.add_answer(_rr(record))
    for record in answer.extra:
        reply.add_ar(_rr(record))
    if answer.negative:
        reply.add_auth(RR(DOMAIN, QTYPE.SOA, ttl=TTL, rdata=_AUTHORITY))
    packed: bytes = reply.pack()
    if udp and len(packed) > _limit(request):
        # Too long for one datagram: the client asks again over TCP.
        short = DNSRecord(reply.header, q=question)
        short.header.tc = 1
        packed = short.pack()
    return packed


def _limit(request: DNSRecord) -> int:
    sizes: list[int] = [record.rclass for record in request.ar if record.rtype == QTYPE.OPT]
    return min(max([*sizes, CLASSIC_UDP_BYTES]), LARGEST_UDP_BYTES)


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, server: Server) -> None:
        self.server = server
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        fault = self.server.fault()
        if fault is None:
            self._reply(data, addr)
        elif not lost(fault):
            asyncio.get_running_loop().call_later(fault.delay, self._reply, data, addr)

    def _reply(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        reply = respond(self.server.zone, data, udp=True)
        if reply is not None and self.transport is not None:
            self.transport.sendto(reply, addr)


def lost(fault: Fault) -> bool:
    """Whether this question is one of those that get no answer."""
    return random.random() * 100 < fault.drop


class Server:
    """``fault`` is asked at each question what is to go wrong with it. ``start`` binds both sockets (OSError where it cannot), ``close`` gives them up."""

    def __init__(self, zone: Zone, address: str, port: int, fault: Callable[[], Fault | None] = lambda: None) -> None:
        self.zone, self.address, self.port, self.fault = zone, address, port, fault
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None
        self._open = 0

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._udp, _ = await loop.create_datagram_endpoint(lambda: _Udp(self), local_addr=(self.address, self.port))
        self._tcp = await asyncio.start_server(self._serve, self.address, self.port)

    def close(self) -> None:
        for server in (self._udp, self._tcp):
            if server is not None:
                server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            while self._open <= TCP_CONNECTIONS:
                async with asyncio.timeout(TCP_IDLE_SECONDS):
                    length = int.from_bytes(await reader.readexactly(2), "big")
                    query = await reader.readexactly(length)
                if (fault := self.fault()) is not None:
                    if lost(fault):
                        return
                    await asyncio.sleep(fault.delay)
                reply = respond(self.zone, query, udp=False)
                if reply is None:
                    return
                writer.write(len(reply).to_bytes(2, "big") + reply)
                await writer.drain()
        except (asyncio.IncompleteReadError, TimeoutError, ConnectionError):
            pass
        finally:
            self._open -= 1
            writer.close()
