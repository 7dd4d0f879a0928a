"""The agent's words where Kubernetes has words of its own."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from halab.cluster.node import checks, hooks
from halab.cluster.node.checks import Outcome, Target, http_call
from halab.cluster.node.environment import build
from halab.cluster.node.hosts import hostname_of, hostname_problem, hosts_file, resolver_problems
from halab.cluster.node.projection import Context, VolumeError, files_of
from halab.cluster.node.pulling import format_problem
from halab.cluster.node.volumes import Volumes

TARGET = Target("127.1.1.2", 0)
POD: dict[str, Any] = {"metadata": {"name": "p", "namespace": "ns", "uid": "u"}, "spec": {"containers": [{"name": "main"}]}}


class Nothing:
    """A cluster that has one ConfigMap, ``there``."""

    async def config_map(self, namespace: str, name: str) -> dict[str, Any] | None:
        return {"data": {"1a": "x"}} if name == "there" else None

    async def secret(self, namespace: str, name: str) -> dict[str, Any] | None:
        return None

    async def token(self, pod: dict[str, Any], audience: str, seconds: int) -> tuple[str, float]:
        return "", 0.0


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("BusyBox", "invalid reference format: repository name (library/BusyBox) must be lowercase"),
        ("UPPER/Case:1", "invalid reference format: repository name (Case) must be lowercase"),
        ("quay.io/a/B", "invalid reference format: repository name (a/B) must be lowercase"),
        ("a b", "invalid reference format"),
    ],
)
def test_a_name_that_is_no_image(name: str, problem: str) -> None:
    assert format_problem(name) == problem


def _hook(handler: dict[str, Any]) -> str:
    with pytest.raises(hooks.HookFailed) as caught:
        asyncio.run(hooks.run(handler, {"name": "main"}, cast(Any, None), TARGET, "p_ns(u)"))
    return str(caught.value)


def test_a_hook_that_fails_says_what_it_ran_and_what_came_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run_command(*_: object) -> tuple[int, str]:
        return 3, "hi\n"

    monkeypatch.setattr(checks, "run_command", run_command)
    assert _hook({"exec": {"command": ["sh", "-c", "exit 3"]}}) == (
        'Exec lifecycle hook ([sh -c exit 3]) for Container "main" in Pod "p_ns(u)" failed - error: '
        "command 'sh -c exit 3' exited with 3: , message: \"hi\\n\""
    )


def test_a_hook_by_http_fails_only_without_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = [Outcome("failure", "HTTP probe failed with statuscode: 404"), Outcome("failure", 'Get "http://x/": EOF')]

    async def http(*_: object) -> Outcome:
        return outcomes.pop(0)

    monkeypatch.setattr(checks, "http", http)
    handler = {"httpGet": {"path": "/x", "port": 80}}
    asyncio.run(hooks.run(handler, {"name": "main"}, cast(Any, None), TARGET, "p_ns(u)"))
    assert _hook(handler) == (
        'HTTP lifecycle hook (/x) for Container "main" in Pod "p_ns(u)" failed - error: Get "http://x/": EOF'
    )


def test_the_full_name_is_the_host_name_where_the_pod_asks_for_it() -> None:
    of = POD | {"spec": {"hostname": "h", "subdomain": "s", "setHostnameAsFQDN": True}}
    assert hostname_of(of, "node") == "h.s.ns.svc.cluster.local"
    assert "127.1.1.2\th.s.ns.svc.cluster.local\th\n" in hosts_file(of, "127.1.1.2", "node")
    assert hostname_problem(of) == ""
    of["spec"]["hostname"] = "h" * 60
    assert hostname_problem(of).endswith("is too long (64 characters is the max, 83 characters requested)")


def test_the_hosts_file_tells_that_the_network_is_the_hosts() -> None:
    of = POD | {"spec": {"hostNetwork": True}}
    assert hosts_file(of, "127.1.0.1", "node").startswith("# Kubernetes-managed hosts file (host network).\n")


def _files(volume: dict[str, Any]) -> str:
    with pytest.raises(VolumeError) as caught:
        asyncio.run(files_of(Context(POD, "", "", {}), Nothing(), volume))
    return str(caught.value)


def test_volumes_name_what_they_lack() -> None:
    picked = {"name": "there", "items": [{"key": "zz", "path": "zz"}]}
    assert _files({"configMap": picked}) == "configmap references non-existent config key: zz"
    sources = [{"configMap": {"name": "c"}}, {"secret": {"name": "s"}}]
    assert _files({"projected": {"sources": sources}}) == '[configmap "c" not found, secret "s" not found]'
    assert _files({"projected": {"sources": sources[1:]}}) == 'secret "s" not found'


def test_every_key_becomes_a_variable() -> None:
    container = {"name": "main", "envFrom": [{"prefix": "x y-", "configMapRef": {"name": "there"}}]}
    found = asyncio.run(build(POD, container, Nothing(), [], address="", host_address="", allocatable={}))
    assert found == {"x y-1a": "x"}


def test_a_variable_may_tell_another_containers_limit_of_what_a_path_needs_there_must_be_one(tmp_path: Path) -> None:
    other = {"name": "other", "resources": {"limits": {"cpu": "2"}}}
    source = {"resourceFieldRef": {"containerName": "other", "resource": "limits.cpu"}}
    container = {"name": "main", "env": [{"name": "CPUS", "valueFrom": source}]}
    of = POD | {"spec": {"containers": [container, other]}}
    found = asyncio.run(build(of, container, Nothing(), [], address="", host_address="", allocatable={}))
    assert found == {"CPUS": "2"}
    volumes = Volumes(of | {"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}}, tmp_path, cast(Any, None), Nothing())
    volumes.paths["v"] = tmp_path
    mount = {"name": "v", "mountPath": "/v", "subPathExpr": "$(CPUS)/$(NOPE)"}
    with pytest.raises(VolumeError, match=r"^missing value for NOPE$"):
        volumes.mounts({"volumeMounts": [mount]}, found)
    with pytest.raises(VolumeError, match=r"^missing value for CPUS, NOPE$"):
        volumes.mounts({"volumeMounts": [mount]}, {"CPUS": ""})
    for path, problem in (
        ("/abs", "error SubPath `/abs` must not be an absolute path"),
        ("a/../..", "unable to provision SubPath `a/../..`: must not contain '..'"),
    ):
        with pytest.raises(VolumeError) as told:
            volumes.mounts({"volumeMounts": [mount | {"subPathExpr": "$(CPUS)"}]}, {"CPUS": path})
        assert str(told.value) == problem
    mount["subPathExpr"] = "$(CPUS)"
    assert volumes.mounts({"volumeMounts": [mount]}, found)[0].source == tmp_path / "2"


def test_a_request_says_whether_it_is_a_probes_or_a_hooks() -> None:
    assert http_call({"port": 80}, {}, "10.0.0.1").agent == "kube-probe/1.34"
    assert http_call({"port": 80}, {}, "10.0.0.1", "lifecycle").agent == "kube-lifecycle/1.34"


def test_what_a_resolver_does_not_take_is_told() -> None:
    many = [f"10.0.0.{number}" for number in range(1, 4)]
    of = POD | {"spec": {"dnsConfig": {"nameservers": many, "searches": [f"d{number}" for number in range(30)]}}}
    search, servers = resolver_problems(of, "10.96.0.10")
    assert servers == (
        "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: "
        "10.96.0.10 10.0.0.1 10.0.0.2"
    )
    assert search.startswith("Search Line limits were exceeded, ") and search.endswith(" d28")
    assert resolver_problems(POD | {"spec": {}}, "10.96.0.10") == []
