"""Logs, projected files, /etc/hosts and resolv.conf."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from halab.cluster.node import atomic, logs
from halab.cluster.node.atomic import File
from halab.cluster.node.ground import until_refresh
from halab.cluster.node.hosts import hostname_of, hosts_file, resolver
from halab.cluster.node.logs import LogOptions, LogWriter
from halab.cluster.node.node import AddressPool, private_localhost
from halab.cluster.node.probes import Tally
from halab.cluster.node.records import Probe


@pytest.fixture
def writer(tmp_path: Path) -> LogWriter:
    return LogWriter(tmp_path / "0.log")


def test_a_log_gives_back_what_was_written_without_its_stamps(writer: LogWriter) -> None:
    writer.write(b"stdout", b"one\ntw")
    writer.write(b"stderr", b"oops\n")
    writer.write(b"stdout", b"o\nrest")
    writer.close()
    assert logs.read(writer.path, LogOptions()) == b"one\noops\ntwo\nrest"
    assert logs.read(writer.path, LogOptions(stream="Stderr")) == b"oops\n"


def test_tail_and_limit(writer: LogWriter) -> None:
    writer.write(b"stdout", b"".join(b"one %d\n" % number for number in range(1, 6)))
    assert logs.read(writer.path, LogOptions(tail=2)) == b"one 4\none 5\n"
    assert logs.read(writer.path, LogOptions(tail=0)) == b""
    assert logs.read(writer.path, LogOptions(limit=8)) == b"one 1\non"


def test_a_very_long_line_comes_back_whole_and_counts_as_one(writer: LogWriter) -> None:
    line = b"x" * 40_000
    writer.write(b"stdout", b"first\n" + line + b"\n")
    assert logs.read(writer.path, LogOptions(tail=1)) == line + b"\n"


def test_timestamps_stand_before_each_line(writer: LogWriter) -> None:
    writer.write(b"stdout", b"a\nb\n")
    lines = logs.read(writer.path, LogOptions(timestamps=True)).splitlines()
    assert [line.split(b" ")[1] for line in lines] == [b"a", b"b"]
    assert lines[0].endswith(b"Z a")


def test_an_absent_log_is_empty(tmp_path: Path) -> None:
    assert logs.read(tmp_path / "none", LogOptions()) == b""


async def test_following_ends_with_the_container(writer: LogWriter) -> None:
    writer.write(b"stdout", b"a\n")
    pieces = logs.follow(writer.path, LogOptions(follow=True), writer)
    assert await anext(pieces) == b"a\n"
    writer.write(b"stdout", b"b\n")
    assert await anext(pieces) == b"b\n"
    asyncio.get_running_loop().call_soon(writer.write, b"stdout", b"c\nd")
    assert await asyncio.wait_for(anext(pieces), 2) == b"c\n"
    writer.close()
    assert [piece async for piece in pieces] == [b"d"]


def test_the_last_words_are_the_end_of_the_log(writer: LogWriter) -> None:
    writer.write(b"stdout", b"".join(b"%d\n" % number for number in range(200)))
    assert logs.tail_message(writer.path).splitlines()[0] == "120"


def test_projected_files_change_together(tmp_path: Path) -> None:
    volume = tmp_path / "v"
    assert atomic.write(volume, {"a": File(b"1", 0o440), "deep/b": File(b"2", 0o755)})
    assert (volume / "a").read_bytes() == b"1"
    assert (volume / "deep").readlink() == Path("..data/deep")
    assert (volume / "a").stat().st_mode & 0o777 == 0o440
    assert not atomic.write(volume, {"a": File(b"1", 0o440), "deep/b": File(b"2", 0o755)})
    before = (volume / "..data").readlink()
    assert atomic.write(volume, {"a": File(b"3", 0o440)})
    assert (volume / "a").read_bytes() == b"3"
    assert not (volume / "deep").exists()
    assert not (volume / before).exists()


def pod(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p", "namespace": "ns"}, "spec": spec}


def test_the_hosts_file_is_kubelets() -> None:
    text = hosts_file(pod(hostAliases=[{"ip": "192.0.2.7", "hostnames": ["one", "two"]}]), "127.1.1.2", "node-1")
    assert text.startswith("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n")
    assert "127.1.1.2\tp\n\n# Entries added by HostAliases.\n192.0.2.7\tone\ttwo\n" in text


def test_a_pod_with_a_subdomain_has_a_full_name() -> None:
    of = pod(hostname="db-1", subdomain="db")
    assert hostname_of(of, "node-1") == "db-1"
    assert "127.1.1.2\tdb-1.db.ns.svc.cluster.local\tdb-1\n" in hosts_file(of, "127.1.1.2", "node-1")


def test_resolv_conf_by_dns_policy() -> None:
    dns, text = resolver(pod(), "127.1.128.10")
    assert text == "search ns.svc.cluster.local svc.cluster.local cluster.local\nnameserver 127.1.128.10\noptions ndots:5\n"
    assert dns is not None
    assert dns.server == "127.1.128.10"
    assert resolver(pod(dnsPolicy="Default"), "127.1.128.10") == (None, None)
    config = {"nameservers": ["192.0.2.1"], "searches": ["x"], "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]}
    assert resolver(pod(dnsPolicy="None", dnsConfig=config), "127.1.128.10")[1] == (
        "search x\nnameserver 192.0.2.1\noptions ndots:2 edns0\n"
    )


def test_addresses_are_handed_out_in_turn_and_not_at_once_again() -> None:
    pool = AddressPool("127.1.1.0/24")
    first, second = pool.take(), pool.take()
    assert (first, second) == ("127.1.1.2", "127.1.1.3")
    pool.give_back(first)
    assert pool.take() == "127.1.1.4"
    assert private_localhost("127.1.1.2") == "127.1.65.2"


def test_a_verdict_needs_as_many_results_in_a_row_as_the_thresholds_say() -> None:
    tally = Tally(success_threshold=2, failure_threshold=3)
    assert [tally.add(result) for result in (False, False, True, False, False, False)] == [
        None,
        None,
        None,
        None,
        None,
        Probe.FAILURE,
    ]
    assert [tally.add(True), tally.add(True)] == [None, Probe.SUCCESS]


def test_a_token_is_looked_at_each_minute_and_when_its_time_comes() -> None:
    assert until_refresh(refresh_at=3000.0, now=100.0) == 60.0
    assert until_refresh(refresh_at=130.0, now=100.0) == 30.0
    assert until_refresh(refresh_at=50.0, now=100.0) == 1.0
