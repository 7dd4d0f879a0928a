from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from dataplane_objects import LEAVING, service, slice_of
from dnslib import QTYPE, DNSRecord

from halab.cluster.dataplane.dns import respond
from halab.cluster.dataplane.zone import Zone

SERVICES = [
    service("web", {"name": "http", "port": 80}, ip="127.7.128.20"),
    service("db", {"name": "sql", "port": 5432}, ip="None"),
    service("lonely", ip="None"),
    service("far", type="ExternalName", externalName="example.com", ip=""),
    service("near", type="ExternalName", externalName="web.default.svc.cluster.local", ip=""),
]
SLICES = [
    slice_of("db", "127.7.1.2", port=5432, port_name="sql", hostname="db-0"),
    slice_of("db", "127.7.2.2", port=5432, port_name="sql"),
    slice_of("db", "127.7.3.2", port=5432, port_name="sql", conditions=LEAVING),
]


class Look:
    def service(self, namespace: str, name: str) -> Any:
        return next(
            (each for each in SERVICES if (each["metadata"]["namespace"], each["metadata"]["name"]) == (namespace, name)), None
        )

    def slices(self, namespace: str, name: str) -> Sequence[Any]:
        return [each for each in SLICES if each["metadata"]["labels"]["kubernetes.io/service-name"] == name]

    def namespace_exists(self, name: str) -> bool:
        return name == "default"

    def services_at(self, address: str) -> Sequence[Any]:
        return [each for each in SERVICES if address in each["spec"]["clusterIPs"]]

    def slices_at(self, address: str) -> Sequence[Any]:
        return [each for each in SLICES if address in [a for e in each["endpoints"] for a in e["addresses"]]]


ZONE = Zone(Look(), "127.7.0.0/16")
SVC = "svc.cluster.local"


def ask(name: str, kind: str = "A") -> tuple[str, list[Any]]:
    answer = ZONE.answer(name, kind)
    return answer.code, sorted((record.type, record.data) for record in answer.records)


@pytest.mark.parametrize(
    ("name", "kind", "code", "records"),
    [
        (f"web.default.{SVC}", "A", "NOERROR", [("A", "127.7.128.20")]),
        (f"WEB.Default.{SVC}.", "A", "NOERROR", [("A", "127.7.128.20")]),
        (f"web.default.{SVC}", "AAAA", "NOERROR", []),
        (f"web.other.{SVC}", "A", "NXDOMAIN", []),
        (f"db.default.{SVC}", "A", "NOERROR", [("A", "127.7.1.2"), ("A", "127.7.2.2")]),
        (f"db-0.db.default.{SVC}", "A", "NOERROR", [("A", "127.7.1.2")]),
        (f"127-7-2-2.db.default.{SVC}", "A", "NOERROR", [("A", "127.7.2.2")]),
        (f"absent.db.default.{SVC}", "A", "NXDOMAIN", []),
        (f"db-0.web.default.{SVC}", "A", "NXDOMAIN", []),
        (f"lonely.default.{SVC}", "A", "NXDOMAIN", []),
        (f"_http._tcp.web.default.{SVC}", "SRV", "NOERROR", [("SRV", (0, 100, 80, f"web.default.{SVC}"))]),
        (f"_nope._tcp.web.default.{SVC}", "SRV", "NXDOMAIN", []),
        (f"far.default.{SVC}", "A", "NOERROR", [("CNAME", "example.com")]),
        (f"near.default.{SVC}", "A", "NOERROR", [("A", "127.7.128.20"), ("CNAME", f"web.default.{SVC}")]),
        ("127-7-1-2.default.pod.cluster.local", "A", "NOERROR", [("A", "127.7.1.2")]),
        ("127-7-1-2.absent.pod.cluster.local", "A", "NXDOMAIN", []),
        (f"default.{SVC}", "A", "NOERROR", []),
        (f"absent.{SVC}", "A", "NXDOMAIN", []),
        ("dns-version.cluster.local", "TXT", "NOERROR", [("TXT", "1.1.0")]),
        ("web.default.svc.cluster.local.default.svc.cluster.local", "A", "NXDOMAIN", []),
        ("web", "A", "NXDOMAIN", []),
        ("example.com", "A", "SERVFAIL", []),
        ("20.128.7.127.in-addr.arpa", "PTR", "NOERROR", [("PTR", f"web.default.{SVC}")]),
        ("2.1.7.127.in-addr.arpa", "PTR", "NOERROR", [("PTR", f"db-0.db.default.{SVC}")]),
        ("9.9.7.127.in-addr.arpa", "PTR", "NXDOMAIN", []),
        ("8.8.8.8.in-addr.arpa", "PTR", "SERVFAIL", []),
    ],
)
def test_names_mean_what_the_dns_specification_says(name: str, kind: str, code: str, records: list[Any]) -> None:
    assert ask(name, kind) == (code, records)


def test_srv_records_of_a_headless_service_name_each_endpoint() -> None:
    answer = ZONE.answer(f"_sql._tcp.db.default.{SVC}", "SRV")
    targets = sorted(str(record.data[3]) for record in answer.records)
    assert targets == [f"127-7-2-2.db.default.{SVC}", f"db-0.db.default.{SVC}"]
    assert sorted(record.data for record in answer.extra) == ["127.7.1.2", "127.7.2.2"]


def test_messages_carry_the_answer_and_negative_ones_a_soa() -> None:
    reply = DNSRecord.parse(respond(ZONE, DNSRecord.question(f"web.default.{SVC}").pack(), udp=True))
    assert [str(each.rdata) for each in reply.rr] == ["127.7.128.20"]
    assert reply.header.aa == 1
    absent = DNSRecord.parse(respond(ZONE, DNSRecord.question(f"nope.default.{SVC}").pack(), udp=True))
    assert absent.header.rcode == 3
    assert [QTYPE.get(each.rtype) for each in absent.auth] == ["SOA"]


def test_an_answer_too_long_for_a_datagram_asks_for_tcp() -> None:
    many = slice_of("db", *(f"127.7.4.{number}" for number in range(1, 120)))
    SLICES.append(many)
    try:
        query = DNSRecord.question(f"db.default.{SVC}").pack()
        assert DNSRecord.parse(respond(ZONE, query, udp=True)).header.tc == 1
        assert len(DNSRecord.parse(respond(ZONE, query, udp=False)).rr) == 121
    finally:
        SLICES.remove(many)


def test_what_is_no_question_is_not_answered() -> None:
    assert respond(ZONE, b"hello", udp=True) is None
    assert respond(ZONE, respond(ZONE, DNSRecord.question("web").pack(), udp=True) or b"", udp=True) is None
