"""The real kind on a real engine, as far as it goes without a node image: what fails is explained, and nothing is left behind."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from halab.backends import choice, kind_run, preflight
from halab.backends.kind import Kind
from halab.errors import HalabError
from halab.images.api import Request
from halab.images.embedded import EmbeddedEngine

from .dockerd import docker

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.needs("dockerd", "kind", "busybox")


@pytest.fixture
def engine(dockerd: str, halab_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("DOCKER_HOST", dockerd)
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}{os.pathsep}{ROOT / '.tools/kind/usr/bin'}")
    monkeypatch.setattr(Kind, "_preflight", lambda self: None)  # it may refuse this machine; here kind is to find out by itself
    yield dockerd
    assert kind_run.nodes("halab-k") == [] and choice.read("k") is None


def test_kind_itself_accepts_the_configuration_and_a_missing_image_is_explained(engine: str) -> None:
    said: list[str] = []
    with pytest.raises(HalabError, match=r"an image cannot be pulled|fully subnetted|does not allow"):
        Kind("k", {"image": "127.0.0.1:1/kindest/node:v1.34.0"}).up(said.append)
    assert any("ensuring node image" in text for text in said)


def test_nodes_that_cannot_start_are_removed(engine: str, halab_home: Path, tmp_path: Path) -> None:
    EmbeddedEngine(halab_home).save(["busybox:1.36"], tmp_path / "busybox.tar")
    docker(engine, "load", "-i", str(tmp_path / "busybox.tar"))
    docker(engine, "tag", "busybox:1.36", "kindest/node:v1.34.99")
    with pytest.raises(HalabError) as raised:
        Kind("k", {"image": "kindest/node:v1.34.99"}).up(lambda _text: None)
    assert raised.value.remedy
    assert "kind" not in docker(engine, "network", "ls", "--format", "{{.Name}}").split()


# As little of a node as kind needs to come as far as kubeadm.
NODE = {
    "boot": "echo Reached target Multi-User System.; exec sleep 1000",
    "kubeadm": "echo '[kubelet-check] The kubelet is not running' >&2; exit 1",
    **dict.fromkeys(("bash", "systemctl", "containerd", "crictl", "ctr"), "exit 0"),
}
# No container needs to be privileged for that, and not every machine allows it.
DOCKER = """#!/bin/bash
words=()
for word in "$@"; do [ "$word" = --privileged ] || words+=("$word"); done
exec {docker} "${{words[@]}}"
"""


@pytest.fixture
def node_image(engine: str, halab_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A node image whose control plane does not come up, and a ``docker`` that makes its nodes ordinary containers."""
    context, programs = tmp_path / "node", tmp_path / "programs"
    for folder in (context, programs):
        folder.mkdir()
    for name, text in NODE.items():
        (context / name).write_text(f"#!/bin/sh\n{text}\n")
        (context / name).chmod(0o755)
    (context / "config.toml").write_text("version = 2\n")
    (context / "version").write_text("v1.34.98\n")
    lines = ("FROM busybox:1.36", f"COPY {' '.join(NODE)} /usr/bin/", "COPY config.toml /etc/containerd/", "COPY version /kind/")
    (context / "Dockerfile").write_text("\n".join((*lines, 'ENTRYPOINT ["/usr/bin/boot"]\n')))
    name = "kindest/node:v1.34.98"
    own = EmbeddedEngine(halab_home)
    own.build(Request(context, tags=(name,)), lambda _event: None)
    own.save([name], tmp_path / "node.tar")
    docker(engine, "load", "-i", str(tmp_path / "node.tar"))
    (programs / "docker").write_text(DOCKER.format(docker=shutil.which("docker")))
    (programs / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    return name


def test_kind_makes_all_nodes_and_a_control_plane_that_fails_is_explained_and_leaves_nothing(
    engine: str, node_image: str
) -> None:
    said: list[str] = []
    volumes = docker(engine, "volume", "ls", "-q")
    with pytest.raises(HalabError, match=r"control plane did not come up in time .*kubelet is not running"):
        Kind("k", {"image": node_image}).up(said.append)
    assert "kind: starting control-plane" in said
    assert docker(engine, "volume", "ls", "-q") == volumes
    assert "kind" not in docker(engine, "network", "ls", "--format", "{{.Name}}").split()


def test_the_preflight_speaks_of_this_engine(engine: str) -> None:
    subjects = {finding.subject for finding in preflight.kind_findings()}
    assert {"docker", "kind", "cgroup"} <= subjects
    version = subprocess.run(["kind", "version"], capture_output=True, text=True).stdout
    found = preflight.kind_version()
    assert found is not None and f"v{found[0]}.{found[1]}" in version
