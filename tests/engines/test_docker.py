"""A real Docker engine, started for these tests alone: our images run there, and it serves behind the same interface."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from halab.images.api import ContainerSpec, Event, Request, Restart
from halab.images.docker_engine import DockerEngine
from halab.images.embedded import EmbeddedEngine
from halab.images.registry.manage import Registries

from .dockerd import docker

pytestmark = pytest.mark.needs("dockerd", "nginx", "busybox")

ASK = "exec 3<>/dev/tcp/127.0.0.1/80; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3"


def eventually(host: str, container: str, command: str) -> str:
    until = time.monotonic() + 20
    while True:
        done = subprocess.run(["docker", "-H", host, "exec", container, "bash", "-c", command], capture_output=True, text=True)
        if done.returncode == 0 and done.stdout:
            return done.stdout
        assert time.monotonic() < until, done.stderr
        time.sleep(0.1)


@pytest.fixture
def article(tmp_path: Path) -> Path:
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(
        'FROM ubuntu:18.04\nRUN apt-get update && apt-get install -y nginx\nEXPOSE 80\nCMD ["nginx", "-g", "daemon off;"]\n'
    )
    return context


def test_docker_loads_our_image_and_serves_from_it(dockerd: str, halab_home: Path, article: Path, tmp_path: Path) -> None:
    engine = EmbeddedEngine(halab_home)
    built = engine.build(Request(article, tags=("my-nginx:1.0",)), lambda _: None)
    engine.save(["my-nginx:1.0", "busybox:1.36"], tmp_path / "images.tar")
    assert "Loaded image: my-nginx:1.0" in docker(dockerd, "load", "-i", str(tmp_path / "images.tar"))
    assert json.loads(docker(dockerd, "image", "inspect", "my-nginx:1.0"))[0]["Id"] == built.image_id
    container = docker(dockerd, "run", "-d", "--network", "none", "my-nginx:1.0").strip()
    assert "Welcome to nginx!" in eventually(dockerd, container, ASK)
    assert docker(dockerd, "run", "--rm", "--network", "none", "busybox:1.36", "sh", "-c", "id -u; echo $0") == "0\nsh\n"


def test_docker_pushes_to_and_pulls_from_our_registry(dockerd: str, halab_home: Path, tmp_path: Path) -> None:
    engine = EmbeddedEngine(halab_home)
    engine.save(["busybox:1.36"], tmp_path / "busybox.tar")
    docker(dockerd, "load", "-i", str(tmp_path / "busybox.tar"))
    registries = Registries(halab_home)
    registry = registries.start("one", "127.0.0.1:0")
    try:
        name = f"{registry.address}/tools/busybox:1"
        docker(dockerd, "tag", "busybox:1.36", name)
        pushed = docker(dockerd, "push", name)
        docker(dockerd, "rmi", name, "busybox:1.36")
        assert "Downloaded newer image" in docker(dockerd, "pull", name)
        digest = engine.pull(name, lambda _: None)
        assert digest in pushed
        assert engine.store.resolve(name).command == ["sh"]
    finally:
        registries.stop("one")


def test_the_docker_engine_stands_behind_the_same_interface(dockerd: str, halab_home: Path, tmp_path: Path) -> None:
    EmbeddedEngine(halab_home).save(["busybox:1.36"], tmp_path / "busybox.tar")
    engine = DockerEngine(dockerd)
    assert "busybox:1.36" in engine.load(tmp_path / "busybox.tar")
    context = tmp_path / "context"
    context.mkdir()
    (context / "f.txt").write_text("copied\n")
    (context / "Dockerfile").write_text('FROM busybox:1.36\nCOPY f.txt /f.txt\nRUN cat /f.txt > /g.txt\nCMD ["sleep", "100"]\n')
    events: list[Event] = []
    request = Request(context, tags=("app:1", "app:latest"))
    built = engine.build(request, events.append)
    assert [event.text for event in events if event.kind == "step"][2] == "RUN cat /f.txt > /g.txt"
    events.clear()
    assert engine.build(request, events.append).image_id == built.image_id
    assert sum(event.kind == "cached" for event in events) == 3
    assert {"app:1", "app:latest", "busybox:1.36"} <= {row.name for row in engine.images()}
    assert "COPY" in engine.history("app:1")[2].created_by
    assert engine.inspect("app:1")["Config"]["Cmd"] == ["sleep", "100"]

    row = engine.run(ContainerSpec("app:1", name="one", restart=Restart.parse("always")))
    assert row.running
    first = row.pid
    os.kill(first, signal.SIGKILL)
    until = time.monotonic() + 20
    while engine.container("one").pid in (0, first):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert engine.container("one").restarts == 1
    engine.kill("one")
    assert not engine.wait("one", 20).running
    engine.remove_container("one")
    row = engine.run(ContainerSpec("app:1", command=("sh", "-c", "cat /g.txt; echo err >&2; exit 3")))
    assert engine.wait(row.id, 20).exit_code == 3
    assert sorted(engine.logs(row.id)) == [("stderr", "err\n"), ("stdout", "copied\n")]
    engine.remove_container(row.id)
    engine.tag("app:1", "app:2")
    engine.save(["app:2"], tmp_path / "app.tar")
    store = EmbeddedEngine(halab_home)
    assert store.load(tmp_path / "app.tar") == ["app:2"]
    assert engine.remove("app:2") == ["app:2"]
