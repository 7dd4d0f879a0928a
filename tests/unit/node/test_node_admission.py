"""What the agent refuses to run, and what it ends for filling the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from halab.cluster.node.admission import refusal, requests
from halab.cluster.node.hostports import wanted
from halab.cluster.node.storage import excess, limited

NODE = {"cpu": "2", "memory": "1Gi", "ephemeral-storage": "10Gi", "pods": "3"}


HDD = {"metadata": {"name": "node-1", "labels": {"disk": "hdd"}}}


def container(name: str = "main", **requested: str) -> dict[str, Any]:
    return {"name": name, "resources": {"requests": requested}}


def pod(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "spec": {"containers": list(containers) or [container()], **spec}}


def test_a_pod_asks_for_its_largest_moment() -> None:
    side = {**container("side", cpu="100m"), "restartPolicy": "Always"}
    of = pod(container(cpu="500m"), initContainers=[side, container("init", cpu="1")])
    assert requests(of)["cpu"] * 1000 == 1100
    of["spec"]["initContainers"][1]["resources"]["requests"]["cpu"] = "200m"
    assert requests(of)["cpu"] * 1000 == 600


def test_a_pod_that_fits_is_taken() -> None:
    assert refusal(pod(container(cpu="1500m")), [pod(container(cpu="500m"))], NODE, HDD) is None


@pytest.mark.parametrize(
    ("of", "others", "expected"),
    [
        (
            pod(container(cpu="1600m")),
            [pod(container(cpu="500m"))],
            (
                "OutOfcpu",
                "Pod was rejected: Node didn't have enough resource: cpu, requested: 1600, used: 500, capacity: 2000",
            ),
        ),
        (
            pod(container(memory="2Gi")),
            [],
            (
                "OutOfmemory",
                "Pod was rejected: Node didn't have enough resource: memory, requested: 2147483648, used: 0, capacity: 1073741824",
            ),
        ),
        (
            pod(),
            [pod(), pod(), pod()],
            ("OutOfpods", "Pod was rejected: Node didn't have enough resource: pods, requested: 1, used: 3, capacity: 3"),
        ),
        (
            pod(nodeSelector={"disk": "ssd"}),
            [],
            (
                "NodeAffinity",
                "Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
            ),
        ),
    ],
)
def test_a_pod_that_does_not_fit_is_refused_with_numbers(
    of: dict[str, Any], others: list[Any], expected: tuple[str, str]
) -> None:
    assert refusal(of, others, NODE, HDD) == expected


def _refused(of: dict[str, Any], *others: Any, **node_spec: Any) -> str:
    found = refusal(of, others, NODE, HDD | {"spec": node_spec})
    return "" if found is None else f"{found[0]}: {found[1].removeprefix('Pod was rejected: ')}"


def test_a_pod_that_names_its_node_must_fit_its_affinity_ports_and_taints() -> None:
    term = {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    assert _refused(pod(affinity={"nodeAffinity": required})) == (
        "NodeAffinity: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"
    )
    port = pod(container() | {"ports": [{"containerPort": 80, "hostPort": 8080}]})
    assert _refused(port, port) == (
        "NodePorts: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"
    )
    assert _refused(port) == ""
    taint = {"key": "k", "effect": "NoExecute"}
    assert _refused(pod(), taints=[taint]) == (
        "TaintToleration: Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate"
    )
    assert _refused(pod(), taints=[taint | {"effect": "NoSchedule"}]) == ""


def test_a_pod_for_another_operating_system_is_refused() -> None:
    assert _refused(pod(os={"name": "windows"})) == (
        "PodOSNotSupported: Failed to admit pod as the OS field doesn't match node OS"
    )
    assert _refused(pod(nodeSelector={"kubernetes.io/os": "windows"})).startswith("PodOSSelectorNodeLabelDoesNotMatch: ")


def test_a_volume_beyond_its_limit_is_named(tmp_path: Path) -> None:
    of = pod(volumes=[{"name": "w", "emptyDir": {"sizeLimit": "1Mi"}}])
    assert limited(of)
    volume = tmp_path / "w"
    volume.mkdir()
    assert excess(of, {"w": volume}, tmp_path / "logs") is None
    (volume / "f").write_bytes(b"x" * (2 << 20))
    assert excess(of, {"w": volume}, tmp_path / "logs") == 'Usage of EmptyDir volume "w" exceeds the limit "1Mi". '


def test_host_ports_are_taken_from_the_containers_but_not_on_the_hosts_network() -> None:
    ports = [
        {"containerPort": 80, "hostPort": 8080},
        {"containerPort": 53, "hostPort": 53, "protocol": "UDP"},
        {"containerPort": 1},
    ]
    of = pod({"name": "main", "ports": ports})
    assert list(wanted(of)) == [("TCP", "", 8080, 80), ("UDP", "", 53, 53)]
    of["spec"]["hostNetwork"] = True
    assert list(wanted(of)) == []


@pytest.mark.parametrize(
    ("name", "host", "problem"),
    [
        ("kernel.msgmax", False, 'forbidden sysctl: "kernel.msgmax" not allowlisted'),
        ("net.ipv4.tcp_syncookies", True, 'forbidden sysctl: "net.ipv4.tcp_syncookies" not allowed with host net enabled'),
        ("net.ipv4.tcp_syncookies", False, ""),
    ],
)
def test_only_safe_kernel_parameters_may_be_set(name: str, host: bool, problem: str) -> None:
    of = pod(securityContext={"sysctls": [{"name": name, "value": "1"}]}, hostNetwork=host)
    assert _refused(of) == (problem and f"SysctlForbidden: {problem}")
