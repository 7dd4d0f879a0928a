"""What must change in a cluster's objects when it moves."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from halab.cluster.supervisor.snapshot.header import Header, Unfit
from halab.cluster.supervisor.snapshot.relocate import relocation
from halab.settings import Addresses, BridgeAddresses

OLD = "/home/ann/.local/state/halab/clusters/default"
NEW = Path("/srv/übung/clusters/default")
MOVE = relocation(Addresses(23), OLD, Addresses(145), NEW)


def moved(value: object) -> object:
    return orjson.loads(MOVE(orjson.dumps(value)))


@pytest.mark.parametrize(
    "text, expected",
    [
        ("127.23.0.1", "127.145.0.1"),
        ("127.23.128.0/17", "127.145.128.0/17"),
        ("http://127.23.0.2:20080/", "http://127.145.0.2:20080/"),
        ("127.23.2.2:80,127.23.3.2:80", "127.145.2.2:80,127.145.3.2:80"),
        ('{"ip":"127.23.2.2"}', '{"ip":"127.145.2.2"}'),
        ("127.0.0.1", "127.0.0.1"),
        ("127.230.0.1", "127.230.0.1"),
        ("1127.23.0.1", "1127.23.0.1"),
        ("10.127.23.0.1", "10.127.23.0.1"),
        ("127.23.0", "127.23.0"),
        ("127.23.0.1999", "127.23.0.1999"),
    ],
)
def test_addresses_of_the_range_move_and_others_stay(text: str, expected: str) -> None:
    assert moved({"spec": {"a": text}, "b": [text]}) == {"spec": {"a": expected}, "b": [expected]}


def test_paths_below_the_clusters_directory_move_and_others_stay() -> None:
    before = {"hostPath": {"path": f"{OLD}/volumes/pvc-1"}, "other": f"{OLD}-2/volumes", "mention": f"see {OLD}/volumes"}
    after = {
        "hostPath": {"path": "/srv/übung/clusters/default/volumes/pvc-1"},
        "other": before["other"],
        "mention": before["mention"],
    }
    assert moved(before) == after


def test_in_its_own_place_nothing_changes() -> None:
    value = orjson.dumps({"a": "127.23.0.1", "b": f"{OLD}/volumes/x"})
    assert relocation(Addresses(23), OLD, Addresses(23), Path(OLD))(value) == value


@pytest.mark.parametrize(
    "old, new, text, expected",
    [
        (BridgeAddresses(23), BridgeAddresses(145), "10.23.1.2 127.23.0.10 10.2.3.4", "10.145.1.2 127.145.0.10 10.2.3.4"),
        (BridgeAddresses(23), Addresses(145), "10.23.0.1:6443 127.23.0.10", "127.145.0.1:6443 127.145.0.10"),
        (Addresses(23), BridgeAddresses(145), "127.23.0.1:6443 127.23.128.10", "10.145.0.1:6443 10.145.128.10"),
        (BridgeAddresses(23), BridgeAddresses(23), "10.23.1.2 127.23.0.10", "10.23.1.2 127.23.0.10"),
    ],
)
def test_containers_become_processes_and_back(old: Addresses, new: Addresses, text: str, expected: str) -> None:
    assert orjson.loads(relocation(old, OLD, new, NEW)(orjson.dumps({"a": text}))) == {"a": expected}


HEADER = Header("default", 23, "process", OLD, ("node-1",), (), 7, "2026-01-01T00:00:00Z", "1.0", {"pods": 1}, ("web:1",))


def test_a_header_is_read_as_it_was_written() -> None:
    assert Header.load(HEADER.dump()) == HEADER


@pytest.mark.parametrize(
    "change, words",
    [
        ({"kind": "letter"}, "is not a halab snapshot"),
        ({"format": 99}, "format 99"),
        ({"kubernetes": "1.99"}, "Kubernetes 1.99"),
        ({"nodes": 3}, "damaged"),
        ({"surprise": 1}, "damaged"),
    ],
)
def test_another_kind_format_or_version_is_refused_by_name(change: dict[str, object], words: str) -> None:
    with pytest.raises(Unfit, match=words):
        Header.load(orjson.dumps(orjson.loads(HEADER.dump()) | change))


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b"null", b'"x"', b"{}"])
def test_what_is_no_header_is_no_snapshot(data: bytes) -> None:
    with pytest.raises(Unfit, match="is not a halab snapshot"):
        Header.load(data)
