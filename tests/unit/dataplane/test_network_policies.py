"""Who may connect to whom: NetworkPolicies become a table for each pod."""

from __future__ import annotations

from typing import Any

from halab.cluster.dataplane.policies import Door, Peer, tables
from halab.cluster.kube.types import Obj

NOWHERE = ("127.1.0.2", 6402)
WEB = Peer("127.1.1.1", "shop", {"app": "web"}, {("http", "TCP"): 8080})
LEDGER = Peer("127.1.1.2", "shop", {"app": "ledger"}, {("http", "TCP"): 8080})
OTHER = Peer("127.1.2.1", "other", {"app": "web"}, {})
NAMESPACES = {"shop": {"team": "shop"}, "other": {"team": "other"}}
DOOR = Door("127.1.128.9", "TCP", 80, (("127.1.1.2", 8080),))


def policy(**spec: Any) -> Obj:
    return {"metadata": {"name": "p", "namespace": "shop"}, "spec": {"podSelector": {"matchLabels": {"app": "ledger"}}, **spec}}


def made(*policies: Obj) -> dict[str, list[str]]:
    found = tables(policies, [WEB, LEDGER, OTHER], NAMESPACES, [DOOR], NOWHERE)
    return {address: text.splitlines()[1:] for address, text in found.items()}


def test_without_a_policy_nobody_has_a_table() -> None:
    assert made() == {}


def test_a_policy_without_rules_closes_the_pod_and_its_service_for_everybody_else() -> None:
    closed = ["deny 127.1.1.2/32 any 0 65535", "deny 127.1.128.9/32 tcp 80 80"]
    assert made(policy()) == {"127.1.1.1": closed, "127.1.2.1": closed}


def test_a_named_port_is_opened_for_the_pods_of_the_same_namespace_only() -> None:
    found = made(policy(ingress=[{"from": [{"podSelector": {"matchLabels": {"app": "web"}}}], "ports": [{"port": "http"}]}]))
    assert found["127.1.1.1"] == [
        "allow 127.1.1.2/32 tcp 8080 8080",
        "deny 127.1.1.2/32 any 0 65535",
        "allow 127.1.128.9/32 tcp 80 80",
    ]
    assert found["127.1.2.1"][0].startswith("deny")


def test_another_namespace_is_let_in_by_its_labels_and_both_selectors_must_fit() -> None:
    both = {"namespaceSelector": {"matchLabels": {"team": "other"}}, "podSelector": {"matchLabels": {"app": "web"}}}
    found = made(policy(ingress=[{"from": [both]}]))
    assert found["127.1.2.1"][0] == "allow 127.1.1.2/32 any 0 65535"
    assert found["127.1.1.1"][0].startswith("deny 127.1.1.2")


def test_two_policies_add_up() -> None:
    found = made(policy(), policy(ingress=[{}]))
    assert found["127.1.1.1"] == ["allow 127.1.1.2/32 any 0 65535", "allow 127.1.128.9/32 tcp 80 80"]


def test_a_pod_without_egress_reaches_nothing_at_all() -> None:
    found = made(policy(policyTypes=["Egress"]))
    assert list(found) == ["127.1.1.2"]
    assert found["127.1.1.2"][-1] == "deny 0.0.0.0/0 any 0 65535"
    assert "deny 127.1.1.1/32 any 0 65535" in found["127.1.1.2"]


def test_egress_to_a_block_of_addresses_leaves_its_exceptions_out() -> None:
    block = {"cidr": "10.0.0.0/30", "except": ["10.0.0.0/31"]}
    found = made(
        policy(policyTypes=["Egress"], egress=[{"to": [{"ipBlock": block}], "ports": [{"port": 53, "protocol": "UDP"}]}])
    )
    assert found["127.1.1.2"][-2:] == ["allow 10.0.0.2/31 udp 53 53", "deny 0.0.0.0/0 any 0 65535"]


def test_both_sides_must_agree() -> None:
    out = policy(podSelector={"matchLabels": {"app": "web"}}, policyTypes=["Egress"], egress=[{"ports": [{"port": 443}]}])
    found = made(out, policy(ingress=[{"ports": [{"port": 8080}]}]))
    assert found["127.1.1.1"][0] == "deny 127.1.1.2/32 any 0 65535"


def test_where_a_firewall_drops_packets_no_table_names_a_socket_that_never_answers() -> None:
    found = tables([policy()], [WEB, LEDGER], NAMESPACES, [], None)
    assert found == {"127.1.1.1": "deny 127.1.1.2/32 any 0 65535\n"}
