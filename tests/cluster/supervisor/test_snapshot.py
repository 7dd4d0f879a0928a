"""A cluster's state goes into a file and comes back, here and elsewhere; what fails leaves everything as it was."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.small_disk import mounted
from halab.cluster.client.client import Client
from halab.cluster.kube.kinds import CONFIG_MAPS, DEPLOYMENTS, PERSISTENT_VOLUME_CLAIMS, PODS, Kind
from halab.cluster.supervisor import api, layout, manage, snapshot
from halab.cluster.supervisor.files import try_lock
from halab.errors import ClusterError, MachineError, UsageError
from halab.images import api as images
from halab.settings import ClusterConfig

Up = Callable[..., manage.Status]
MAPS = "/api/v1/namespaces/default/configmaps"
OWN = 1  # ConfigMaps that the cluster makes for itself: kube-system/extension-apiserver-authentication


def config_of(status: manage.Status) -> ClusterConfig:
    assert status.config is not None
    return status.config


def maps(config: ClusterConfig) -> dict[str, str]:
    _, body = api.get(config, MAPS)
    return {item["metadata"]["name"]: item["data"]["v"] for item in body["items"] if "v" in item.get("data", {})}


def create(config: ClusterConfig, kind: Kind, obj: dict[str, Any]) -> None:
    async def go() -> None:
        client = Client.from_config(config, "admin")
        await client.create(kind, obj)
        client.close()

    asyncio.run(go())


def put(config: ClusterConfig, name: str, value: str) -> None:
    create(config, CONFIG_MAPS, {"metadata": {"name": name, "namespace": "default"}, "data": {"v": value}})


def volume_of(config: ClusterConfig) -> Path:
    """Something in the folder where provisioned volumes lie, as a pod leaves it."""
    folder = config.directory / "volumes" / "pvc-1"
    folder.mkdir(parents=True, mode=0o777)
    folder.chmod(0o777)
    (folder / "data").write_text("precious")
    (folder / "data").chmod(0o640)
    (folder / "now").symlink_to("/data/v1")
    return folder


def files(directory: Path) -> dict[str, tuple[int, int, bytes]]:
    found = {}
    for path in sorted(directory.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
        found[str(path.relative_to(directory))] = (status.st_mode, status.st_ino, content)
    return found


@pytest.fixture
def saved(up: Up, tmp_path: Path) -> tuple[ClusterConfig, Path]:
    """A running cluster with an object and a volume, and its snapshot."""
    config = config_of(up())
    put(config, "before", f"at {config.addresses.api}")
    volume_of(config)
    snapshot.save("default", tmp_path / "s")
    return config, tmp_path / "s"


def test_what_came_after_a_snapshot_is_gone_and_what_was_there_is_back(up: Up, saved: tuple[ClusterConfig, Path]) -> None:
    config, file = saved
    kubeconfig = config.kubeconfig.read_text()
    put(config, "later", "x")
    (config.directory / "volumes" / "pvc-1" / "data").write_text("spoiled")
    assert api.delete(config, f"{MAPS}/before") == 200
    last = int(api.get(config, MAPS)[1]["metadata"]["resourceVersion"])
    manage.down()
    done = snapshot.restore("default", file)
    assert done.replaced and done.revision > last
    up()
    assert maps(config) == {"before": f"at {config.addresses.api}"}
    assert (config.directory / "volumes" / "pvc-1" / "data").read_text() == "precious"
    assert config.kubeconfig.read_text() == kubeconfig  # whoever had access has it still
    assert sorted(path.name for path in config.directory.parent.iterdir()) == ["default"]


def test_elsewhere_it_is_another_cluster_with_the_same_objects(
    up: Up, saved: tuple[ClusterConfig, Path], halab_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, file = saved
    home = halab_home.parent / "other home, übung"
    home.mkdir()
    (home / "cache").symlink_to((halab_home / "cache").resolve())
    monkeypatch.setenv("HALAB_HOME", str(home))
    try:
        assert not snapshot.restore("copy", file).replaced
        there = config_of(up("copy"))
        assert there.number != config.number  # the first one runs on
        assert there.tokens["admin"] != config.tokens["admin"]
        assert there.service_account_key.read_text() == config.service_account_key.read_text()
        assert maps(there) == {"before": f"at {there.addresses.api}"}
        folder = there.directory / "volumes" / "pvc-1"
        assert (folder / "data").read_text() == "precious" and stat.S_IMODE((folder / "data").stat().st_mode) == 0o640
        assert (folder / "now").readlink() == Path("/data/v1") and stat.S_IMODE(folder.stat().st_mode) == 0o777
        _, service = api.get(there, "/api/v1/namespaces/default/services/kubernetes")
        assert service["spec"]["clusterIP"] == there.addresses.kubernetes_service
    finally:
        manage.down("copy", purge=True)


def test_a_snapshot_under_load_holds_a_whole_prefix_of_what_was_acknowledged(up: Up, tmp_path: Path) -> None:
    config = config_of(up())
    go_on = True
    acknowledged: list[str] = []

    def write() -> None:
        while go_on:
            put(config, f"m-{len(acknowledged)}", "x" * 5000)
            acknowledged.append("x")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while len(acknowledged) < 20:
            pass
        at_least = len(acknowledged)
        made = snapshot.save("default", tmp_path / "s")
        at_most = len(acknowledged) + 1
    finally:
        go_on = False
        writer.join()
    held = made.header.objects["configmaps"] - OWN
    assert at_least <= held <= at_most
    manage.down()
    snapshot.restore("default", tmp_path / "s")
    up()
    assert sorted(maps(config)) == sorted(f"m-{number}" for number in range(held))


def test_images_that_were_built_here_go_along(up: Up, halab_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    images.engine().build(images.Request(tmp_path, tags=("mine:1",)), lambda _event: None)
    config = config_of(up())
    container = {"name": "c", "image": "mine:1"}
    other = {"name": "d", "image": "not/known:1"}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container], "initContainers": [other]}}
    body = {
        "metadata": {"name": "d", "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template},
    }
    create(config, DEPLOYMENTS, body)
    assert snapshot.save("default", tmp_path / "s").header.images == ("mine:1",)
    monkeypatch.setenv("HALAB_HOME", str(tmp_path / "fresh"))
    snapshot.restore("default", tmp_path / "s")
    assert [row.name for row in images.engine().images()] == ["mine:1"]


def test_the_file_is_private_and_never_replaced_unasked(saved: tuple[ClusterConfig, Path]) -> None:
    _, file = saved
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before = file.read_bytes()
    with pytest.raises(UsageError, match=r"is there already; .*--force"):
        snapshot.save("default", file)
    assert file.read_bytes() == before
    with pytest.raises(UsageError, match="is a directory"):
        snapshot.save("default", file.parent, replace=True)
    with pytest.raises(UsageError, match="is no directory"):
        snapshot.save("default", file.parent / "none" / "s")
    snapshot.save("default", file, replace=True)
    assert sorted(path.name for path in file.parent.glob(".s.*")) == []


def test_a_cluster_that_runs_starts_or_is_not_there_says_so(saved: tuple[ClusterConfig, Path], halab_home: Path) -> None:
    config, file = saved
    with pytest.raises(ClusterError, match="is running; stop it first: halab down"):
        snapshot.restore("default", file)
    with pytest.raises(ClusterError, match="does not exist; run: halab up"):
        snapshot.save("none", file.with_name("t"))
    manage.down()
    lock = try_lock(config.directory / layout.LOCK)
    assert lock is not None
    try:
        for act in (lambda: snapshot.restore("default", file), lambda: snapshot.save("default", file.with_name("t"))):
            with pytest.raises(ClusterError, match="is being started or stopped"):
                act()
    finally:
        os.close(lock)


@pytest.mark.parametrize("spoil", ["cut", "changed", "text"])
def test_a_bad_file_leaves_the_cluster_as_it_was(saved: tuple[ClusterConfig, Path], spoil: str) -> None:
    config, file = saved
    manage.down()
    data = file.read_bytes()
    file.write_bytes({"cut": data[: len(data) // 2], "changed": data.replace(b"precious", b"PRECIOUS"), "text": b"hello"}[spoil])
    before = files(config.directory)
    with pytest.raises(UsageError):
        snapshot.restore("default", file)
    assert files(config.directory) == before
    assert list(config.directory.parent.parent.glob(".restore-*")) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", "80m") as folder:
        yield folder


def test_a_full_disk_leaves_the_old_state_and_no_half_file(up: Up, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HALAB_HOME", str(small_disk))
    config = config_of(up())
    (volume_of(config) / "big").write_bytes(os.urandom(21 << 20))
    try:
        snapshot.save("default", small_disk.parent / "s")
        place = os.statvfs(small_disk)
        (small_disk / "ballast").write_bytes(bytes(place.f_bavail * place.f_frsize - (12 << 20)))
        with pytest.raises(MachineError, match="disk is full"):
            snapshot.save("default", small_disk / "s")
        assert not (small_disk / "s").exists() and list(small_disk.glob(".s*")) == []
        manage.down()
        before = files(config.directory)
        with pytest.raises(MachineError, match="MB are free on its disk, the snapshot needs"):
            snapshot.restore("default", small_disk.parent / "s")
        monkeypatch.setattr("halab.cluster.supervisor.snapshot.restoring._require_space", lambda *_: None)
        with pytest.raises(MachineError, match="disk is full"):
            snapshot.restore("default", small_disk.parent / "s")
        assert files(config.directory) == before
        assert list(small_disk.glob(".restore-*")) == []
    finally:
        manage.down(purge=True)


def test_a_restore_that_is_killed_leaves_the_old_state_and_the_next_one_sweeps(saved: tuple[ClusterConfig, Path]) -> None:
    config, file = saved
    manage.down()
    before = files(config.directory)
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom halab.cluster.supervisor.snapshot import restoring as module\n"
        "module._swap = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\nmodule.restore('default', Path(sys.argv[1]))"
    )
    assert subprocess.run([sys.executable, "-c", code, str(file)], check=False).returncode == -signal.SIGKILL
    assert files(config.directory) == before
    home = config.directory.parent.parent
    assert len(list(home.glob(".restore-*"))) == 1
    snapshot.restore("default", file)
    assert list(home.glob(".restore-*")) == []


def test_a_stopped_cluster_is_saved_too(saved: tuple[ClusterConfig, Path]) -> None:
    config, file = saved
    put(config, "later", "x")
    manage.down()
    assert snapshot.save("default", file, replace=True).header.objects["configmaps"] == OWN + 2


def test_the_pods_of_a_snapshot_find_their_volumes_again(halab_home: Path, tmp_path: Path) -> None:
    """With everything that belongs to a cluster: a pod counts up in a volume; after the restore another one goes on from the snapshot's number."""
    config = config_of(manage.up(nodes=1, without=("dataplane",)))
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    create(config, PERSISTENT_VOLUME_CLAIMS, {"metadata": {"name": "data", "namespace": "default"}, "spec": claim})
    script = "n=$(cat /data/n || echo 0); while true; do n=$((n+1)); echo $n > /data/.n && mv /data/.n /data/n; sleep 0.02; done"
    container = {
        "name": "c",
        "image": "busybox",
        "command": ["sh", "-c", script],
        "volumeMounts": [{"name": "v", "mountPath": "/data"}],
    }
    spec = {"containers": [container], "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}
    create(config, PODS, {"metadata": {"name": "counter", "namespace": "default"}, "spec": spec})

    def counted(least: int) -> int:
        while True:
            for path in (config.directory / "volumes").glob("*/n"):
                if (number := int(path.read_text())) >= least:
                    return number
            time.sleep(0.02)  # another process' file

    before = counted(5)
    snapshot.save("default", tmp_path / "s")
    after = counted(before + 20)  # it goes on: nothing is left standing still
    manage.down()
    snapshot.restore("default", tmp_path / "s")
    restored = counted(0)
    assert before <= restored <= after
    manage.up()
    assert counted(restored + 5) > restored


def test_failures_that_were_active_are_overdue_in_the_cluster_that_is_restored(up: Up, tmp_path: Path) -> None:
    config = config_of(up())
    folder = config.directory / "faults"
    folder.mkdir()
    record = {"id": "latency-1", "fault": "latency", "cluster": "default", "until": 9e9, "owner": [1, "2"], "guard": [3, "4"]}
    (folder / "latency-1.json").write_text(json.dumps(record))
    (folder / "broken.json").write_text("{")
    snapshot.save("default", tmp_path / "s")
    done = snapshot.restore("copy", tmp_path / "s")
    there = done.config.directory / "faults"
    assert [path.name for path in there.iterdir()] == ["latency-1.json"]
    expected = record | {"cluster": "copy", "until": 0.0, "owner": [0, ""], "guard": [0, ""]}
    assert json.loads((there / "latency-1.json").read_text()) == expected
