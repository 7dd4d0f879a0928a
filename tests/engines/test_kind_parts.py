"""What of the kind backend can be tried on a real engine without a node image: its registry, its gateway's image, its failures of nodes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from halab.backends import gateway_image, kind_registry, kind_run
from halab.backends.kind_controls import KindControls
from halab.backends.kind_run import CLUSTER_LABEL, ROLE_LABEL
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
        until_pushed(engine, name)
        docker(engine, "rmi", name)
        assert "Downloaded newer image" in docker(engine, "pull", name)
        docker(engine, "rmi", name)
    finally:
        kind_registry.remove("halab-k")
    assert docker(engine, "ps", "-aq", "--filter", "name=halab-k-registry") == ""


def until_pushed(host: str, name: str) -> None:
    """The registry's program may not listen yet when its container runs."""
    for last in (False,) * 50 + (True,):
        try:
            docker(host, "push", name)
            return
        except AssertionError:
            if last:
                raise


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
