"""Addresses, ownership and refusals of the Docker runtime, without an engine."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any

import pytest

from halab.backends import auto, choice, preflight
from halab.backends.findings import Finding
from halab.cluster.dataplane import services
from halab.cluster.supervisor import layout, prepare
from halab.cluster.supervisor.addresses import occupied
from halab.engine import client, owned
from halab.engine.network import ranges
from halab.engine.tool import remove_trees
from halab.errors import MachineError, UsageError
from halab.settings import BridgeAddresses, ClusterConfig

CONFIG = ClusterConfig(
    name="one", number=7, directory=Path("/h/clusters/one"), images=Path("/h/images"), nodes=("node-1",), port_shift=0,
    runtime="docker", engine="/d.sock",
)  # fmt: skip


class Engine:
    """Records what it is told; lists what it was given."""

    def __init__(self, listed: list[dict[str, Any]]) -> None:
        self.listed, self.removed = listed, list[str]()

    def containers(self, all: bool, filters: dict[str, Any]) -> list[dict[str, Any]]:
        return self.listed  # a filter that does nothing

    def remove_container(self, identity: str, force: bool, v: bool) -> None:
        self.removed.append(identity)


def test_the_plan_of_addresses_is_the_same_in_both_runtimes_but_for_what_stays_on_loopback() -> None:
    found = BridgeAddresses(7)
    assert (found.node(0), found.pod_cidr(0), found.dns, found.ingress) == ("10.7.0.10", "10.7.1.0/24", "10.7.128.10", "10.7.0.2")
    assert (found.api, found.kubelet(0), found.api_in_pods) == ("127.7.0.1", "127.7.0.10", "10.7.0.1")
    assert ClusterConfig.load(CONFIG.dump()) == CONFIG and isinstance(CONFIG.addresses, BridgeAddresses)


def test_the_gateway_answers_for_nodes_and_services_and_not_for_pods_or_the_machine() -> None:
    mine = [ipaddress.ip_network(text) for text in ranges(BridgeAddresses(7))]

    def answers(address: str) -> bool:
        return any(ipaddress.ip_address(address) in network for network in mine)

    assert all(answers(address) for address in ("10.7.0.10", "10.7.0.69", "10.7.128.1", "10.7.255.254"))
    assert not any(answers(address) for address in ("10.7.0.1", "10.7.0.9", "10.7.1.2", "10.7.60.3", "10.8.128.1"))


def test_the_dns_server_is_reached_through_the_gateway() -> None:
    listens, clusters = services.dns(CONFIG)
    assert [(listen.addresses, listen.protocol) for listen in listens] == [
        ((("10.7.128.10", 53),), "UDP"),
        ((("10.7.128.10", 53),), "TCP"),
    ]
    assert {cluster.backend.endpoints for cluster in clusters} == {(("10.7.0.1", 20053),)}


def test_a_range_with_a_route_is_not_taken_and_the_default_route_is_none(tmp_path: Path) -> None:
    table = tmp_path / "route"
    head = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n"
    table.write_text(head + "eth0\t00000000\t0100000A\t3\t0\t0\t0\t00000000\ntun0\t0008070A\t0\t1\t0\t0\t0\t00F8FFFF\n")
    assert occupied("10.7.0.0/16", table) and not occupied("10.8.0.0/16", table)


def test_nothing_is_removed_that_does_not_carry_the_clusters_own_label() -> None:
    labels = owned.labels(CONFIG, "container", "node-1")
    engine = Engine(
        [
            {"Id": "box", "Labels": owned.labels(CONFIG, "sandbox", "node-1")},
            {"Id": "ours", "Labels": labels},
            {"Id": "same name, another home", "Labels": labels | {owned.CLUSTER: "/other/clusters/one"}},
            {"Id": "somebody's", "Labels": {}},
            {"Id": "without labels", "Labels": None},
            {"Id": "another node's", "Labels": owned.labels(CONFIG, "container", "node-2")},
        ]
    )
    assert owned.sweep(engine, str(CONFIG.directory), "node-1") == 2
    assert engine.removed == ["ours", "box"]


def test_trees_outside_the_cluster_are_never_removed() -> None:
    engine = Engine([])  # it has no call to create anything: asking would fail
    remove_trees(engine, CONFIG, [Path("/etc"), CONFIG.directory, Path("/h/clusters/other/nodes")])


def test_a_missing_or_forbidden_socket_names_the_fact_and_the_next_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fact, remedy = client.obstacle_at(str(tmp_path / "no.sock")) or ("", "")
    assert "does not exist" in fact and "apt-get install docker.io" in remedy and "--runtime process" in remedy
    monkeypatch.setattr("os.access", lambda path, mode: False)
    (tmp_path / "shut.sock").touch()
    fact, remedy = client.obstacle_at(str(tmp_path / "shut.sock")) or ("", "")
    assert "may not be opened by this user" in fact and "usermod -aG docker" in remedy
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.1:2375")
    with pytest.raises(MachineError, match=r"is not on this machine.*unset DOCKER_HOST"):
        client.socket_path()


def test_a_cluster_keeps_the_runtime_that_it_was_made_with() -> None:
    prepare.require_runtime(CONFIG, prepare.Wish(Path("/h"), "one", runtime="docker"))
    with pytest.raises(UsageError, match=r"runs its pods with the runtime docker.*halab down --purge --name one"):
        prepare.require_runtime(CONFIG, prepare.Wish(Path("/h"), "one", runtime="process"))
    wish = prepare.Wish(Path("/h"), "one", 2, ("dataplane",), "docker")
    assert prepare.Wish.load(wish.dump()) == wish


@pytest.mark.parametrize(
    ("obstacle", "runtime", "word"), [("", "docker", "real containers"), ("Docker engine: gone", "", "needs nothing")]
)
def test_without_kind_pods_are_containers_where_an_engine_answers(
    obstacle: str, runtime: str, word: str, halab_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = Finding("kind", "fail", "is not installed", "see its web site")
    monkeypatch.setattr(preflight, "kind_findings", lambda: [missing])
    monkeypatch.setattr(auto, "engine_obstacle", lambda: obstacle)
    found = auto.choose("fresh")
    assert (found.backend, found.runtime) == (choice.EMBEDDED, runtime)
    assert word in found.why and "kind: is not installed; see its web site" in found.why
    assert not (layout.directory_of("fresh") / layout.CONFIG).exists()
