"""kind's backend from ``up`` to ``down``, on an API that answers: the kind and docker programs are stand-ins that write down how they were
called. What the real ones do where they can go is tested in tests/engines/test_kind.py."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from halab.backends import choice, gateway, preflight
from halab.backends.kind import Kind
from halab.errors import ClusterError, HalabError, MachineError

from .conftest import Somebodys

pytestmark = pytest.mark.needs("kubectl")
KIND = """#!/bin/sh
echo "kind $*" >> "$HALAB_CALLS"
case "$1 $2" in
"version ") echo "kind v0.33.0 go1.27 linux/amd64" ;;
"create cluster")
  [ ! -f "$HALAB_STATE/refuse" ] || { echo "ERROR: failed to create cluster: $(cat "$HALAB_STATE/refuse")"; touch "$HALAB_STATE/nodes"; exit 1; }
  echo " • Preparing nodes 📦  ..."
  cp "$HALAB_ADMIN" "$8"; touch "$HALAB_STATE/nodes" ;;
"delete cluster") rm -f "$HALAB_STATE/nodes" ;;
esac
"""
DOCKER = """#!/bin/sh
echo "docker $*" >> "$HALAB_CALLS"
[ "$1 $2" != "ps -a" ] || [ ! -f "$HALAB_STATE/nodes" ] || cat "$HALAB_STATE/ps"
"""


@pytest.fixture
def programs(somebodys: Somebodys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in (("kind", KIND), ("docker", DOCKER)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("HALAB_CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("HALAB_STATE", str(tmp_path))
    monkeypatch.setenv("HALAB_ADMIN", str(somebodys.admin))
    labels = "io.x-k8s.kind.cluster=halab-k,io.x-k8s.kind.role="
    rows = [("c1", "node-1", "control-plane"), ("c2", "node-2", "worker")]
    (tmp_path / "ps").write_text(
        "".join(json.dumps({"ID": i, "Names": n, "State": "running", "Labels": labels + r}) + "\n" for i, n, r in rows)
    )
    monkeypatch.setattr(preflight, "kind_findings", list)
    monkeypatch.setattr(gateway, "install_metrics", lambda kubeconfig, report: None)
    yield tmp_path
    choice.forget("k")


def calls(programs: Path) -> list[str]:
    return (programs / "calls").read_text().splitlines()


def up(**options: object) -> tuple[Kind, list[str]]:
    said: list[str] = []
    cluster = Kind("k", {"gateway": False, **options})
    cluster.up(said.append)
    return cluster, said


def test_up_creates_once_and_the_second_time_only_looks(programs: Path) -> None:
    cluster, said = up()
    assert "kind: preparing nodes" in said and cluster.summary().state == "running"
    (created,) = [call for call in calls(programs) if call.startswith("kind create")]
    assert "--name halab-k" in created and f"--kubeconfig {cluster.folder}/kubeconfig" in created
    assert "extraPortMappings" in (cluster.folder / "kind.yaml").read_text()
    up()
    assert len([call for call in calls(programs) if call.startswith("kind create")]) == 1
    host, port = cluster.ingress()
    assert host == "127.0.0.1" and port >= 8080


def test_a_failed_creation_is_explained_and_removed(programs: Path) -> None:
    (programs / "refuse").write_text('failed to pull image "kindest/node:v1.34.11"')
    with pytest.raises(MachineError, match=r"cannot be pulled.*HALAB_KIND_IMAGE"):
        up()
    assert any(call.startswith("kind delete cluster --name halab-k") for call in calls(programs))
    assert choice.read("k") is None


def test_somebody_s_cluster_of_that_name_is_not_touched(programs: Path) -> None:
    (programs / "nodes").touch()
    with pytest.raises(ClusterError, match="halab did not make it"):
        up()
    assert all(call.startswith("docker ps ") for call in calls(programs))


def test_stopped_and_paused_nodes_are_woken(programs: Path) -> None:
    up()
    file = programs / "ps"
    file.write_text(file.read_text().replace('"running"', '"paused"', 1).replace('"running"', '"exited"', 1))
    up()
    assert "docker unpause c1" in calls(programs) and "docker start c2" in calls(programs)


def test_down_stops_and_purge_removes(programs: Path) -> None:
    cluster, _ = up()
    assert cluster.down(purge=False) and "docker stop --time 5 c1 c2" in calls(programs)
    assert Kind("k").down(purge=True) and not (programs / "nodes").exists() and choice.read("k") is None
    assert "docker network rm kind" in calls(programs)


def test_failures_name_only_containers_of_this_cluster(programs: Path) -> None:
    cluster, _ = up()
    controls = cluster.controls()
    controls.component("node/node-2", "kill")
    controls.component("node-agent/node-2", "pause")
    controls.component("apiserver", "kill")
    controls.node("node-2", {"cut_off": True})
    made = [call for call in calls(programs) if call.split()[1] in ("kill", "exec", "stop", "pause")]
    assert "docker kill c2" in made
    assert any("exec c2" in call and "systemctl kill --signal=STOP kubelet" in call for call in made)
    assert any("exec c1" in call and "kube-apiserver.yaml" in call for call in made)
    assert all({"c1", "c2"} & set(call.split()) for call in made)
    with pytest.raises(HalabError, match="is not of this cluster"):
        controls.component("node/somebody-s", "kill")


def of_somebody(programs: Path) -> None:
    """The cluster was deleted by hand, and somebody has made another one by the same name."""
    file = programs / "ps"
    file.write_text(file.read_text().replace('"c1"', '"s1"').replace('"c2"', '"s2"'))


def test_a_cluster_that_somebody_made_by_the_same_name_later_is_not_touched(programs: Path) -> None:
    cluster, _ = up()
    of_somebody(programs)
    before = len(calls(programs))
    with pytest.raises(HalabError, match="is not of this cluster"):
        cluster.controls().component("node/node-2", "kill")
    assert cluster.summary().state == "stopped" and not Kind("k").down(purge=False)
    with pytest.raises(ClusterError, match="halab did not make it"):
        up()
    assert Kind("k").down(purge=True) and choice.read("k") is None
    touching = {"start", "stop", "kill", "pause", "unpause", "exec", "rm"}
    assert [call for call in calls(programs)[before:] if "delete" in call or call.split()[1] in touching] == []


def test_a_network_that_was_there_before_stays(programs: Path) -> None:
    docker = programs / "bin" / "docker"
    docker.write_text(docker.read_text() + '[ "$1 $2" != "network ls" ] || echo n1\n')
    cluster, _ = up()
    cluster.down(purge=True)
    assert "docker network rm kind" not in calls(programs)


def test_in_another_docker_context_nothing_is_made_or_forgotten(programs: Path) -> None:
    docker = programs / "bin" / "docker"
    docker.write_text(docker.read_text() + '[ "$1" != info ] || echo "engine-of-$DOCKER_CONTEXT"\n')
    up()
    (programs / "nodes").unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_CONTEXT", "elsewhere")
        with pytest.raises(ClusterError, match="another Docker engine"):
            up()
    assert choice.read("k") is not None
