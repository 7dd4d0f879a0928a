"""The registry beside a kind cluster: which commands are given, against recorded answers of docker, kind and kubectl."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from halab.backends import kind_registry, kind_run, kubectl
from halab.errors import ClusterError, HalabError

NODES = [
    ("c1", "halab-k-control-plane", "control-plane"),
    ("w1", "halab-k-worker", "worker"),
    ("lb", "halab-k-lb", "external-load-balancer"),
]


@dataclass
class Programs:
    """A ``docker`` that writes down what it is told, and answers from ``answers``: the first words of a command -> (status, output)."""

    folder: Path
    answers: dict[str, tuple[int, str]] = field(default_factory=dict)

    def install(self) -> None:
        rows = "".join(
            f"  '{words}'*) printf '%s' {shlex.quote(text)}; exit {status};;\n" for words, (status, text) in self.answers.items()
        )
        script = f"""#!/bin/sh
input=
case "$*" in *" -i "*) input=" < $(cat)";; esac
echo "$*$input" >> {self.folder}/said
case "$*" in
{rows}esac
"""
        (self.folder / "docker").write_text(script)
        (self.folder / "docker").chmod(0o755)

    def said(self) -> list[str]:
        return (self.folder / "said").read_text().splitlines()


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Programs]:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(kind_registry, "_provide_image", lambda report: None)
    monkeypatch.setattr(kind_registry, "answers", lambda port: True)
    yield Programs(tmp_path)


def test_a_registry_is_published_on_loopback_alone_labelled_and_in_kinds_network(programs: Programs) -> None:
    programs.install()
    kind_registry.ensure("halab-k", 5001, lambda _text: None)
    _, run = programs.said()
    assert run == (
        "run -d --restart unless-stopped --name halab-k-registry --label io.halab.kind=halab-k --network kind "
        "-p 127.0.0.1:5001:5000 halab-registry:1"
    )


def test_one_that_is_there_is_only_started(programs: Programs) -> None:
    programs.answers["ps -a"] = (0, "halab-k")
    programs.install()
    kind_registry.ensure("halab-k", 5001, lambda _text: None)
    assert programs.said()[-1] == "start halab-k-registry" and len(programs.said()) == 2


def test_a_strangers_container_of_that_name_is_neither_used_nor_removed(programs: Programs) -> None:
    programs.answers["ps -a"] = (0, "another")
    programs.install()
    for act in (lambda: kind_registry.ensure("halab-k", 5001, lambda _text: None), lambda: kind_registry.remove("halab-k")):
        with pytest.raises(ClusterError, match="halab did not make it"):
            act()
    assert all(line.startswith("ps -a") for line in programs.said())


def test_a_port_that_is_taken_is_explained_and_nothing_is_left(programs: Programs) -> None:
    programs.answers["run -d"] = (125, "Bind for 127.0.0.1:5001 failed: port is already allocated")
    programs.install()
    with pytest.raises(HalabError, match="port of this machine is taken"):
        kind_registry.ensure("halab-k", 5001, lambda _text: None)
    assert programs.said()[-1].startswith("ps -a")  # looked for something to remove; there was nothing


def test_every_node_and_every_tool_is_told(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    applied: list[str] = []
    monkeypatch.setattr(kubectl, "apply", lambda kubeconfig, text: applied.append(text))
    rows = [
        {"ID": identity, "Names": name, "State": "running", "Labels": f"io.x-k8s.kind.cluster=halab-k,io.x-k8s.kind.role={role}"}
        for identity, name, role in NODES
    ]
    programs.answers["ps -a"] = (0, "\n".join(map(json.dumps, rows)))
    programs.install()
    kind_registry.introduce("halab-k", kind_run.nodes("halab-k"), 5001, programs.folder / "kubeconfig")
    directory = "/etc/containerd/certs.d/localhost:5001"
    wanted = '[host."http://halab-k-registry:5000"]'
    assert [line for line in programs.said() if line.startswith("exec")] == [
        line
        for node in ("c1", "w1")
        for line in (f"exec {node} mkdir -p {directory}", f"exec -i {node} cp /dev/stdin {directory}/hosts.toml < {wanted}")
    ]
    found = yaml.safe_load(applied[0])
    assert (found["metadata"]["namespace"], found["metadata"]["name"]) == ("kube-public", "local-registry-hosting")
    assert yaml.safe_load(found["data"]["localRegistryHosting.v1"])["host"] == "localhost:5001"
