"""NetworkPolicy where pods are containers: who may connect is the kernel's affair, in every pod's own network namespace."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.homes import at_home

from halab.backends.embedded import Embedded

from .runtime import Containers, cluster, pod

pytestmark = pytest.mark.needs("dockerd", "kubectl", "busybox")

SERVE = "mkdir /www; hostname > /www/index.html; httpd -p 8080 -h /www; exec httpd -f -p 9090 -h /www"


@pytest.fixture(scope="module")
def shop(dockerd: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containers]:
    """``ledger`` behind a Service, ``web`` and ``other`` as its callers, on two nodes."""
    with cluster(dockerd, tmp_path_factory.mktemp("policy") / "home") as found:
        if found.config.no_firewall.exists():
            pytest.skip(f"this kernel has no nftables: {found.config.no_firewall.read_text()}")
        ports = {"ports": [{"name": "http", "containerPort": 8080}]}
        service = {"selector": {"app": "ledger"}, "ports": [{"port": 80, "targetPort": "http"}]}
        found.apply(
            pod("ledger", SERVE, container=ports, nodeName="node-1"),
            pod("web", SERVE, nodeName="node-2"),
            pod("other", SERVE, nodeName="node-1"),
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "ledger"}, "spec": service},
        )
        found.ready("ledger", "web", "other")
        yield found


@pytest.fixture(autouse=True)
def no_policies_afterwards(shop: Containers) -> Iterator[None]:
    yield
    shop.kubectl("delete", "networkpolicy", "--all")
    shop.until(lambda: not any(shop.config.policies.iterdir()))


def allow(shop: Containers, name: str, **spec: Any) -> None:
    """Applied, and the tables that it makes are written."""
    before = sorted((path.name, path.read_text()) for path in shop.config.policies.iterdir())
    kind = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name}}
    shop.apply({**kind, "spec": {"podSelector": {"matchLabels": {"app": name}}, **spec}})
    shop.until(lambda: sorted((path.name, path.read_text()) for path in shop.config.policies.iterdir()) != before)


def asked(shop: Containers, caller: str, address: str) -> str:
    """What ``caller`` gets from ``address``: the page, or ``timed out`` (what a firewall drops is not answered)."""
    command = f"wget -T 2 -qO- http://{address} 2>&1 || true"
    said = shop.kubectl("exec", caller, "--", "sh", "-c", command).strip()
    return "timed out" if "timed out" in said or "Alarm clock" in said else said  # busybox has both words for it


def ip(shop: Containers, name: str) -> str:
    return str(shop.get("pod", name)["status"]["podIP"])


def test_without_policies_everybody_is_answered(shop: Containers) -> None:
    with at_home(shop.home):
        assert "networkpolicy" in Embedded("default").features()
    assert asked(shop, "other", f"{ip(shop, 'ledger')}:8080") == asked(shop, "web", "ledger") == "ledger"


def test_a_policy_lets_in_whom_it_names_at_the_ports_it_names_directly_and_by_the_service(shop: Containers) -> None:
    source = [{"podSelector": {"matchLabels": {"app": "web"}}}]
    allow(shop, "ledger", ingress=[{"from": source, "ports": [{"port": "http"}]}])
    ledger = ip(shop, "ledger")
    shop.until(lambda: asked(shop, "other", f"{ledger}:8080") == "timed out")
    assert asked(shop, "other", "ledger") == "timed out"
    assert asked(shop, "web", f"{ledger}:8080") == asked(shop, "web", "ledger") == "ledger"
    assert asked(shop, "web", f"{ledger}:9090") == "timed out"
    assert asked(shop, "other", f"{ip(shop, 'web')}:8080") == "web"  # nobody limits the way there
    assert shop.http(ledger, 8080).startswith("200")  # this machine is the node: it always passes


def test_what_a_limited_pod_is_asked_it_still_answers_and_its_own_localhost_is_its_own(shop: Containers) -> None:
    allow(shop, "web", policyTypes=["Egress"])
    ledger, web = ip(shop, "ledger"), ip(shop, "web")
    shop.until(lambda: asked(shop, "web", f"{ledger}:8080") == "timed out")
    assert asked(shop, "web", "127.0.0.1:8080") == asked(shop, "web", f"{web}:8080") == "web"
    assert asked(shop, "other", f"{web}:8080") == "web"
    assert "bad address" in asked(shop, "web", "ledger")  # not even DNS


def test_egress_opens_a_service_and_the_clusters_dns_and_nothing_else(shop: Containers) -> None:
    dns = {"namespaceSelector": {}, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}
    ledger = [{"podSelector": {"matchLabels": {"app": "ledger"}}}]
    rules = [
        {"to": ledger, "ports": [{"port": 8080}]},
        {"to": [dns], "ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]},
    ]
    allow(shop, "web", policyTypes=["Egress"], egress=rules)
    shop.until(lambda: asked(shop, "web", f"{ip(shop, 'other')}:8080") == "timed out")
    assert asked(shop, "web", "ledger") == "ledger"


def test_a_connection_that_stands_when_a_policy_comes_goes_on(shop: Containers) -> None:
    web = ip(shop, "web")
    words = "for word in a b; do echo $word; while [ ! -e /tmp/$word ]; do sleep 0.1; done; done"
    shop.apply(pod("echo", "exec nc -ll -p 7000 -e cat", nodeName="node-2"))
    shop.ready("echo")
    shop.apply(pod("talker", f"({words}) | nc {ip(shop, 'echo')} 7000 > /tmp/got; sleep 1000", nodeName="node-1"))
    shop.ready("talker")
    got = ("exec", "talker", "--", "cat", "/tmp/got")
    shop.until(lambda: shop.kubectl(*got) == "a\n")
    allow(shop, "echo", ingress=[])
    allow(shop, "talker", policyTypes=["Egress"])
    shop.until(lambda: asked(shop, "talker", f"{web}:8080") == "timed out")
    assert "rc=0" not in shop.kubectl(
        "exec", "other", "--", "sh", "-c", f"nc -w 2 {ip(shop, 'echo')} 7000 </dev/null; echo rc=$?"
    )
    shop.kubectl("exec", "talker", "--", "touch", "/tmp/a")
    shop.until(lambda: shop.kubectl(*got) == "a\nb\n")
    shop.kubectl("delete", "pod", "talker", "echo", "--now")
