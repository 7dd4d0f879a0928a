"""What of the kind backend can be tried on a real engine without a node image: its registry, its gateway's image, its failures of nodes."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from halab.backends import gateway_image, kind_registry, kind_relay, kind_run
from halab.backends.kind_controls import KindControls
from halab.backends.kind_run import CLUSTER_LABEL, ROLE_LABEL
from halab.course.requests import fetch
from halab.errors import ClusterError, HalabError
from halab.images import api
from halab.images.embedded import EmbeddedEngine

from .dockerd import docker

pytestmark = pytest.mark.needs("dockerd", "busybox")


@pytest.fixture
def engine(dockerd: str, halab_home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    monkeypatch.setenv("DOCKER_HOST", dockerd)
    EmbeddedEngine(halab_home).save(["busybox:1.36"], tmp_path / "busybox.tar")
    docker(dockerd, "load", "-i", str(tmp_path / "busybox.tar"))
    docker(dockerd, "network", "create", "kind")
    yield dockerd
    docker(dockerd, "network", "rm", "kind")


def state(host: str, name: str) -> str:
    return docker(host, "inspect", "--format", "{{.State.Status}}", name).strip()


def test_the_registry_takes_and_gives_images_and_goes_without_a_trace(engine: str) -> None:
    kind_registry.ensure("halab-k", 5971, lambda _text: None)
    try:
        kind_registry.ensure("halab-k", 5971, lambda _text: None)  # a second time only looks
        name = "localhost:5971/tools/busybox:1"
        docker(engine, "tag", "busybox:1.36", name)
        docker(engine, "push", name)
        docker(engine, "rmi", name)
        assert "Downloaded newer image" in docker(engine, "pull", name)
        docker(engine, "rmi", name)
    finally:
        kind_registry.remove("halab-k")
    assert docker(engine, "ps", "-aq", "--filter", "name=halab-k-registry") == ""


def test_a_strangers_registry_is_left_alone(engine: str) -> None:
    docker(engine, "run", "-d", "--network", "none", "--name", "halab-s-registry", "busybox:1.36", "sleep", "1000")
    with pytest.raises(ClusterError, match="halab did not make it"):
        kind_registry.ensure("halab-s", 5972, lambda _text: None)
    with pytest.raises(ClusterError, match="halab did not make it"):
        kind_registry.remove("halab-s")
    assert state(engine, "halab-s-registry") == "running"
    docker(engine, "rm", "-f", "halab-s-registry")


def test_the_gateways_image_runs_on_a_real_engine(engine: str, tmp_path: Path) -> None:
    archive = gateway_image.build(tmp_path, lambda _text: None)
    assert api.engine("docker").load(archive) == [gateway_image.REFERENCE]
    run = ("run", "--rm", "--network", "none", gateway_image.REFERENCE)
    assert "whole" in docker(engine, *run, "python3", "-c", f"import {gateway_image.ENTRY}; print('whole')")
    assert "envoy" in docker(engine, *run, "envoy", "--version")


def test_nodes_are_stopped_paused_and_killed_by_their_clusters_label_alone(engine: str, tmp_path: Path) -> None:
    for name, cluster in (("k-worker", "halab-k"), ("k-worker2", "halab-k"), ("other-worker", "other")):
        labels = ("--label", f"{CLUSTER_LABEL}={cluster}", "--label", f"{ROLE_LABEL}=worker")
        docker(engine, "run", "-d", "--network", "kind", "--name", name, *labels, "busybox:1.36", "sleep", "1000")
    controls = KindControls(partial(kind_run.nodes, "halab-k"), tmp_path)
    for action, wanted in (
        ("pause", "paused"),
        ("resume", "running"),
        ("kill", "exited"),
        ("start", "running"),
        ("stop", "exited"),
    ):
        controls.component("node/k-worker", action)
        assert state(engine, "k-worker") == wanted
        assert state(engine, "k-worker2") == state(engine, "other-worker") == "running"
    with pytest.raises(HalabError):
        controls.component("node/other-worker", "stop")
    assert state(engine, "other-worker") == "running"
    docker(engine, "rm", "-f", "k-worker", "k-worker2", "other-worker")


def test_a_pod_is_reached_by_way_of_its_node(engine: str) -> None:
    serve = "mkdir /www; echo here > /www/index.html; exec httpd -f -p 8080 -h /www"
    for name, command in (("relay-node", "sleep 1000"), ("relay-pod", serve)):
        docker(engine, "run", "-d", "--network", "kind", "--name", name, "busybox:1.36", "sh", "-c", command)
    identity, address = (
        docker(engine, "inspect", "--format", form, name).strip()
        for form, name in (("{{.Id}}", "relay-node"), ("{{.NetworkSettings.Networks.kind.IPAddress}}", "relay-pod"))
    )
    node = kind_run.NodeContainer(identity, "relay-node", "running", "worker")
    for _ in range(2):  # the second time the program is there
        answer = fetch(kind_relay.open_to(node, address, 8080))
        assert (answer.status, answer.body) == (200, "here\n")
    docker(engine, "rm", "-f", "relay-node", "relay-pod")


def test_containerd_takes_our_archives_and_finds_the_registry_by_what_nodes_are_told(
    engine: str, halab_home: Path, tmp_path: Path
) -> None:
    """What kind does in a node, by the engine's own containerd: ``ctr images import`` as ``kind load`` calls it, a pull through hosts.toml."""
    socket = Path(engine.removeprefix("unix://")).parent / "exec" / "containerd" / "containerd.sock"
    if not socket.exists():
        pytest.skip("this engine has a containerd of its own elsewhere")

    def ctr(*words: str) -> str:
        done = subprocess.run(["ctr", "-a", str(socket), "-n", "k8s.io", *words], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    kubelet_s = "docker.io/library/busybox:1.36"  # what a kubelet looks for when a pod names busybox:1.36
    ctr("images", "import", "--all-platforms", "--digests", "--snapshotter=overlayfs", str(tmp_path / "busybox.tar"))
    assert kubelet_s in ctr("images", "ls", "-q").splitlines()
    kind_registry.ensure("halab-k", 5973, lambda _text: None)
    try:
        docker(engine, "tag", "busybox:1.36", "localhost:5973/tools/busybox:1")
        docker(engine, "push", "localhost:5973/tools/busybox:1")
        place = docker(engine, "inspect", "--format", "{{.NetworkSettings.Networks.kind.IPAddress}}", "halab-k-registry").strip()
        folder = tmp_path / "certs.d" / "localhost:9"  # nobody listens there: only hosts.toml leads anywhere
        folder.mkdir(parents=True)
        (folder / "hosts.toml").write_text(kind_registry.hosts("halab-k").replace("halab-k-registry", place))
        pulled = "localhost:9/tools/busybox:1"
        ctr("images", "pull", "--hosts-dir", str(tmp_path / "certs.d"), "--snapshotter=overlayfs", pulled)
        assert pulled in ctr("images", "ls", "-q").splitlines()
    finally:
        kind_registry.remove("halab-k")
        ctr("images", "rm", *ctr("images", "ls", "-q").split())
